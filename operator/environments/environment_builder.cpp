#include "operator/environments/environment_builder.h"

#include <algorithm>

#include "common/base/log.h"
#include "common/kube/resource.h"

namespace envicutor::op {
namespace {

constexpr std::string_view kRemovePrefix = "remove/";
constexpr int kMaxFailuresInARow = 4;
constexpr std::chrono::seconds kFirstRetry{2};
constexpr std::chrono::seconds kLastRetry{60};
// An ended pod of a former operator is kept so long for somebody to ask for its environment.
constexpr std::chrono::minutes kStrangerAge{2};
// An environment that an executor could not get is looked at again so often at most.
constexpr std::chrono::seconds kRecheckInterval{60};

Duration RetryDelay(int failures) {
  const Duration delay = kFirstRetry * (1 << std::min(failures, 8));
  return std::min<Duration>(delay, kLastRetry);
}

bool HitItsBounds(const BuildState& state) {
  return state.message.rfind("TimedOut", 0) == 0 || state.message.rfind("OutOfMemory", 0) == 0;
}

bool AsksForMore(const api::EnvironmentSpec& asked, const api::EnvironmentSpec& had,
                 const Options& options) {
  const auto timeout = [&options](const api::EnvironmentSpec& spec) {
    return spec.build_timeout_millis > 0 ? spec.build_timeout_millis
                                         : options.builder.timeout_millis;
  };
  const auto memory = [&options](const api::EnvironmentSpec& spec) {
    return spec.build_memory_bytes > 0 ? spec.build_memory_bytes : options.builder.memory_bytes;
  };
  return timeout(asked) > timeout(had) || memory(asked) > memory(had);
}

}  // namespace

EnvironmentBuilder::EnvironmentBuilder(EnvironmentBuilderDeps deps) : deps_(deps) {}

void EnvironmentBuilder::Follow() {
  const auto enqueue = [this](const kube::ObjectPtr& pod) {
    const std::string hash = GetString(At(*pod, {"metadata", "labels"}), kEnvironmentLabel);
    if (hash.empty()) return;
    const bool remover = kube::NameOf(*pod) == RemoverName(hash);
    deps_.queue.Add(remover ? std::string(kRemovePrefix) + hash : hash);
  };
  kube::EventHandler handler;
  handler.on_add = enqueue;
  handler.on_update = [enqueue](const kube::ObjectPtr&, const kube::ObjectPtr& now) {
    enqueue(now);
  };
  handler.on_delete = enqueue;
  deps_.pods.AddHandler(std::move(handler));
  if (pinned_) deps_.queue.Add(kCollectorLabel);
}

std::string EnvironmentBuilder::HashOf(const api::EnvironmentSpec& spec) const {
  return api::EnvironmentHash(spec, deps_.options.builder.nixpkgs);
}

BuildState EnvironmentBuilder::Ensure(const api::EnvironmentSpec& spec) {
  const std::string hash = HashOf(spec);
  const std::scoped_lock lock(mutex_);
  if (!builds_.contains(hash)) ForgetUnused();
  const auto [it, fresh] = builds_.try_emplace(hash);
  Build& build = it->second;
  build.last_used = deps_.clock.WallNow();
  if (fresh) {
    build.spec = spec;
    build.order = next_order_++;
    build.state.message = "waiting for its turn to be built";
    deps_.queue.Add(hash);
  } else if (build.stage == Stage::kDone && build.state.phase == BuildState::Phase::kFailed &&
             ((build.state.infrastructure && deps_.clock.Now() >= build.not_before) ||
              (HitItsBounds(build.state) && AsksForMore(spec, build.spec, deps_.options)))) {
    // Not the environment's fault, or that of who asked for too little: another try.
    build.spec = spec;
    build.stage = Stage::kQueued;
    build.failures = 0;
    build.state = {};
    build.state.message = "waiting for its turn to be built";
    deps_.queue.Add(hash);
  }
  return build.state;
}

void EnvironmentBuilder::Retry(const std::string& hash) {
  const std::scoped_lock lock(mutex_);
  const auto it = builds_.find(hash);
  if (it == builds_.end() || it->second.stage != Stage::kDone ||
      it->second.state.phase != BuildState::Phase::kFailed) {
    return;
  }
  Build& build = it->second;
  build.stage = Stage::kQueued;
  build.failures = 0;
  build.not_before = {};
  build.state = {};
  build.state.message = "waiting for its turn to be built";
  deps_.queue.Add(hash);
}

void EnvironmentBuilder::Recheck(const std::string& hash) {
  const std::scoped_lock lock(mutex_);
  const auto it = builds_.find(hash);
  if (it == builds_.end() || it->second.stage != Stage::kDone ||
      it->second.state.phase != BuildState::Phase::kReady ||
      deps_.clock.Now() < it->second.ended + kRecheckInterval) {
    return;
  }
  // A builder that finds it built and published ends at once.
  Build& build = it->second;
  build.stage = Stage::kQueued;
  build.doubted = true;
  build.failures = 0;
  build.not_before = {};
  build.state = {};
  build.state.message = "it is looked for again: an executor could not get it";
  deps_.queue.Add(hash);
}

void EnvironmentBuilder::Discard(const std::string& hash) {
  {
    const std::scoped_lock lock(mutex_);
    const auto it = builds_.find(hash);
    if (it != builds_.end() && !it->second.state.node.empty()) {
      removal_nodes_[hash] = it->second.state.node;
    }
    builds_.erase(hash);
  }
  deps_.queue.Add(std::string(kRemovePrefix) + hash);
}

void EnvironmentBuilder::OnChange(std::function<void(const std::string&)> callback) {
  const std::scoped_lock lock(mutex_);
  callbacks_.push_back(std::move(callback));
}

void EnvironmentBuilder::Changed(const std::string& hash) {
  std::vector<std::function<void(const std::string&)>> callbacks;
  {
    const std::scoped_lock lock(mutex_);
    callbacks = callbacks_;
  }
  for (const auto& callback : callbacks) callback(hash);
}

kube::ObjectPtr EnvironmentBuilder::PodNamed(const std::string& name) const {
  return deps_.pods.Get(deps_.options.executor_namespace + "/" + name);
}

Status EnvironmentBuilder::Reconcile(const std::string& key) {
  if (key == kCollectorLabel) return ReconcileCollection();
  if (key.rfind(kRemovePrefix, 0) == 0) return ReconcileRemoval(key.substr(kRemovePrefix.size()));
  return ReconcileBuild(key);
}

Status EnvironmentBuilder::ReconcileBuild(const std::string& hash) {
  std::optional<Build> build;
  {
    const std::scoped_lock lock(mutex_);
    const auto it = builds_.find(hash);
    if (it != builds_.end()) build = it->second;
  }
  const kube::ObjectPtr pod = PodNamed(BuilderName(hash));
  if (!build) {
    // Nobody has asked since this operator started. A running one goes on: its work is not lost.
    if (!pod || ReadBuilderPod(*pod, deps_.options).phase != PodOutcome::Phase::kEnded)
      return OkStatus();
    const std::scoped_lock lock(mutex_);
    const auto [since, fresh] = strangers_.try_emplace(hash, deps_.clock.Now());
    if (deps_.clock.Now() - since->second < kStrangerAge) {
      deps_.queue.AddAfter(hash, kStrangerAge);
      return OkStatus();
    }
    strangers_.erase(since);
  }
  if (!build || build->stage == Stage::kDone) return CleanUp(hash);

  if (pod && !At(*pod, {"metadata", "deletionTimestamp"}).is_null()) {
    return OkStatus();  // an older one on its way out; its end brings us back
  }
  if (pod) {
    PodOutcome outcome = ReadBuilderPod(*pod, deps_.options);
    if (outcome.phase == PodOutcome::Phase::kEnded) {
      Ended(hash, std::move(outcome));
      return CleanUp(hash);
    }
    {
      const std::scoped_lock lock(mutex_);
      const auto it = builds_.find(hash);
      if (it == builds_.end()) return OkStatus();
      it->second.stage = Stage::kRunning;  // adopted, or started by us
      if (!it->second.started) it->second.started = deps_.clock.Now();
    }
    SetMessage(hash, outcome.phase == PodOutcome::Phase::kRunning ? "the environment is being built"
                     : outcome.waiting.empty()                    ? "its builder pod is starting"
                                               : "its builder pod is waiting: " + outcome.waiting);
    return OkStatus();
  }
  if (build->stage == Stage::kRunning) {
    // The pod went away without a result: the node is gone, or somebody deleted it.
    PodOutcome lost;
    lost.phase = PodOutcome::Phase::kEnded;
    lost.infrastructure = true;
    lost.state.phase = BuildState::Phase::kFailed;
    lost.state.infrastructure = true;
    lost.state.message = "the builder pod disappeared";
    Ended(hash, std::move(lost));
    return OkStatus();
  }
  if (!TakeTurn(hash)) return OkStatus();
  Status started = StartPod(hash, *build);
  if (started.ok()) return OkStatus();
  {
    const std::scoped_lock lock(mutex_);
    if (const auto it = builds_.find(hash); it != builds_.end()) it->second.stage = Stage::kQueued;
  }
  SetMessage(hash, "its builder pod cannot be created: " + started.message());
  return started;
}

bool EnvironmentBuilder::TakeTurn(const std::string& hash) {
  const std::scoped_lock lock(mutex_);
  const auto it = builds_.find(hash);
  if (it == builds_.end() || collecting_) return false;  // its end wakes those that wait
  Build& build = it->second;
  const SteadyTime now = deps_.clock.Now();
  if (now < build.not_before) {
    deps_.queue.AddAfter(hash, build.not_before - now);
    return false;
  }
  int64_t running = 0;
  for (const auto& [other_hash, other] : builds_) {
    if (other.stage == Stage::kRunning) ++running;
    // Somebody who came earlier and may start, too, goes first.
    if (other.stage == Stage::kQueued && other.order < build.order && now >= other.not_before) {
      ++running;
    }
  }
  if (running >= std::max<int64_t>(deps_.options.builder.concurrency, 1)) return false;
  build.stage = Stage::kRunning;
  build.started = now;
  return true;
}

void EnvironmentBuilder::WakeQueued() {
  std::vector<std::pair<int64_t, std::string>> queued;
  bool collecting = false;
  {
    const std::scoped_lock lock(mutex_);
    collecting = collecting_;
    for (const auto& [hash, build] : builds_) {
      if (build.stage == Stage::kQueued) queued.emplace_back(build.order, hash);
    }
  }
  std::sort(queued.begin(), queued.end());
  for (const auto& [order, hash] : queued) deps_.queue.Add(hash);
  if (collecting) deps_.queue.Add(kCollectorLabel);
}

Status EnvironmentBuilder::Create(const kube::ResourceType& type, const Json& object) {
  const Result<Json> created = deps_.client.Create(type, kube::NamespaceOf(object), object);
  if (created.ok()) {
    if (type.plural == kube::kPods.plural) deps_.pods.Observe(*created);
    return OkStatus();
  }
  // By an earlier try whose answer was lost, or a former operator: the content follows from the
  // name.
  return created.status().code() == Code::kAlreadyExists ? OkStatus() : created.status();
}

Status EnvironmentBuilder::StartPod(const std::string& hash, const Build& build) {
  const api::EnvironmentSpec& spec = build.spec;
  ENVICUTOR_RETURN_IF_ERROR(Create(kube::kConfigMaps, BuilderConfigMap(hash, spec, deps_.options)));
  ENVICUTOR_RETURN_IF_ERROR(
      Create(kube::kPods, BuilderPod(hash, spec, deps_.options, build.doubted)));
  OwnConfigMap(hash);
  log::Info("environment: build started", {{"environment", hash}});
  SetMessage(hash, "its builder pod is starting");
  return OkStatus();
}

// So that the ConfigMap goes with its pod, whoever deletes that, where garbage is collected.
// CleanUp does not rely on it.
void EnvironmentBuilder::OwnConfigMap(const std::string& hash) {
  const kube::ObjectPtr pod = PodNamed(BuilderName(hash));
  if (!pod) return;
  const Json owner = {{"apiVersion", "v1"},
                      {"kind", "Pod"},
                      {"name", kube::NameOf(*pod)},
                      {"uid", kube::UidOf(*pod)}};
  const Result<Json> written = deps_.client.Patch(
      kube::kConfigMaps, deps_.options.executor_namespace, BuilderName(hash),
      kube::PatchType::kMerge, {{"metadata", {{"ownerReferences", Json::array({owner})}}}});
  if (!written.ok()) {
    log::Warn("environment: a builder's ConfigMap has no owner",
              {{"environment", hash}, {"error", written.status().ToString()}});
  }
}

Status EnvironmentBuilder::DeletePod(const Json& pod) {
  if (!At(pod, {"metadata", "deletionTimestamp"}).is_null()) return OkStatus();
  kube::Client::DeleteOptions options;
  options.uid = kube::UidOf(pod);
  const Status status =
      deps_.client.Delete(kube::kPods, kube::NamespaceOf(pod), kube::NameOf(pod), options);
  const bool gone = status.code() == Code::kNotFound || status.code() == Code::kConflict;
  return gone ? OkStatus() : status;
}

Status EnvironmentBuilder::CleanUp(const std::string& hash) {
  if (const kube::ObjectPtr pod = PodNamed(BuilderName(hash))) {
    // The pod last: while it is there, a failure comes back to here.
    Status status =
        deps_.client.Delete(kube::kConfigMaps, deps_.options.executor_namespace, BuilderName(hash));
    if (!status.ok() && status.code() != Code::kNotFound) return status;
    ENVICUTOR_RETURN_IF_ERROR(DeletePod(*pod));
  }
  WakeQueued();
  return OkStatus();
}

void EnvironmentBuilder::Ended(const std::string& hash, PodOutcome outcome) {
  bool retry = false;
  const std::string message = outcome.state.message;
  {
    const std::scoped_lock lock(mutex_);
    const auto it = builds_.find(hash);
    if (it == builds_.end() || it->second.stage == Stage::kDone) return;
    Build& build = it->second;
    if (build.started) {
      const bool success = outcome.state.phase == BuildState::Phase::kReady;
      deps_.metrics.runtime_build_seconds.With({success ? "success" : "failure"})
          .Observe(std::chrono::duration<double>(deps_.clock.Now() - *build.started).count());
    }
    build.started.reset();
    if (outcome.infrastructure) {
      const Duration delay = RetryDelay(build.failures);
      build.not_before = deps_.clock.Now() + delay;
      retry = ++build.failures < kMaxFailuresInARow;
      if (retry) deps_.queue.AddAfter(hash, delay);
    }
    if (retry) {
      build.stage = Stage::kQueued;
      // What was built stays built, though the cache does not have it yet.
      build.state = outcome.state.unpublished.empty() ? BuildState() : std::move(outcome.state);
      build.state.phase = BuildState::Phase::kBuilding;
      build.state.infrastructure = false;
      build.state.message = "will be tried again: " + message;
    } else {
      build.stage = Stage::kDone;
      build.doubted = build.doubted && outcome.state.phase != BuildState::Phase::kReady;
      build.ended = deps_.clock.Now();
      build.state = std::move(outcome.state);
      if (outcome.infrastructure) {
        build.state.message +=
            " (tried " + std::to_string(build.failures) + " times" +
            (build.state.node.empty() ? "" : ", last on node " + build.state.node) + ")";
      }
    }
    log::Info("environment: build ended",
              {{"environment", hash},
               {"result", build.state.phase == BuildState::Phase::kReady    ? "ready"
                          : build.state.phase == BuildState::Phase::kFailed ? "failed"
                                                                            : "retry"},
               {"message", build.state.message.substr(0, 512)}});
  }
  Changed(hash);
}

void EnvironmentBuilder::SetMessage(const std::string& hash, const std::string& message) {
  {
    const std::scoped_lock lock(mutex_);
    const auto it = builds_.find(hash);
    if (it == builds_.end() || it->second.stage == Stage::kDone) return;
    if (it->second.state.message == message) return;
    it->second.state.message = message;
  }
  Changed(hash);
}

Status EnvironmentBuilder::ReconcileRemoval(const std::string& hash) {
  {
    const std::scoped_lock lock(mutex_);
    if (builds_.count(hash) != 0) return OkStatus();  // asked for again since
  }
  // Its build, if there is one, ends first: it would write what is removed here.
  if (const kube::ObjectPtr builder = PodNamed(BuilderName(hash))) {
    ENVICUTOR_RETURN_IF_ERROR(CleanUp(hash));
    deps_.queue.AddAfter(std::string(kRemovePrefix) + hash, std::chrono::milliseconds(500));
    return OkStatus();
  }
  const kube::ObjectPtr remover = PodNamed(RemoverName(hash));
  if (!remover) {
    {
      const std::scoped_lock lock(mutex_);
      // Its end, below, is not a reason to start another.
      if (removed_.erase(hash) != 0) return OkStatus();
    }
    Json pod = RemoverPod(hash, deps_.options);
    {
      const std::scoped_lock lock(mutex_);
      // On the store that it was built into.
      const auto node = removal_nodes_.find(hash);
      if (node != removal_nodes_.end()) {
        pod["spec"]["nodeSelector"] = {{"kubernetes.io/hostname", node->second}};
      }
    }
    ENVICUTOR_RETURN_IF_ERROR(Create(kube::kPods, pod));
    const std::scoped_lock lock(mutex_);
    removal_nodes_.erase(hash);
    return OkStatus();
  }
  const PodOutcome outcome = ReadBuilderPod(*remover, deps_.options);
  if (outcome.phase != PodOutcome::Phase::kEnded) return OkStatus();
  if (outcome.state.phase != BuildState::Phase::kReady) {
    log::Warn("environment: not removed from the store",
              {{"environment", hash}, {"message", outcome.state.message.substr(0, 512)}});
  }
  {
    const std::scoped_lock lock(mutex_);
    removed_.insert(hash);
  }
  return DeletePod(*remover);
}

}  // namespace envicutor::op
