#include "operator/runtimes/runtime_controller.h"

#include <algorithm>

#include "common/api/limits.h"
#include "common/base/log.h"
#include "common/kube/resource.h"

namespace envicutor::op {
namespace {

// While an executor is waited for: how often its reason is looked at again.
constexpr std::chrono::seconds kWaitInterval{2};
constexpr std::chrono::seconds kInfrastructureRetry{15};
constexpr int kMaxTestFailures = 5;

// Until an environment that an executor could not get is asked for again: 1 s, doubling, to 30 s.
Duration UnavailablePause(int failures) {
  return std::min<Duration>(std::chrono::seconds(1LL << std::min(failures, 5)),
                            std::chrono::seconds(30));
}

int64_t GenerationOf(const Json& runtime) {
  return GetInt(At(runtime, {"metadata"}), "generation");
}

std::string PoolOf(const Json& spec) { return GetString(spec, "executorPool", "default"); }

std::string Joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += (text.empty() ? "" : "; ") + line;
  return text;
}

// Everything wrong with the spec, at once.
std::vector<std::string> CheckSpec(const Json& runtime, const Options& options,
                                   api::EnvironmentSpec* environment) {
  std::vector<std::string> errors;
  const Json& spec = At(runtime, {"spec"});
  Result<api::EnvironmentSpec> parsed =
      api::EnvironmentSpecFromJson(At(spec, {"environment"}), "environment");
  if (parsed.ok()) {
    *environment = std::move(parsed).value();
    // Those two are a Submission's; the schema drops them, and so does this.
    environment->salt.clear();
    environment->extra_packages.clear();
  } else {
    errors.push_back(parsed.status().message());
  }
  for (const char* stage : {"compile", "run"}) {
    for (const char* field : {"limits", "maxLimits"}) {
      std::ignore =
          api::ParseLimits(At(spec, {stage, field}), std::string(stage) + "." + field, &errors);
    }
  }
  std::ignore = SelfTestRequests(runtime, "", options, &errors);
  return errors;
}

}  // namespace

RuntimeController::RuntimeController(const RuntimeControllerDeps& deps) : deps_(deps) {}

void RuntimeController::Follow() {
  const auto enqueue = [this](const kube::ObjectPtr& runtime) {
    deps_.queue.Add(kube::NameOf(*runtime));
  };
  kube::EventHandler handler;
  handler.on_add = enqueue;
  handler.on_update = [this, enqueue](const kube::ObjectPtr& old, const kube::ObjectPtr& now) {
    // Our own status writes come back here too: only what people change is work.
    const bool changed =
        At(*old, {"spec"}) != At(*now, {"spec"}) ||
        At(*old, {"metadata", "generation"}) != At(*now, {"metadata", "generation"}) ||
        At(*old, {"metadata", "deletionTimestamp"}) !=
            At(*now, {"metadata", "deletionTimestamp"}) ||
        At(*old, {"metadata", "annotations"}) != At(*now, {"metadata", "annotations"}) ||
        kube::UidOf(*old) != kube::UidOf(*now);
    if (changed) enqueue(now);
  };
  handler.on_delete = enqueue;
  deps_.runtimes.AddHandler(std::move(handler));
  deps_.builds.OnChange([this](const std::string& hash) {
    const std::scoped_lock lock(mutex_);
    for (const auto& [name, entry] : entries_) {
      if (entry.hash == hash) deps_.queue.Add(name);
    }
  });
}

void RuntimeController::OnChange(std::function<void(const std::string&)> callback) {
  const std::scoped_lock lock(mutex_);
  callbacks_.push_back(std::move(callback));
}

