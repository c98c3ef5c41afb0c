// The half of SubmissionController that writes: progress now and then, the result exactly once.
#include <algorithm>

#include "common/base/log.h"
#include "common/kube/resource.h"
#include "operator/controllers/submission_controller.h"
#include "operator/controllers/ttl.h"

namespace envicutor::op {
namespace {

constexpr Duration kQuiet = std::chrono::seconds(1);
constexpr int kConflictRetries = 3;
// Attempts to get an environment to an executor, with pauses of 1, 2, 4, 8, 15 s between them.
constexpr int64_t kEnvironmentTries = 6;
constexpr Duration kEnvironmentPause = std::chrono::seconds(1);
constexpr Duration kLongestEnvironmentPause = std::chrono::seconds(15);
// Another operator may take a run for nobody's and stop it, an executor may shut down: neither is
// the user's wish.
constexpr const char* kStopped = "its run was stopped, which its spec did not ask for";

int64_t Millis(Duration duration) {
  return std::max<int64_t>(0,
                           std::chrono::duration_cast<std::chrono::milliseconds>(duration).count());
}

}  // namespace

Progress SubmissionController::WaitingProgress(const TrackedPtr& tracked, const std::string& reason,
                                               const std::string& message) const {
  Progress progress;
  progress.reason = reason;
  progress.message = message;
  progress.attempt = tracked->attempt;
  return progress;
}

// After a quiet second, within the budget, and only when there is something new to say.
Status SubmissionController::WriteProgress(const Json& submission, const TrackedPtr& tracked,
                                           const Progress& progress, Duration least_interval) {
  const std::string word =
      std::string(PhaseName(progress.phase)) + "/" + progress.reason + "/" + progress.message;
  const SteadyTime now = deps_.clock.Now();
  {
    const std::lock_guard lock(mutex_);
    if (word == tracked->last_word) return OkStatus();
    SteadyTime due = tracked->first_seen + kQuiet;
    if (tracked->last_write.has_value()) due = std::max(due, *tracked->last_write + least_interval);
    if (now < due) {
      deps_.queue.AddAfter(tracked->key, due - now);
      return OkStatus();
    }
    if (!tracked->write_slot.has_value()) tracked->write_slot = progress_budget_.Reserve(now);
    if (now < *tracked->write_slot) {
      deps_.queue.AddAfter(tracked->key, *tracked->write_slot - now);
      return OkStatus();
    }
    tracked->write_slot.reset();
    tracked->last_write = now;
    tracked->last_word = word;
  }
  Status written = Write(submission, progress);
  progress_budget_.Observe(deps_.clock.Now() - now);
  if (written.ok()) {
    if (progress.phase == Phase::kPending &&
        story_.Waits(submission, tracked->told, progress.reason, progress.message)) {
      const std::lock_guard lock(mutex_);
      tracked->told = progress.reason;
    }
    return OkStatus();
  }
  {
    const std::lock_guard lock(mutex_);
    tracked->last_word.clear();
  }
  // A newer version is on its way to us, or it is gone: either brings the key back.
  if (written.code() == Code::kConflict || written.code() == Code::kNotFound) {
    deps_.queue.AddAfter(tracked->key, kQuiet);
    return OkStatus();
  }
  return written;
}

// The caches have it when it is written.
Status SubmissionController::Write(const Json& submission, const Progress& progress) {
  Json update = ProgressUpdate(submission, progress, deps_.clock.WallNow());
  ENVICUTOR_ASSIGN(std::string version,
                   deps_.client.UpdateForVersion(kube::kSubmissions, update, "status"));
  Json written = submission;
  written["metadata"]["resourceVersion"] = std::move(version);
  written["status"] = std::move(update["status"]);
  deps_.submissions.Observe(written);
  return OkStatus();
}

Status SubmissionController::Fail(const Json& submission, const TrackedPtr& tracked,
                                  const std::string& reason, const std::string& message) {
  Outcome outcome;
  outcome.phase = Phase::kFailed;
  outcome.reason = reason;
  outcome.message = message;
  outcome.admitted = reason != "Rejected" && reason != "RuntimeNotFound";
  outcome.attempt = outcome.admitted ? tracked->attempt : 0;
  {
    const std::lock_guard lock(mutex_);
    if (!tracked->placement.pod.empty()) outcome.placement = tracked->placement;
    outcome.environment = tracked->environment;
  }
  return Record(submission, tracked, std::move(outcome));
}

// The runner gave its answer: what it means for the submission.
Status SubmissionController::Finish(const Json& submission, const TrackedPtr& tracked) {
  std::optional<Result<api::RunResult>> answer;
  bool deadline_hit = false;
  bool asked = AsksForCancel(submission);
  Outcome outcome;
  SteadyTime first_seen;
  std::optional<SteadyTime> dispatched_at;
  {
    const std::lock_guard lock(mutex_);
    answer = tracked->outcome;
    deadline_hit = tracked->deadline_hit;
    asked = asked || (tracked->cancel_sent && !deadline_hit);
    outcome.environment = tracked->environment;
    if (!tracked->placement.pod.empty()) outcome.placement = tracked->placement;
    outcome.attempt = tracked->attempt;
    first_seen = tracked->first_seen;
    dispatched_at = tracked->dispatched_at;
  }
  const std::string late =
      "it was not finished " +
      std::to_string(GetInt(At(submission, {"spec"}), "activeDeadlineSeconds")) +
      "s after its creation";
  if (!answer->ok()) {
    const Status& status = answer->status();
    switch (status.code()) {
      case Code::kDeadlineExceeded:
        return Fail(submission, tracked, "DeadlineExceeded", late);
      case Code::kResourceExhausted:
        return Fail(submission, tracked, "QueueFull", status.message());
      case Code::kInvalidArgument:
        return Fail(submission, tracked, "Rejected", status.message());
      default:
        break;
    }
    // It was to end: that its executor was lost meanwhile makes no difference.
    if (deadline_hit) return Fail(submission, tracked, "DeadlineExceeded", late);
    const bool stopped = status.code() == Code::kCancelled;
    if (!asked) return Retry(submission, tracked, stopped ? kStopped : status.message());
    outcome.phase = Phase::kCancelled;
    outcome.reason = "Cancelled";
    outcome.message = (stopped ? "" : "cancelled; ") + status.message();
    return Record(submission, tracked, std::move(outcome));
  }
  api::RunResult& result = **answer;
  if (result.cancelled && !asked && !deadline_hit) {
    {
      const std::lock_guard lock(mutex_);
      tracked->attempt = std::max(tracked->attempt, result.attempt);  // adopted: may be a later one
    }
    return Retry(submission, tracked, result.message.empty() ? kStopped : result.message);
  }
  outcome.attempt = result.attempt;
  outcome.verdict = result.verdict;
  if (result.environment_fetch_millis > 0 && !result.environment_unavailable) {
    deps_.metrics.cache_fetch_seconds.Observe(
        std::chrono::milliseconds(result.environment_fetch_millis));
  }
  if (result.environment_unavailable) return EnvironmentMissing(submission, tracked, result);
  const SteadyTime now = deps_.clock.Now();
  if (dispatched_at.has_value()) {
    outcome.queue_millis = Millis(*dispatched_at - first_seen);
    outcome.overhead_millis =
        std::max<int64_t>(0, Millis(now - *dispatched_at) - StageMillis(result));
  } else {
    // Done before the answer to PUT came back, or adopted from an operator before us.
    outcome.queue_millis = std::max<int64_t>(
        0, Millis(now - first_seen) - (result.finished_unix_millis - result.started_unix_millis));
    outcome.overhead_millis = result.overhead_millis;
  }
  if (result.deadline_exceeded || (result.cancelled && deadline_hit)) {
    outcome.phase = Phase::kFailed;
    outcome.reason = "DeadlineExceeded";
    outcome.message = late;
    outcome.verdict = api::Verdict::kNone;
  } else if (result.cancelled) {
    outcome.phase = Phase::kCancelled;
    outcome.reason = "Cancelled";
    outcome.message = "cancelled while it ran";
    outcome.verdict = api::Verdict::kNone;
  } else if (result.verdict == api::Verdict::kInternalError) {
    outcome.phase = Phase::kFailed;
    outcome.reason = "InternalError";
  } else {
    outcome.phase = Phase::kCompleted;
  }
  outcome.result = std::move(result);
  return Record(submission, tracked, std::move(outcome));
}

// The executor could not get the environment: from the cache, or because its disk is full. Others
// are not held up meanwhile; for this one it is tried a few times, then it is said.
Status SubmissionController::EnvironmentMissing(const Json& submission, const TrackedPtr& tracked,
                                                const api::RunResult& result) {
  int64_t tries = 0;
  std::string hash;
  {
    const std::lock_guard lock(mutex_);
    if (!tracked->environment_tries) tracked->environment_tries = UncountedAttempts(submission);
    tries = *tracked->environment_tries + 1;  // counted when it is written, once
    hash = tracked->environment_hash;
  }
  if (!hash.empty()) deps_.builds.Recheck(hash);
  if (tries >= kEnvironmentTries) {
    return Fail(submission, tracked, "EnvironmentUnavailable",
                result.message + " (tried " + std::to_string(tries) + " times)");
  }
  return Retry(submission, tracked, result.message,
               std::min<Duration>(kEnvironmentPause * (int64_t{1} << (tries - 1)),
                                  kLongestEnvironmentPause));
}

// The executor was lost, or the run was stopped without a reason in the submission. The count is
// written before the next attempt starts: a submission that kills executors must not begin anew
// with each operator.
Status SubmissionController::Retry(const Json& submission, const TrackedPtr& tracked,
                                   const std::string& why, Duration pause) {
  const int64_t most = std::max<int64_t>(1, GetInt(At(submission, {"spec"}), "maxAttempts", 3));
  int64_t uncounted = 0;
  {
    const std::lock_guard lock(mutex_);
    if (!tracked->environment_tries) tracked->environment_tries = UncountedAttempts(submission);
    uncounted = *tracked->environment_tries;
  }
  if (pause == Duration::zero() && tracked->attempt - uncounted >= most) {
    const std::string others =
        uncounted == 0 ? "" : "; " + std::to_string(uncounted) + " more had no environment";
    return Fail(submission, tracked, "ExecutorLost",
                why + " (attempt " + std::to_string(tracked->attempt - uncounted) + " of " +
                    std::to_string(most) + others + ")");
  }
  Progress progress;
  const bool environment = pause != Duration::zero();
  progress.reason = environment ? "RuntimeNotReady" : "NoCapacity";
  progress.message = environment ? why + "; trying again"
                                 : "attempt " + std::to_string(tracked->attempt) +
                                       " was lost: " + why + "; trying again";
  progress.admitted = true;
  progress.attempt = tracked->attempt + 1;
  progress.uncounted_attempts = environment ? uncounted + 1 : uncounted;
  Json present = submission;
  for (int i = 0; i < kConflictRetries; ++i) {
    Status written = Write(present, progress);
    if (written.ok()) {
      {
        const std::lock_guard lock(mutex_);
        tracked->attempt = progress.attempt;
        tracked->environment_tries = progress.uncounted_attempts;
        tracked->not_before = deps_.clock.Now() + pause;
        tracked->outcome.reset();
        tracked->stage = Stage::kNew;
        tracked->placement = {};
        tracked->last_write = deps_.clock.Now();
        tracked->last_word.clear();
        tracked->told = "Retrying";
      }
      deps_.metrics.retries_total.Increment();
      story_.Retries(present, progress.attempt - 1, why);
      // Where the agent has a result of that attempt it may forget it.
      deps_.runner.Acknowledge(tracked->uid);
      deps_.queue.AddAfter(tracked->key, pause);
      return OkStatus();
    }
    const Code code = written.code();
    if (code != Code::kConflict && code != Code::kInvalidArgument && code != Code::kNotFound) {
      return written;
    }
    ENVICUTOR_ASSIGN(const std::optional<Json> fresh, Reread(submission));
    if (!fresh.has_value() || IsTerminal(*fresh)) {
      Abandon(tracked->key);
      if (fresh.has_value()) deps_.ttl.Finished(*fresh);
      return OkStatus();
    }
    // An operator before us may have counted it already: an answer that was lost.
    progress.attempt = std::max(progress.attempt, GetInt(At(*fresh, {"status"}), "attempt", 1));
    present = *fresh;
  }
  return Status(Code::kConflict, "the attempt of " + tracked->key + " could not be counted");
}

Result<std::optional<Json>> SubmissionController::Reread(const Json& submission) {
  Result<Json> fresh =
      deps_.client.Get(kube::kSubmissions, kube::NamespaceOf(submission), kube::NameOf(submission));
  if (!fresh.ok()) {
    if (fresh.status().code() == Code::kNotFound) return std::optional<Json>();
    return fresh.status();
  }
  if (kube::UidOf(*fresh) != kube::UidOf(submission)) return std::optional<Json>();
  deps_.submissions.Observe(*fresh);
  return std::optional<Json>(std::move(fresh).value());
}

// Whatever comes of it, the submission is forgotten, or looked at again: the events that its write
// causes meanwhile need not be.
Status SubmissionController::Record(const Json& submission, const TrackedPtr& tracked,
                                    Outcome outcome) {
  const auto recording = [&](bool is) {
    const std::lock_guard lock(mutex_);
    tracked->recording = is;
  };
  recording(true);
  Status recorded = TryRecord(submission, tracked, std::move(outcome));
  recording(false);
  return recorded;
}

Status SubmissionController::TryRecord(const Json& submission, const TrackedPtr& tracked,
                                       Outcome outcome) {
  const Json* present = &submission;
  std::optional<Json> fresh;  // what `present` is after a conflict
  bool refused = false;
  if (outcome.message.empty() && outcome.result.has_value()) {
    outcome.message = MessageOf(*outcome.result);
  }
  for (int i = 0; i < kConflictRetries; ++i) {
    const Json update = OutcomeUpdate(*present, outcome, deps_.clock.WallNow());
    const SteadyTime asked = deps_.clock.Now();
    const Result<std::string> written =
        deps_.client.UpdateForVersion(kube::kSubmissions, update, "status");
    progress_budget_.Observe(deps_.clock.Now() - asked);
    if (written.ok()) {
      return Recorded(*present, FinishedMembers(*present, update["status"], *written), tracked,
                      outcome);
    }
    const Code code = written.status().code();
    if (code != Code::kConflict && code != Code::kInvalidArgument && code != Code::kNotFound) {
      return written.status();  // perhaps written, perhaps not: the next try will see
    }
    ENVICUTOR_ASSIGN(fresh, Reread(submission));
    if (!fresh.has_value() || IsTerminal(*fresh)) {
      // Gone, or the result is there: an answer of ours that was lost, or another operator's.
      Abandon(tracked->key);
      if (fresh.has_value()) deps_.ttl.Finished(*fresh);
      return OkStatus();
    }
    present = &*fresh;
    if (code == Code::kInvalidArgument) {
      if (refused) return written.status();
      refused = true;
      // The API server refuses this status for good. The submission must end all the same.
      log::Error("a result was refused", LogContextOf(submission, outcome.attempt),
                 {{"error", written.status().message()}});
      outcome.phase = Phase::kFailed;
      outcome.reason = "InternalError";
      outcome.verdict = api::Verdict::kInternalError;
      outcome.message =
          "the result could not be stored: " + written.status().message().substr(0, 1000);
      outcome.result.reset();
      outcome.environment.reset();
    }
  }
  return Status(Code::kConflict, "the result of " + tracked->key + " met other writes");
}

// `submission` before it was written, and what is known of it now (FinishedMembers).
Status SubmissionController::Recorded(const Json& submission, const Json& finished,
                                      const TrackedPtr& tracked, const Outcome& outcome) {
  deps_.submissions.Observe(finished);
  const bool run_over = [&] {
    const std::lock_guard lock(mutex_);
    return tracked->outcome.has_value();
  }();
  Forget(tracked->key);
  if (!run_over) deps_.runner.Cancel(tracked->uid);  // given up on while it ran
  deps_.runner.Acknowledge(tracked->uid);
  if (tracked->discard_environment) deps_.builds.Discard(tracked->environment_hash);
  deps_.ttl.Finished(finished);
  Count(submission, outcome);
  story_.Ended(submission, tracked->told, outcome);
  return OkStatus();
}

void SubmissionController::Count(const Json& submission, const Outcome& outcome) {
  const metrics::OperatorMetrics& metrics = deps_.metrics;
  const std::string verdict(api::VerdictName(outcome.verdict));
  // Names that are no Runtime's are anybody's choice: they would be series without end.
  std::string runtime = GetString(At(submission, {"spec", "runtimeRef"}), "name");
  if (runtime.empty()) runtime = "<environment>";
  if (outcome.reason == "RuntimeNotFound") runtime = "<unknown>";
  metrics.submissions_total.With({runtime, verdict.empty() ? outcome.reason : verdict}).Increment();
  if (outcome.queue_millis.has_value()) {
    metrics.queue_seconds.Observe(std::chrono::milliseconds(*outcome.queue_millis));
  }
  if (outcome.overhead_millis.has_value()) {
    metrics.overhead_seconds.Observe(std::chrono::milliseconds(*outcome.overhead_millis));
  }
  const auto stage = [&](const std::string& name, const std::optional<api::StageResult>& result) {
    if (!result.has_value()) return;
    metrics.stage_seconds.With({name}).Observe(std::chrono::milliseconds(result->wall_time_millis));
  };
  stage("environment", outcome.environment);
  if (!outcome.result.has_value()) return;
  stage("extract", outcome.result->extract);
  stage("compile", outcome.result->compile);
  stage("run", outcome.result->run);
  for (const api::TestResult& test : outcome.result->tests) stage("run", test.run);
  if (outcome.result->compile.has_value()) {
    metrics.compile_cache_total.With({outcome.result->compile_cached ? "hit" : "miss"}).Increment();
  }
}

}  // namespace envicutor::op
