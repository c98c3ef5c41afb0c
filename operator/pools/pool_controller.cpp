#include "operator/pools/pool_controller.h"

#include <algorithm>
#include <set>

#include "common/base/log.h"
#include "common/kube/resource.h"
#include "operator/pools/executor_pod.h"

namespace envicutor::op {
namespace {

constexpr std::chrono::milliseconds kLeastPause{100};
constexpr std::chrono::seconds kLongestPause{10};
constexpr std::chrono::seconds kStatusInterval{1};

std::string PoolOf(const Json& pod) {
  return GetString(At(pod, {"metadata", "labels"}), "envicutor.io/pool");
}

}  // namespace

PoolController::PoolController(const PoolControllerDeps& deps) : deps_(deps) {}

PoolController::~PoolController() { Stop(); }

void PoolController::Follow() {
  for (kube::Informer* informer : {&deps_.pools, &deps_.pods}) {
    kube::EventHandler handler;
    handler.on_add = [this](const kube::ObjectPtr&) { Wake(); };
    handler.on_update = [this](const kube::ObjectPtr&, const kube::ObjectPtr&) { Wake(); };
    handler.on_delete = [this](const kube::ObjectPtr&) { Wake(); };
    informer->AddHandler(std::move(handler));
  }
}

void PoolController::Start() {
  thread_ = std::jthread([this](std::stop_token stop) { Run(stop); });
}

void PoolController::Stop() {
  if (!thread_.joinable()) return;
  thread_.request_stop();
  wake_.notify_all();
  thread_.join();
}

void PoolController::Wake() {
  {
    const std::lock_guard lock(mutex_);
    if (dirty_) return;
    dirty_ = true;
  }
  wake_.notify_one();
}

void PoolController::Run(std::stop_token stop) {
  while (!stop.stop_requested()) {
    {
      const std::lock_guard lock(mutex_);
      dirty_ = false;
    }
    const SteadyTime again = ReconcileAll();
    std::unique_lock lock(mutex_);
    // Never back to back: the queue changes with every submission.
    wake_.wait_for(lock, stop, kLeastPause, [] { return false; });
    wake_.wait_until(lock, stop, again, [this] { return dirty_; });
  }
}

SteadyTime PoolController::ReconcileAll() {
  const SteadyTime now = deps_.clock.Now();
  SteadyTime again = now + kLongestPause;
  std::map<std::string, std::vector<Json>> pods;
  for (const kube::ObjectPtr& pod : deps_.pods.All()) pods[PoolOf(*pod)].push_back(*pod);
  std::set<std::string> present;
  for (const kube::ObjectPtr& pool : deps_.pools.All()) {
    const std::string name = kube::NameOf(*pool);
    if (At(*pool, {"metadata", "deletionTimestamp"}).is_string()) continue;
    present.insert(name);
    ReconcilePool(*pool, pods[name], now, &again);
  }
  for (const auto& [name, orphans] : pods) {
    if (name.empty() || present.count(name) != 0 || orphans.empty()) continue;
    RemoveOrphans(name, orphans);
    again = std::min<SteadyTime>(again, now + std::chrono::seconds(1));
  }
  for (auto it = known_.begin(); it != known_.end();) {
    it = present.count(it->first) == 0 ? known_.erase(it) : std::next(it);
  }
  return again;
}

void PoolController::ReconcilePool(const Json& object, const std::vector<Json>& pods,
                                   SteadyTime now, SteadyTime* again) {
  PoolSpec spec = PoolSpecFromJson(object);
  spec.template_hash = TemplateHash(object, spec, *deps_.options.Get());
  Pool& pool = known_[spec.name];
  std::vector<PoolPod> views;
  views.reserve(pods.size());
  for (const Json& pod : pods) views.push_back(PoolPodFromJson(pod));
  const PoolLoad load = deps_.dispatcher.Load(spec.name);
  const PoolPlan plan = PlanPool(spec, views, load, now, &pool.state);
  for (const std::string& name : plan.drain) deps_.dispatcher.Drain(name);
  for (const auto& [name, why] : plan.lost) {
    log::Warn("an executor is lost", {{"pod", name}, {"pool", spec.name}, {"why", why}});
    if (deps_.events != nullptr) {
      deps_.events->Record(object, "Warning", "ExecutorLost", name + ": " + why);
    }
  }
  for (const std::string& name : plan.create) CreatePod(object, spec, name, &pool.state);
  for (const std::string& name : plan.remove) {
    const auto it = std::find_if(pods.begin(), pods.end(),
                                 [&](const Json& pod) { return kube::NameOf(pod) == name; });
    if (it != pods.end()) RemovePod(*it);
  }
  if (plan.again.has_value()) *again = std::min(*again, *plan.again);
  WriteStatus(object, spec, views, load, now, again, &pool);
  Measure(spec.name, views, load);
}

void PoolController::RemoveOrphans(const std::string& pool, const std::vector<Json>& pods) {
  const PoolLoad load = deps_.dispatcher.Load(pool);
  for (const Json& pod : pods) {
    const std::string name = kube::NameOf(pod);
    deps_.dispatcher.Drain(name);
    const auto agent = std::find_if(load.agents.begin(), load.agents.end(),
                                    [&](const AgentLoad& a) { return a.pod == name; });
    const bool idle = agent == load.agents.end() || agent->busy == 0;
    if (idle && !At(pod, {"metadata", "deletionTimestamp"}).is_string()) RemovePod(pod);
  }
}

void PoolController::CreatePod(const Json& pool, const PoolSpec& spec, const std::string& name,
                               PoolState* state) {
  const std::shared_ptr<const Options> options = deps_.options.Get();
  const Result<Json> created = deps_.client.Create(kube::kPods, options->executor_namespace,
                                                   ExecutorPod(pool, spec, name, *options));
  if (created.ok()) {
    deps_.pods.Observe(*created);
    log::Info("executor pod created", {{"pod", name}, {"pool", spec.name}});
    return;
  }
  if (created.status().code() == Code::kAlreadyExists) return;  // the informer is behind
  state->expected.erase(name);
  ++state->failures;
  state->create_after =
      deps_.clock.Now() + std::chrono::seconds(std::min(60, 1 << std::min(state->failures, 6)));
  log::Error("an executor pod was not created",
             {{"pod", name}, {"error", created.status().ToString()}});
  if (deps_.events != nullptr) {
    deps_.events->Record(pool, "Warning", "CreateFailed", name + ": " + created.status().message());
  }
}

void PoolController::RemovePod(const Json& pod) {
  kube::Client::DeleteOptions options;
  options.uid = kube::UidOf(pod);
  const Status status =
      deps_.client.Delete(kube::kPods, kube::NamespaceOf(pod), kube::NameOf(pod), options);
  if (status.ok()) {
    log::Info("executor pod deleted", {{"pod", kube::NameOf(pod)}});
  } else if (status.code() != Code::kNotFound && status.code() != Code::kConflict) {
    log::Warn("an executor pod was not deleted",
              {{"pod", kube::NameOf(pod)}, {"error", status.ToString()}});
  }
}

void PoolController::WriteStatus(const Json& object, const PoolSpec& spec,
                                 const std::vector<PoolPod>& pods, const PoolLoad& load,
                                 SteadyTime now, SteadyTime* again, Pool* pool) {
  Json status = PoolStatus(object, spec, pods, load, deps_.clock.WallNow());
  if (status == At(object, {"status"}) || status == pool->written) return;
  if (now < pool->written_at + kStatusInterval) {
    *again = std::min<SteadyTime>(*again, pool->written_at + kStatusInterval);
    return;
  }
  pool->written_at = now;
  const Result<Json> written = deps_.client.Patch(
      kube::kExecutorPools, "", spec.name, kube::PatchType::kMerge, {{"status", status}}, "status");
  if (!written.ok()) {
    *again = std::min<SteadyTime>(*again, now + kStatusInterval);
    if (written.status().code() != Code::kNotFound) {
      log::Warn("a pool's status was not written",
                {{"pool", spec.name}, {"error", written.status().ToString()}});
    }
    return;
  }
  deps_.pools.Observe(*written);
  const std::string message = [&] {
    for (const PoolPod& pod : pods) {
      if (!pod.trouble.empty() && !pod.deleting) return pod.name + ": " + pod.trouble;
    }
    return std::string();
  }();
  if (deps_.events != nullptr && !message.empty() && message != pool->told) {
    deps_.events->Record(object, "Warning", "ExecutorNotReady", message);
  }
  pool->told = message;
  pool->written = std::move(status);
}

void PoolController::Measure(const std::string& pool, const std::vector<PoolPod>& pods,
                             const PoolLoad& load) {
  int64_t ready = 0;
  int64_t draining = 0;
  for (const AgentLoad& agent : load.agents) {
    ready += agent.ready && !agent.draining ? 1 : 0;
    draining += agent.draining ? 1 : 0;
  }
  const auto lost =
      std::count_if(pods.begin(), pods.end(), [](const PoolPod& pod) { return pod.ended; });
  const auto all = static_cast<int64_t>(pods.size());
  const auto set = [](const auto& family, const std::string& name, const char* state,
                      int64_t value) {
    family.With({name, state}).Set(static_cast<double>(value));
  };
  set(deps_.metrics.executors, pool, "ready", ready);
  set(deps_.metrics.executors, pool, "draining", draining);
  set(deps_.metrics.executors, pool, "lost", lost);
  set(deps_.metrics.executors, pool, "starting",
      std::max<int64_t>(0, all - ready - draining - lost));
  set(deps_.metrics.slots, pool, "busy", load.busy);
  set(deps_.metrics.slots, pool, "free", std::max<int64_t>(0, load.slots - load.busy));
}

}  // namespace envicutor::op
