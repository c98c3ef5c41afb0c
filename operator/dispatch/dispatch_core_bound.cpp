// Runs that only one node can take: their environment is on its store and in no cache. They wait
// beside the queue, as what they wait for has nothing to do with who is next.
#include <algorithm>

#include "operator/dispatch/dispatch_core.h"

namespace envicutor::op {

bool DispatchCore::RemoveBound(Pool& pool, const std::string& uid) {
  return std::erase_if(pool.bound, [&uid](const auto& bound) { return bound.run.id == uid; }) != 0;
}

void DispatchCore::PumpBound(const std::string& name, SteadyTime now, Effects* out) {
  const auto it = pools_.find(name);
  if (it == pools_.end()) return;
  for (auto bound = it->second.bound.begin(); bound != it->second.bound.end();) {
    Run& run = runs_.at(bound->run.id);
    const std::string& node = run.request->environment_node;
    const auto fits = [&](const auto& entry) {
      const Agent& agent = entry.second;
      const auto busy = static_cast<int64_t>(agent.runs.size()) + agent.unclaimed_running;
      return agent.pool == name && agent.placement.node == node && Usable(agent, now) &&
             busy < agent.slots && agent.memory - agent.used_memory >= run.memory;
    };
    const auto agent = std::find_if(agents_.begin(), agents_.end(), fits);
    if (agent == agents_.end() || in_flight_->Full(run.ns)) {
      ++bound;
      continue;
    }
    in_flight_->Start(run.ns);
    const std::string uid = bound->run.id;
    bound = it->second.bound.erase(bound);
    --queued_;
    Place(uid, run, agent->first, out);
  }
}

// Its node has no executor of the pool (any more): whoever submitted may have it built elsewhere.
void DispatchCore::GiveUpBound(SteadyTime now, Effects* out) {
  for (auto& [name, pool] : pools_) {
    std::vector<std::string> lost;
    for (const BoundRun& bound : pool.bound) {
      const std::string& node = runs_.at(bound.run.id).request->environment_node;
      const bool there =
          std::any_of(agents_.begin(), agents_.end(), [&, &wanted = name](const auto& entry) {
            return entry.second.pool == wanted && entry.second.placement.node == node &&
                   !entry.second.draining;
          });
      if (!there && bound.since + options_.bound_grace <= now) lost.push_back(bound.run.id);
    }
    for (const std::string& uid : lost) {
      Run& run = runs_.at(uid);
      api::RunResult result;
      result.uid = uid;
      result.attempt = run.attempt;
      result.verdict = api::Verdict::kEnvironmentError;
      result.environment_unavailable = true;
      result.message = "its environment is on node " + run.request->environment_node +
                       " alone, where pool " + name + " has no executor";
      Unqueue(uid, run);
      Deliver(uid, run, std::move(result), out);
    }
  }
}

std::string DispatchCore::NodeFor(const std::string& pool) const {
  std::string node;
  int64_t most = -1;
  for (const auto& [name, agent] : agents_) {
    if (agent.pool != pool || !agent.connected || agent.draining || agent.silent) continue;
    const int64_t free =
        agent.slots - static_cast<int64_t>(agent.runs.size()) - agent.unclaimed_running;
    if (free <= most) continue;
    most = free;
    node = agent.placement.node;
  }
  return node;
}

}  // namespace envicutor::op