RuntimeLookup RuntimeController::Find(const std::string& name) const {
  RuntimeLookup lookup;
  const kube::ObjectPtr runtime = deps_.runtimes.Get(name);
  if (!runtime) return lookup;
  lookup.state = RuntimeLookup::State::kNotReady;
  if (!At(*runtime, {"metadata", "deletionTimestamp"}).is_null()) {
    lookup.message = "Runtime " + name + " is being deleted";
    lookup.failed = true;
    return lookup;
  }
  const std::scoped_lock lock(mutex_);
  const auto it = entries_.find(name);
  if (it == entries_.end() || it->second.uid != kube::UidOf(*runtime)) {
    // Not looked at yet, after a start of the operator: what served before serves.
    if (std::optional<ServedRuntime> served = ServedFromStatus(*runtime)) {
      lookup.state = RuntimeLookup::State::kServing;
      lookup.runtime = *std::move(served);
    } else {
      lookup.message = "Runtime " + name + " is Pending";
    }
    return lookup;
  }
  const Entry& entry = it->second;
  if (entry.served) {
    lookup.state = RuntimeLookup::State::kServing;
    lookup.runtime = *entry.served;
    return lookup;
  }
  lookup.message = "Runtime " + name + " is " + entry.phase +
                   (entry.message.empty() ? "" : ": " + entry.message);
  lookup.failed = entry.failed;
  return lookup;
}

Status RuntimeController::Reconcile(const std::string& name) {
  const kube::ObjectPtr runtime = deps_.runtimes.Get(name);
  if (!runtime) {
    Forget(name);
    return OkStatus();
  }
  Entry entry;
  {
    const std::scoped_lock lock(mutex_);
    if (const auto it = entries_.find(name); it != entries_.end()) entry = it->second;
  }
  if (entry.uid != kube::UidOf(*runtime)) {
    CancelTests(&entry);  // of another object that had the same name
    entry = {};
    entry.uid = kube::UidOf(*runtime);
    entry.served = ServedFromStatus(*runtime);
  }
  const bool deleted = !At(*runtime, {"metadata", "deletionTimestamp"}).is_null();
  Status status = deleted ? ReconcileDeleted(*runtime, &entry) : ReconcileLive(*runtime, &entry);
  Store(name, std::move(entry));
  CountPhases();
  return status;
}

Status RuntimeController::ReconcileLive(const Json& runtime, Entry* entry) {
  const std::string name = kube::NameOf(runtime);
  const int64_t generation = GenerationOf(runtime);
  ENVICUTOR_ASSIGN(const bool added, AddFinalizer(runtime));
  if (added) return OkStatus();  // goes on with the object as it is now

  RuntimeView view;
  api::EnvironmentSpec environment;
  if (const std::vector<std::string> errors =
          CheckSpec(runtime, *deps_.options.Get(), &environment);
      !errors.empty()) {
    CancelTests(entry);
    entry->hash.clear();
    view.state = RuntimeView::State::kInvalid;
    view.message = Joined(errors);
    return Publish(runtime, entry, view);
  }
  entry->hash = deps_.builds.HashOf(environment);
  view.hash = entry->hash;
  {
    // A build that ends while this runs must find the hash.
    const std::scoped_lock lock(mutex_);
    Entry& stored = entries_[name];
    stored.hash = entry->hash;
  }

  const std::string retest = GetString(At(runtime, {"metadata", "annotations"}), kRetestAnnotation);
  const bool again = entry->retest && *entry->retest != retest;
  entry->retest = retest;
  if (again) {
    CancelTests(entry);
    deps_.builds.Retry(entry->hash);
  }
  const bool serves_this = entry->served && entry->served->generation == generation &&
                           entry->served->environment_hash == entry->hash;

  const BuildState build = deps_.builds.Ensure(environment);
  view.build = build;
  if (build.phase == BuildState::Phase::kBuilding || build.infrastructure) {
    if (build.phase == BuildState::Phase::kFailed) deps_.queue.AddAfter(name, kInfrastructureRetry);
    // After a restart of the operator the environment is only looked for again.
    if (serves_this && !again) return OkStatus();
    view.state =
        build.unpublished.empty() ? RuntimeView::State::kBuilding : RuntimeView::State::kPublishing;
    view.message = build.message;
    return Publish(runtime, entry, view);
  }
  if (build.phase == BuildState::Phase::kFailed) {
    CancelTests(entry);
    view.state = RuntimeView::State::kBuildFailed;
    view.message = build.message;
    return Publish(runtime, entry, view);
  }
  entry->store_path = build.store_path;
  // Written by an operator that did not keep it.
  if (serves_this && entry->served->environment_store_path.empty()) {
    entry->served->environment_store_path = build.store_path;
  }
  if (serves_this && !again && !entry->tests) {
    view.state = RuntimeView::State::kReady;
    view.served = &*entry->served;
    return Publish(runtime, entry, view);
  }
  std::string waiting;
  view.tests = RunTests(runtime, entry, &waiting);
  if (!view.tests) {
    view.state = RuntimeView::State::kTesting;
    view.message = waiting;
    return Publish(runtime, entry, view);
  }
  if (!view.tests->AllPassed()) {
    view.state = RuntimeView::State::kTestsFailed;
    view.message = view.tests->FirstFailure();
    return Publish(runtime, entry, view);
  }
  // The switch: the new one serves once the write that says so is done.
  ServedRuntime served{name,
                       generation,
                       entry->hash,
                       At(runtime, {"spec"}),
                       PoolOf(At(runtime, {"spec"})),
                       entry->store_path};
  view.state = RuntimeView::State::kReady;
  view.served = &served;
  ENVICUTOR_RETURN_IF_ERROR(Publish(runtime, entry, view));
  entry->served = std::move(served);
  entry->tests.reset();
  return OkStatus();
}

