// The part of EnvironmentBuilder that has the cache collected. Builds and a collection take turns:
// a publisher that finds a path in the cache relies on it, and must not lose it to a collection
// that does not know of the environment yet.

#include <algorithm>
#include <utility>

#include "common/base/log.h"
#include "common/kube/resource.h"
#include "operator/environments/environment_builder.h"

namespace envicutor::op {
namespace {

constexpr std::chrono::seconds kTryAgain{5};
// What a ConfigMap can hold, and more than anybody needs.
constexpr size_t kMaxKept = 4000;
// Environments that this process remembers though nobody may want them; the others are found in the
// cache by a builder pod when they are asked for.
constexpr size_t kMaxRemembered = 2000;

int64_t UnixSeconds(WallTime time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
}

bool IsOver(const Json& pod) {
  const std::string phase = GetString(At(pod, {"status"}), "phase");
  return phase == "Succeeded" || phase == "Failed";
}

}  // namespace

void EnvironmentBuilder::CollectCache(std::function<std::vector<KeptEnvironment>()> pinned,
                                      kube::EventRecorder* events) {
  const CacheOptions& cache = deps_.options.cache;
  // S3 has rules of its own for what is old; it is not listed from here.
  if (cache.url.empty() || cache.url.rfind("s3://", 0) == 0) return;
  pinned_ = std::move(pinned);
  events_ = events;
  next_collection_ = deps_.clock.Now() + std::chrono::milliseconds(cache.gc_interval_millis);
}

void EnvironmentBuilder::ForgetUnused() {
  if (builds_.size() < kMaxRemembered) return;
  auto oldest = builds_.end();
  for (auto it = builds_.begin(); it != builds_.end(); ++it) {
    if (it->second.stage != Stage::kDone) continue;
    if (oldest == builds_.end() || it->second.last_used < oldest->second.last_used) oldest = it;
  }
  if (oldest != builds_.end()) builds_.erase(oldest);
}

std::vector<KeptEnvironment> EnvironmentBuilder::KeptEnvironments() const {
  std::map<std::string, KeptEnvironment> by_hash;
  for (KeptEnvironment& environment : pinned_()) {
    environment.pinned = true;
    KeptEnvironment& kept = by_hash[environment.hash];
    if (kept.store_path.empty()) kept = std::move(environment);
  }
  std::vector<KeptEnvironment> kept;
  kept.reserve(by_hash.size());
  for (const auto& [hash, environment] : by_hash) kept.push_back(environment);
  std::vector<KeptEnvironment> others;
  {
    const std::scoped_lock lock(mutex_);
    for (const auto& [hash, build] : builds_) {
      if (by_hash.contains(hash) || !build.spec.salt.empty()) continue;
      // One that waits to be built, or to be published, is as good as in use.
      others.push_back({hash, build.state.store_path, build.stage != Stage::kDone,
                        UnixSeconds(build.last_used)});
    }
  }
  std::sort(others.begin(), others.end(), [](const auto& a, const auto& b) {
    if (a.pinned != b.pinned) return a.pinned;
    return a.last_used_unix > b.last_used_unix;
  });
  for (KeptEnvironment& environment : others) {
    if (kept.size() < kMaxKept) kept.push_back(std::move(environment));
  }
  return kept;
}

bool EnvironmentBuilder::SomethingIsBuilt() const {
  for (const kube::ObjectPtr& pod : deps_.pods.All()) {
    const std::string hash = GetString(At(*pod, {"metadata", "labels"}), kEnvironmentLabel);
    if (kube::NameOf(*pod) == BuilderName(hash) && !IsOver(*pod)) return true;
  }
  const std::scoped_lock lock(mutex_);
  return std::any_of(builds_.begin(), builds_.end(),
                     [](const auto& entry) { return entry.second.stage == Stage::kRunning; });
}

Status EnvironmentBuilder::ReconcileCollection() {
  if (!pinned_) return OkStatus();
  if (const kube::ObjectPtr pod = PodNamed(kCollectorName)) {
    if (!At(*pod, {"metadata", "deletionTimestamp"}).is_null()) return OkStatus();
    const CollectorOutcome outcome = ReadCollectorPod(*pod);
    if (outcome.ended) return EndCollection(*pod, outcome);
    // Ours, or a former operator's.
    const std::scoped_lock lock(mutex_);
    collecting_ = true;
    return OkStatus();
  }
  bool due = false;
  bool woken = false;
  {
    const std::scoped_lock lock(mutex_);
    const SteadyTime now = deps_.clock.Now();
    due = now >= next_collection_;
    // Not due, and its pod is gone, whatever it did: builds go on.
    woken = std::exchange(collecting_, due) && !due;
    if (!due) deps_.queue.AddAfter(kCollectorLabel, next_collection_ - now);
  }
  if (woken) WakeQueued();
  if (!due) return OkStatus();
  if (SomethingIsBuilt()) {
    deps_.queue.AddAfter(kCollectorLabel, kTryAgain);
    return OkStatus();
  }
  const std::vector<KeptEnvironment> kept = KeptEnvironments();
  Status status =
      kept.size() > kMaxKept
          ? ResourceExhausted("more than " + std::to_string(kMaxKept) + " environments are in use")
          : OkStatus();
  // An older one's list would be an older one's.
  if (status.ok()) {
    status =
        deps_.client.Delete(kube::kConfigMaps, deps_.options.executor_namespace, kCollectorName);
    if (status.code() == Code::kNotFound) status = OkStatus();
  }
  if (status.ok()) status = Create(kube::kConfigMaps, CollectorConfigMap(kept, deps_.options));
  if (status.ok()) status = Create(kube::kPods, CollectorPod(deps_.options));
  if (status.ok()) return status;
  log::Warn("cache: not collected", {{"error", status.message()}});
  {
    const std::scoped_lock lock(mutex_);
    collecting_ = false;
    next_collection_ =
        deps_.clock.Now() + std::chrono::milliseconds(deps_.options.cache.gc_interval_millis);
  }
  deps_.queue.Add(kCollectorLabel);
  WakeQueued();
  return OkStatus();
}

Status EnvironmentBuilder::EndCollection(const Json& pod, const CollectorOutcome& outcome) {
  if (outcome.ok) {
    log::Info("cache: collected", {{"result", outcome.message.substr(0, 512)}});
    deps_.metrics.cache_bytes.Set(static_cast<double>(outcome.kept_bytes));
  } else {
    log::Warn("cache: not collected", {{"error", outcome.message.substr(0, 512)}});
  }
  if (events_ != nullptr && (outcome.changed || !outcome.ok)) {
    events_->Record(pod, outcome.ok ? "Normal" : "Warning",
                    outcome.ok ? "CacheCollected" : "CacheNotCollected",
                    outcome.message.substr(0, 1000));
  }
  {
    const std::scoped_lock lock(mutex_);
    for (const std::string& hash : outcome.environments) {
      const auto it = builds_.find(hash);
      if (it != builds_.end() && it->second.stage == Stage::kDone) builds_.erase(it);
    }
    next_collection_ =
        deps_.clock.Now() + std::chrono::milliseconds(deps_.options.cache.gc_interval_millis);
  }
  ENVICUTOR_RETURN_IF_ERROR(DeletePod(pod));
  Status status =
      deps_.client.Delete(kube::kConfigMaps, deps_.options.executor_namespace, kCollectorName);
  if (!status.ok() && status.code() != Code::kNotFound) return status;
  {
    const std::scoped_lock lock(mutex_);
    collecting_ = false;
  }
  WakeQueued();
  return OkStatus();
}

}  // namespace envicutor::op
