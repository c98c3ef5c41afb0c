#include "operator/controllers/submission_story.h"

#include "common/api/trace.h"
#include "common/kube/resource.h"

namespace envicutor::op {
namespace {

// Of Normal Events of all submissions: a hundred at once, ten a second for long.
constexpr Duration kEventInterval = std::chrono::milliseconds(100);
constexpr int kEventBurst = 100;

std::string AttemptOn(int64_t attempt, const RunPlacement& placement) {
  std::string text = "attempt " + std::to_string(attempt);
  if (!placement.pod.empty()) text += " on executor " + placement.pod;
  if (!placement.node.empty()) text += " of node " + placement.node;
  return text;
}

}  // namespace

log::Context LogContextOf(const Json& submission, int64_t attempt) {
  const std::string uid = kube::UidOf(submission);
  return api::LogContext(
      kube::NamespaceOf(submission), kube::NameOf(submission), uid, attempt,
      api::TraceIdFor(GetString(At(submission, {"metadata", "annotations"}), api::kTraceAnnotation),
                      uid));
}

SubmissionStory::SubmissionStory(kube::EventRecorder* events, const Clock& clock)
    : events_(events), clock_(clock), budget_(kEventInterval, kEventBurst) {}

bool SubmissionStory::Waits(const Json& submission, const std::string& told,
                            const std::string& reason, const std::string& message) {
  // A place in a queue changes all the time: status has it.
  if (reason.empty() || reason == told || reason == "QueuedBehind") return false;
  return Normal(submission, reason, message);
}

bool SubmissionStory::Runs(const Json& submission, int64_t attempt, const RunPlacement& placement) {
  return Normal(submission, "Started", AttemptOn(attempt, placement));
}

void SubmissionStory::Retries(const Json& submission, int64_t attempt, const std::string& why) {
  log::Warn("trying again", LogContextOf(submission, attempt), {{"why", why}});
  Warning(submission, "Retrying", "attempt " + std::to_string(attempt) + " was lost: " + why);
}

void SubmissionStory::Ended(const Json& submission, const std::string& told,
                            const Outcome& outcome) {
  const std::string verdict(api::VerdictName(outcome.verdict));
  const auto millis = [](const std::optional<int64_t>& value) {
    return value.has_value() ? std::to_string(*value) : "";
  };
  log::Info("submission finished", LogContextOf(submission, outcome.attempt),
            {{"phase", std::string(PhaseName(outcome.phase))},
             {"reason", outcome.reason},
             {"verdict", verdict},
             {"queueMillis", millis(outcome.queue_millis)},
             {"overheadMillis", millis(outcome.overhead_millis)}});
  if (outcome.phase == Phase::kFailed) {
    Warning(submission, outcome.reason, outcome.message);
  } else if (!told.empty()) {
    const std::string& message = outcome.message;
    Normal(submission, std::string(PhaseName(outcome.phase)),
           verdict.empty() || message.starts_with(verdict) ? message : verdict + ": " + message);
  }
}

bool SubmissionStory::Normal(const Json& submission, const std::string& reason,
                             const std::string& message) {
  if (events_ == nullptr || !budget_.Take(clock_.Now())) return false;
  events_->Record(submission, "Normal", reason, message);
  return true;
}

void SubmissionStory::Warning(const Json& submission, const std::string& reason,
                              const std::string& message) {
  if (events_ != nullptr) events_->Record(submission, "Warning", reason, message);
}

}  // namespace envicutor::op