std::optional<TestReport> RuntimeController::RunTests(const Json& runtime, Entry* entry,
                                                      std::string* waiting) {
  const std::string name = kube::NameOf(runtime);
  const int64_t generation = GenerationOf(runtime);
  if (entry->tests &&
      (entry->tests->generation != generation || entry->tests->hash != entry->hash)) {
    CancelTests(entry);
  }
  if (!entry->tests) {
    auto tests = std::make_shared<TestRun>();
    tests->generation = generation;
    tests->hash = entry->hash;
    tests->pool = PoolOf(At(runtime, {"spec"}));
    std::vector<std::string> ignored;  // checked before
    for (api::RunRequest& request :
         SelfTestRequests(runtime, entry->hash, *deps_.options.Get(), &ignored)) {
      request.environment_store_path = entry->store_path;
      tests->items.push_back({std::move(request), std::nullopt, false, 0, {}, ""});
    }
    entry->tests = std::move(tests);
  }
  const std::shared_ptr<TestRun> tests = entry->tests;
  std::vector<size_t> submit;
  size_t done = 0;
  bool lost = false;
  std::string unavailable;
  {
    const std::scoped_lock lock(mutex_);
    for (size_t i = 0; i < tests->items.size(); ++i) {
      TestRun::Item& item = tests->items[i];
      if (item.result && item.result->ok() && (**item.result).environment_unavailable) {
        // Neither the runtime's fault nor an executor's: tried until the cache has it again.
        item.unavailable = (**item.result).message;
        item.not_before = deps_.clock.Now() + UnavailablePause(item.failures++);
        ++item.request.attempt;
        item.result.reset();
        item.submitted = false;
        deps_.builds.Recheck(tests->hash);
      }
      if (!item.submitted && deps_.clock.Now() < item.not_before) {
        unavailable = item.unavailable;
        continue;
      }
      if (item.result && IsInfrastructure(*item.result) && item.failures < kMaxTestFailures) {
        // The executor's fault: another attempt.
        lost = true;
        ++item.failures;
        ++item.request.attempt;
        item.result.reset();
        item.submitted = false;
      }
      if (item.result) ++done;
      if (!item.submitted && !item.result) {
        item.submitted = true;
        submit.push_back(i);
      }
    }
  }
  for (const size_t index : submit) SubmitTest(name, tests->pool, tests, index);
  if (done < tests->items.size()) {
    *waiting = "running " + std::to_string(tests->items.size() - 1) + " self-tests";
    for (const TestRun::Item& item : tests->items) {
      const std::optional<RunWait> wait = deps_.runner.Waiting(item.request.uid);
      if (!wait || !wait->no_capacity) continue;
      *waiting = "waiting for an executor of pool " + tests->pool + ": " + wait->message;
      break;
    }
    if (!unavailable.empty()) *waiting = "EnvironmentUnavailable, trying again: " + unavailable;
    if (lost) *waiting += "; an executor was lost, trying again";
    deps_.queue.AddAfter(name, kWaitInterval);
    return std::nullopt;
  }

  TestReport report;
  const std::scoped_lock lock(mutex_);
  const Json& specs = At(runtime, {"spec", "selfTests"});
  for (size_t i = 0; i < tests->items.size(); ++i) {
    const Result<api::RunResult>& result = *tests->items[i].result;
    const bool measurement = i + 1 == tests->items.size();
    const Json& spec = measurement ? At(specs, {}) : specs[i];
    if (IsInfrastructure(result) || !result.ok()) {
      SelfTestResult failed;
      failed.name = measurement ? "empty program" : GetString(spec, "name", std::to_string(i));
      failed.message = result.ok() ? result->message : result.status().message();
      if (failed.message.empty()) failed.message = "the executor could not run it";
      report.results.push_back(std::move(failed));
    } else if (!measurement) {
      report.results.push_back(JudgeSelfTest(spec, i, *result));
    } else if (result->run) {
      report.cpu_time_millis = result->run->cpu_time_millis;
      report.memory_bytes = result->run->memory_bytes;
      if (result->verdict != api::Verdict::kAccepted) {
        report.results.push_back(
            {"empty program", false,
             "bash cannot run in this environment and its limits: " + result->message});
      }
    }
  }
  return report;
}

