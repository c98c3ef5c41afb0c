#include "operator/controllers/submission_controller.h"

#include <algorithm>
#include <utility>

#include "common/base/encoding.h"
#include "common/kube/resource.h"
#include "operator/controllers/ttl.h"

namespace envicutor::op {
namespace {

// Nobody is told about waits shorter than this: a short submission costs one status write.
constexpr Duration kQuiet = std::chrono::seconds(1);
// How long an executor may take to say how a run ended that was stopped for its deadline.
constexpr Duration kDeadlineGrace = std::chrono::seconds(2);
// Runs that take this long have an Event of their start.
constexpr Duration kLongRun = std::chrono::milliseconds(500);
constexpr Duration kReportInterval = std::chrono::seconds(3);
// Progress writes: 100 a second in all, which leaves most of an API server to results.
constexpr Duration kProgressInterval = std::chrono::milliseconds(10);
constexpr int kProgressBurst = 50;

std::string Joined(const std::vector<std::string>& lines) {
  std::string all;
  for (const std::string& line : lines) all += (all.empty() ? "" : "; ") + line;
  return all;
}

}  // namespace

SubmissionController::SubmissionController(const SubmissionControllerDeps& deps)
    : deps_(deps),
      progress_budget_(kProgressInterval, kProgressBurst),
      story_(deps.events, deps.clock) {}

SubmissionController::~SubmissionController() = default;

// creationTimestamp has whole seconds: within its second the time at which it was seen is nearer to
// the truth, and a deadline of one second is not over before it began.
std::optional<WallTime> SubmissionController::DeadlineOf(const Json& submission,
                                                         const Tracked& tracked) {
  const int64_t seconds = GetInt(At(submission, {"spec"}), "activeDeadlineSeconds");
  if (seconds <= 0) return std::nullopt;
  const Result<WallTime> created =
      ParseRfc3339(GetString(At(submission, {"metadata"}), "creationTimestamp"));
  const WallTime from = created.ok() ? std::clamp<WallTime>(tracked.first_seen_wall, *created,
                                                            *created + std::chrono::seconds(1))
                                     : tracked.first_seen_wall;
  return from + std::chrono::seconds(seconds);
}

void SubmissionController::Follow() {
  kube::EventHandler handler;
  // Finished ones do not go through the queue: after a restart there may be very many, and a result
  // of our own comes back as an event with nothing left to do.
  const auto changed = [this](const kube::ObjectPtr& object) {
    const std::string key = kube::KeyOf(*object);
    const bool finished = IsTerminal(*object);
    // Here, where all that was read of it is at hand: a cache keeps less of a finished one.
    if (finished) deps_.ttl.Finished(*object);
    if (!finished || WantsToKnowOfItsEnd(key)) deps_.queue.Add(key);
  };
  handler.on_add = changed;
  handler.on_update = [changed](const kube::ObjectPtr&, const kube::ObjectPtr& now) {
    changed(now);
  };
  handler.on_delete = [this](const kube::ObjectPtr& last) {
    const std::string key = kube::KeyOf(*last);
    if (!IsTerminal(*last) || WantsToKnowOfItsEnd(key)) deps_.queue.Add(key);
  };
  deps_.submissions.AddHandler(std::move(handler));
  const auto wake = [this](auto& waiting, const std::string& name) {
    std::set<std::string> keys;
    {
      const std::lock_guard lock(mutex_);
      const auto it = waiting.find(name);
      if (it == waiting.end()) return;
      keys.swap(it->second);
      waiting.erase(it);
    }
    for (const std::string& key : keys) deps_.queue.Add(key);
  };
  deps_.catalog.OnChange([this, wake](const std::string& name) { wake(waiting_runtime_, name); });
  deps_.builds.OnChange([this, wake](const std::string& hash) { wake(waiting_build_, hash); });
}

size_t SubmissionController::live() const {
  const std::lock_guard lock(mutex_);
  return tracked_.size();
}

log::Context SubmissionController::LogContext(const std::string& key) const {
  const kube::ObjectPtr object = deps_.submissions.Get(key);
  const TrackedPtr tracked = Find(key);
  if (object) return LogContextOf(*object, tracked ? tracked->attempt : 1);
  return {{"namespace", key.substr(0, key.find('/'))}, {"name", key.substr(key.find('/') + 1)}};
}

std::map<std::string, std::string> SubmissionController::OwnEnvironments() const {
  std::map<std::string, std::string> environments;
  const std::lock_guard lock(mutex_);
  for (const auto& [key, tracked] : tracked_) {
    if (tracked->own_environment) {
      environments[tracked->environment_hash] = tracked->environment_store_path;
    }
  }
  return environments;
}

SubmissionController::TrackedPtr SubmissionController::Find(const std::string& key) const {
  const std::lock_guard lock(mutex_);
  const auto it = tracked_.find(key);
  return it == tracked_.end() ? nullptr : it->second;
}

// Not what is just being recorded, nor what was: nothing would be left to do.
bool SubmissionController::WantsToKnowOfItsEnd(const std::string& key) const {
  const std::lock_guard lock(mutex_);
  const auto it = tracked_.find(key);
  return it != tracked_.end() && !it->second->recording;
}

SubmissionController::TrackedPtr SubmissionController::Track(const Json& submission) {
  const std::string key = kube::KeyOf(submission);
  const std::lock_guard lock(mutex_);
  TrackedPtr& tracked = tracked_[key];
  if (!tracked) {
    tracked = std::make_shared<Tracked>();
    tracked->key = key;
    tracked->uid = kube::UidOf(submission);
    tracked->first_seen = deps_.clock.Now();
    tracked->first_seen_wall = deps_.clock.WallNow();
    tracked->attempt = std::max<int64_t>(1, GetInt(At(submission, {"status"}), "attempt", 1));
    log::Write(log::Level::kDebug, "submission seen", LogContextOf(submission, tracked->attempt),
               {});
  }
  return tracked;
}

void SubmissionController::Forget(const std::string& key) {
  const std::lock_guard lock(mutex_);
  const auto it = tracked_.find(key);
  if (it == tracked_.end()) return;
  for (auto* waiting : {&waiting_runtime_, &waiting_build_}) {
    const auto entry = waiting->find(waiting == &waiting_runtime_ ? it->second->runtime
                                                                  : it->second->environment_hash);
    if (entry == waiting->end()) continue;
    entry->second.erase(key);
    if (entry->second.empty()) waiting->erase(entry);
  }
  it->second->stage = Stage::kOver;
  tracked_.erase(it);
  deps_.queue.Undelay(key);  // nothing is left to look at later
}

void SubmissionController::Abandon(const std::string& key) {
  const TrackedPtr tracked = Find(key);
  if (!tracked) return;
  Forget(key);
  if (tracked->discard_environment) deps_.builds.Discard(tracked->environment_hash);
  deps_.runner.Cancel(tracked->uid);
  deps_.runner.Acknowledge(tracked->uid);
}

RunEvents SubmissionController::EventsFor(const Json& submission, const TrackedPtr& tracked) {
  RunEvents events;
  events.acknowledge_on_done = false;
  events.admitted = kube::ConditionStatus(submission, "Admitted") == "True";
  events.on_dispatched = [this, tracked, context = LogContextOf(submission, tracked->attempt)](
                             const RunPlacement& placement) {
    log::Info("submission dispatched", context, {{"pod", placement.pod}, {"node", placement.node}});
    const std::lock_guard lock(mutex_);
    tracked->placement = placement;
    tracked->dispatched_at = deps_.clock.Now();
    tracked->dispatched_wall = deps_.clock.WallNow();
  };
  events.on_progress = [this, tracked](const std::string& stage) {
    const std::lock_guard lock(mutex_);
    tracked->run_stage = stage;
  };
  events.on_done = [this, tracked](const Result<api::RunResult>& result,
                                   const RunPlacement& placement) {
    {
      const std::lock_guard lock(mutex_);
      if (tracked->stage != Stage::kOver) {
        tracked->outcome.emplace(result);
        if (!placement.pod.empty()) tracked->placement = placement;
        const size_t slash = tracked->key.find('/');
        log::Debug("result received", {{"namespace", tracked->key.substr(0, slash)},
                                       {"name", tracked->key.substr(slash + 1)},
                                       {"uid", tracked->uid}});
        deps_.queue.Add(tracked->key);
        return;
      }
    }
    if (result.ok()) deps_.runner.Acknowledge(tracked->uid);  // deleted meanwhile: nobody wants it
  };
  return events;
}

Status SubmissionController::Reconcile(const std::string& key) {
  const kube::ObjectPtr object = deps_.submissions.Get(key);
  if (!object) {
    Abandon(key);
    return OkStatus();
  }
  const Json& submission = *object;
  TrackedPtr tracked = Find(key);
  if (tracked && tracked->uid != kube::UidOf(submission)) {
    Abandon(key);  // deleted and made again under the same name
    tracked = nullptr;
  }
  if (IsTerminal(submission)) {
    Abandon(key);
    deps_.ttl.Finished(submission);
    return OkStatus();
  }
  if (!tracked) tracked = Track(submission);
  const std::optional<WallTime> deadline = DeadlineOf(submission, *tracked);
  const WallTime now = deps_.clock.WallNow();
  const bool late = deadline.has_value() && now >= *deadline;
  // Each time anew: the queue keeps a key's earliest wake-up only.
  if (deadline.has_value() && !late) deps_.queue.AddAfter(key, *deadline - now);
  bool has_outcome = false;
  Stage stage = Stage::kNew;
  {
    const std::lock_guard lock(mutex_);
    has_outcome = tracked->outcome.has_value();
    stage = tracked->stage;
  }
  if (has_outcome) return Finish(submission, tracked);
  const bool cancel = AsksForCancel(submission);
  if (late || cancel) return StopRun(submission, tracked, !cancel);
  if (stage == Stage::kNew) {
    const Duration pause = tracked->not_before - deps_.clock.Now();
    if (pause > Duration::zero()) {
      deps_.queue.AddAfter(key, pause);
      return OkStatus();
    }
    return Start(submission, tracked);
  }
  return ReportProgress(submission, tracked);
}

Status SubmissionController::StopRun(const Json& submission, const TrackedPtr& tracked,
                                     bool deadline) {
  Stage stage = Stage::kNew;
  bool sent = false;
  {
    const std::lock_guard lock(mutex_);
    stage = tracked->stage;
    sent = std::exchange(tracked->cancel_sent, true);
    tracked->deadline_hit = tracked->deadline_hit || deadline;
  }
  const auto over = [&]() -> Status {
    if (deadline) {
      return Fail(submission, tracked, "DeadlineExceeded",
                  "it was not finished " +
                      std::to_string(GetInt(At(submission, {"spec"}), "activeDeadlineSeconds")) +
                      "s after its creation");
    }
    Outcome outcome;
    outcome.phase = Phase::kCancelled;
    outcome.reason = "Cancelled";
    outcome.message = "cancelled before it started";
    outcome.attempt = tracked->attempt;
    return Record(submission, tracked, std::move(outcome));
  };
  if (stage == Stage::kNew) return over();
  if (!sent) {
    deps_.runner.Cancel(tracked->uid);
    deps_.queue.AddAfter(tracked->key, kDeadlineGrace);
    return OkStatus();
  }
  // Cancelled earlier; an executor that does not answer must not hold up a deadline.
  const std::optional<WallTime> due = DeadlineOf(submission, *tracked);
  if (deadline && due.has_value() && deps_.clock.WallNow() >= *due + kDeadlineGrace) return over();
  deps_.queue.AddAfter(tracked->key, kDeadlineGrace);
  return OkStatus();
}

Status SubmissionController::Start(const Json& submission, const TrackedPtr& tracked) {
  const std::string name = GetString(At(submission, {"spec", "runtimeRef"}), "name");
  if (name.empty()) return Submit(submission, tracked, nullptr);
  {
    // Before asking, so that a change between the answer and the wait is not missed.
    const std::lock_guard lock(mutex_);
    tracked->runtime = name;
    waiting_runtime_[name].insert(tracked->key);
  }
  const RuntimeLookup lookup = deps_.catalog.Find(name);
  switch (lookup.state) {
    case RuntimeLookup::State::kServing: {
      {
        const std::lock_guard lock(mutex_);
        const auto it = waiting_runtime_.find(name);
        if (it != waiting_runtime_.end()) {
          it->second.erase(tracked->key);
          if (it->second.empty()) waiting_runtime_.erase(it);
        }
      }
      return Submit(submission, tracked, &lookup.runtime);
    }
    case RuntimeLookup::State::kNotReady:
      return WriteProgress(
          submission, tracked,
          WaitingProgress(
              tracked, "RuntimeNotReady",
              lookup.message.empty() ? "Runtime " + name + " is not ready" : lookup.message),
          kReportInterval);
    case RuntimeLookup::State::kNotFound:
      break;
  }
  const auto wait = std::chrono::seconds(deps_.options.Get()->submissions.runtime_wait_seconds);
  const Duration left = tracked->first_seen + wait - deps_.clock.Now();
  if (left <= Duration::zero()) {
    Outcome outcome;
    outcome.phase = Phase::kFailed;
    outcome.reason = "RuntimeNotFound";
    outcome.message = "there is no Runtime \"" + name + "\"; waited " +
                      std::to_string(wait.count()) + "s for it (kubectl get runtimes lists them)";
    outcome.admitted = false;
    return Record(submission, tracked, std::move(outcome));
  }
  deps_.queue.AddAfter(tracked->key, left);
  return WriteProgress(submission, tracked,
                       WaitingProgress(tracked, "RuntimeNotFound",
                                       "there is no Runtime \"" + name + "\" yet; waiting " +
                                           std::to_string(wait.count()) + "s for it"),
                       kReportInterval);
}

std::optional<Status> SubmissionController::PrepareEnvironment(const Json& submission,
                                                               const TrackedPtr& tracked,
                                                               const Json* runtime_spec) {
  std::vector<std::string> errors;
  std::optional<api::EnvironmentSpec> spec =
      EnvironmentOf(submission, runtime_spec, *deps_.options.Get(), &errors);
  if (!errors.empty()) return Fail(submission, tracked, "Rejected", Joined(errors));
  if (!spec.has_value()) return std::nullopt;
  const std::string hash = deps_.builds.HashOf(*spec);
  // In no cache: it must be built where it can run.
  if (!spec->salt.empty()) {
    spec->node = deps_.runner.NodeFor(
        runtime_spec == nullptr ? "default" : GetString(*runtime_spec, "executorPool", "default"));
  }
  {
    const std::lock_guard lock(mutex_);
    tracked->environment_hash = hash;
    tracked->own_environment = true;
    tracked->discard_environment = !spec->salt.empty();
    waiting_build_[hash].insert(tracked->key);
  }
  const BuildState build = deps_.builds.Ensure(*spec);
  {
    const std::lock_guard lock(mutex_);
    tracked->environment_store_path = build.store_path;
    // What is built for it alone is in no cache.
    tracked->environment_node = spec->salt.empty() ? "" : build.node;
  }
  if (build.phase == BuildState::Phase::kBuilding) {
    return WriteProgress(
        submission, tracked,
        WaitingProgress(tracked, "RuntimeNotReady",
                        build.message.empty() ? "its environment is being built" : build.message),
        kReportInterval);
  }
  {
    const std::lock_guard lock(mutex_);
    tracked->environment = build.stage;
    if (!tracked->environment.has_value()) tracked->environment.emplace();
  }
  if (build.phase == BuildState::Phase::kReady) return std::nullopt;
  if (build.infrastructure) {
    deps_.builds.Retry(hash);  // not the user's fault: the next one tries again
    return Fail(submission, tracked, "EnvironmentUnavailable", build.message);
  }
  Outcome outcome;
  outcome.phase = Phase::kCompleted;
  outcome.verdict = api::Verdict::kEnvironmentError;
  outcome.message = build.message;
  outcome.environment = build.stage;
  if (!outcome.environment.has_value()) {
    outcome.environment.emplace();
    outcome.environment->exit_status = api::ExitStatus::kRuntimeError;
    outcome.environment->exit_code = 1;
  }
  outcome.attempt = tracked->attempt;
  return Record(submission, tracked, std::move(outcome));
}

Status SubmissionController::Submit(const Json& submission, const TrackedPtr& tracked,
                                    const ServedRuntime* runtime) {
  const Json* runtime_spec = runtime == nullptr ? nullptr : &runtime->spec;
  const std::optional<Status> not_yet = PrepareEnvironment(submission, tracked, runtime_spec);
  if (not_yet.has_value()) return *not_yet;
  AdmissionInput input;
  input.submission = &submission;
  input.runtime_spec = runtime_spec;
  input.runtime_name = runtime == nullptr ? "" : runtime->name;
  input.environment_hash = tracked->own_environment
                               ? tracked->environment_hash
                               : (runtime == nullptr ? "" : runtime->environment_hash);
  if (tracked->own_environment) {
    input.environment_store_path = tracked->environment_store_path;
    input.environment_node = tracked->environment_node;
  } else if (runtime != nullptr) {
    input.environment_store_path = runtime->environment_store_path;
  }
  input.attempt = tracked->attempt;
  input.deadline = DeadlineOf(submission, *tracked);
  const std::string ns = kube::NamespaceOf(submission);
  input.read = [&](const std::string& name, const std::string& key) {
    return ReadInput(ns, name, key);
  };
  const std::shared_ptr<const Options> options = deps_.options.Get();
  Admission admission = Admit(input, *options);
  if (!admission.errors.empty()) {
    return Fail(submission, tracked, "Rejected", Joined(admission.errors));
  }
  if (!admission.unavailable.ok()) {
    const Status told = WriteProgress(
        submission, tracked,
        WaitingProgress(tracked, "InputNotFound",
                        "its inputs cannot be read now: " + admission.unavailable.message()),
        kReportInterval);
    return told.ok() ? admission.unavailable : told;
  }
  if (!admission.missing.empty()) {
    const auto wait = std::chrono::seconds(options->submissions.runtime_wait_seconds);
    if (deps_.clock.Now() >= tracked->first_seen + wait) {
      return Fail(submission, tracked, "Rejected", Joined(admission.missing));
    }
    deps_.queue.AddAfter(tracked->key, kQuiet);
    return WriteProgress(submission, tracked,
                         WaitingProgress(tracked, "InputNotFound", Joined(admission.missing)),
                         kReportInterval);
  }
  {
    const std::lock_guard lock(mutex_);
    tracked->stage = Stage::kSubmitted;
    tracked->cancel_sent = false;
    tracked->dispatched_at.reset();
    tracked->run_stage.clear();
  }
  deps_.queue.AddAfter(tracked->key, kQuiet);
  log::Write(log::Level::kDebug, "submission queued", LogContextOf(submission, tracked->attempt),
             {});
  deps_.runner.Submit(runtime == nullptr ? "default" : runtime->pool, ns,
                      GetInt(At(submission, {"spec"}), "priority"), std::move(admission.request),
                      EventsFor(submission, tracked));
  return OkStatus();
}

Status SubmissionController::ReportProgress(const Json& submission, const TrackedPtr& tracked) {
  Progress progress;
  bool dispatched = false;
  bool long_run = false;  // and not told yet
  {
    const std::lock_guard lock(mutex_);
    progress.attempt = tracked->attempt;
    progress.admitted = true;
    dispatched = tracked->dispatched_at.has_value();
    if (dispatched) {
      long_run =
          tracked->told != "Started" && deps_.clock.Now() - *tracked->dispatched_at >= kLongRun;
      progress.phase = Phase::kRunning;
      progress.placement = tracked->placement;
      progress.start_time = tracked->dispatched_wall;
      progress.message = tracked->run_stage.empty()
                             ? "it is running"
                             : "it is in the " + tracked->run_stage + " stage";
    }
  }
  if (dispatched) {
    if (long_run && story_.Runs(submission, progress.attempt, *progress.placement)) {
      const std::lock_guard lock(mutex_);
      tracked->told = "Started";
    }
    deps_.queue.AddAfter(tracked->key, kReportInterval);
    return WriteProgress(submission, tracked, progress, kReportInterval);
  }
  const std::optional<RunWait> wait = deps_.runner.Waiting(tracked->uid);
  if (!wait.has_value()) {  // on its way to an executor, or done: its event brings us back
    deps_.queue.AddAfter(tracked->key, kReportInterval);
    return OkStatus();
  }
  progress.reason = wait->no_capacity ? "NoCapacity" : "QueuedBehind";
  progress.message = wait->message;
  // Positions change all the time: with a long queue they are written rarely.
  const Duration interval =
      kReportInterval + std::chrono::milliseconds(10) * std::min<int64_t>(wait->position, 5'000);
  deps_.queue.AddAfter(tracked->key, interval);
  return WriteProgress(submission, tracked, progress, interval);
}

}  // namespace envicutor::op