void RuntimeController::SubmitTest(const std::string& name, const std::string& pool,
                                   const std::shared_ptr<TestRun>& tests, size_t index) {
  RunEvents events;
  events.on_done = [this, name, tests, index](const Result<api::RunResult>& result,
                                              const RunPlacement&) {
    {
      const std::scoped_lock lock(mutex_);
      tests->items[index].result = result;
    }
    deps_.queue.Add(name);
  };
  api::RunRequest request;
  {
    const std::scoped_lock lock(mutex_);
    request = tests->items[index].request;
  }
  deps_.runner.Submit(pool, deps_.options.Get()->operator_namespace, 0, std::move(request),
                      std::move(events));
}

void RuntimeController::CancelTests(Entry* entry) {
  if (!entry->tests) return;
  std::vector<std::string> running;
  {
    const std::scoped_lock lock(mutex_);
    for (const TestRun::Item& item : entry->tests->items) {
      if (item.submitted && !item.result) running.push_back(item.request.uid);
    }
  }
  entry->tests.reset();
  for (const std::string& uid : running) deps_.runner.Cancel(uid);
}

Status RuntimeController::Publish(const Json& runtime, Entry* entry, const RuntimeView& given) {
  RuntimeView view = given;
  if (view.served == nullptr && entry->served) view.served = &*entry->served;
  entry->phase = PhaseOf(view.state);
  entry->message = view.message;
  entry->failed = view.state == RuntimeView::State::kInvalid ||
                  view.state == RuntimeView::State::kBuildFailed ||
                  view.state == RuntimeView::State::kTestsFailed;

  const Json& old = At(runtime, {"status"});
  const Json status = RuntimeStatus(runtime, view, FormatRfc3339(deps_.clock.WallNow()));
  const Json patch = MergePatchBetween(old.is_object() ? old : Json::object(), status);
  if (patch.empty()) return OkStatus();
  const Json body = {{"metadata", {{"resourceVersion", kube::ResourceVersionOf(runtime)}}},
                     {"status", patch}};
  const Result<Json> written = deps_.client.Patch(kube::kRuntimes, "", kube::NameOf(runtime),
                                                  kube::PatchType::kMerge, body, "status");
  if (!written.ok()) {
    return written.status().code() == Code::kNotFound ? OkStatus() : written.status();
  }
  deps_.runtimes.Observe(*written);
  const std::string before = GetString(old, "phase");
  if (deps_.events != nullptr && before != entry->phase &&
      (entry->failed || entry->phase == "Ready")) {
    deps_.events->Record(runtime, entry->failed ? "Warning" : "Normal",
                         entry->failed ? "RuntimeFailed" : "RuntimeReady",
                         entry->failed ? GetString(status, "message") : "it serves submissions");
  }
  return OkStatus();
}

}  // namespace envicutor::op
