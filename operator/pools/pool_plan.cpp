#include "operator/pools/pool_plan.h"

#include <algorithm>

#include "common/base/encoding.h"
#include "common/kube/resource.h"

namespace envicutor::op {
namespace {

constexpr Duration kExpectationLife = std::chrono::seconds(30);
// An executor that served and does not answer for so long is lost with its node: kubelets and the
// control plane take five minutes to say so.
constexpr Duration kMuteLife = std::chrono::seconds(30);
constexpr Duration kFirstBackoff = std::chrono::seconds(1);
constexpr Duration kLongestBackoff = std::chrono::seconds(60);
constexpr const char* kTemplateHash = "envicutor.io/template-hash";

Duration BackoffOf(int failures) {
  Duration wait = kFirstBackoff;
  for (int i = 1; i < failures && wait < kLongestBackoff; ++i) wait *= 2;
  return std::min(wait, kLongestBackoff);
}

const AgentLoad* LoadOf(const PoolLoad& load, const std::string& pod) {
  for (const AgentLoad& agent : load.agents) {
    if (agent.pod == pod) return &agent;
  }
  return nullptr;
}

bool Busy(const PoolLoad& load, const std::string& pod) {
  const AgentLoad* agent = LoadOf(load, pod);
  return agent != nullptr && agent->busy > 0;
}

// Why a pod does not serve, from its status.
std::string TroubleOf(const Json& pod) {
  const Json& containers = At(pod, {"status", "containerStatuses"});
  if (containers.is_array()) {
    for (const Json& container : containers) {
      const Json& waiting = At(container, {"state", "waiting"});
      const std::string reason = GetString(waiting, "reason");
      if (!reason.empty() && reason != "ContainerCreating" && reason != "PodInitializing") {
        return reason + ": " + GetString(waiting, "message");
      }
      const Json& last = At(container, {"lastState", "terminated"});
      if (last.is_object() && !GetBool(container, "ready")) {
        return "the agent ended (" + GetString(last, "reason", "Error") + ", exit code " +
               std::to_string(GetInt(last, "exitCode")) + ") and is started again";
      }
    }
  }
  const Json& conditions = At(pod, {"status", "conditions"});
  if (conditions.is_array()) {
    for (const Json& condition : conditions) {
      if (GetString(condition, "type") == "PodScheduled" &&
          GetString(condition, "status") == "False") {
        return GetString(condition, "reason") + ": " + GetString(condition, "message");
      }
    }
  }
  const std::string reason = GetString(At(pod, {"status"}), "reason");
  if (!reason.empty()) return reason + ": " + GetString(At(pod, {"status"}), "message");
  return "";
}

// Whether its agent answered once and does not now. Remembers since when.
bool Mute(const PoolPod& pod, const PoolLoad& load, SteadyTime now, PoolState* state) {
  const AgentLoad* agent = LoadOf(load, pod.name);
  if (agent != nullptr && agent->ready) {
    state->served.insert(pod.name);
    state->mute_since.erase(pod.name);
    return false;
  }
  if (state->served.count(pod.name) == 0) return false;
  state->mute_since.emplace(pod.name, now);
  return true;
}

std::string NextName(const PoolSpec& spec, std::set<std::string>* taken) {
  for (int64_t i = 0;; ++i) {
    std::string name = "executor-" + spec.name + "-" + std::to_string(i);
    if (taken->insert(name).second) return name;
  }
}

}  // namespace

PoolSpec PoolSpecFromJson(const Json& pool) {
  const Json& json = At(pool, {"spec"});
  PoolSpec spec;
  spec.name = kube::NameOf(pool);
  spec.min_replicas = std::max<int64_t>(0, GetInt(json, "minReplicas", 1));
  spec.max_replicas = std::max(spec.min_replicas, GetInt(json, "maxReplicas", spec.min_replicas));
  spec.slots_per_executor = std::max<int64_t>(1, GetInt(json, "slotsPerExecutor", 2));
  spec.idle = std::chrono::seconds(std::max<int64_t>(0, GetInt(json, "idleSeconds", 300)));
  return spec;
}

PoolPod PoolPodFromJson(const Json& pod) {
  PoolPod result;
  result.name = kube::NameOf(pod);
  result.template_hash = GetString(At(pod, {"metadata", "labels"}), kTemplateHash);
  result.deleting = At(pod, {"metadata", "deletionTimestamp"}).is_string();
  const std::string phase = GetString(At(pod, {"status"}), "phase");
  result.ended = phase == "Failed" || phase == "Succeeded";
  result.ready = !result.ended && kube::ConditionStatus(pod, "Ready") == "True";
  if (!result.ready) result.trouble = TroubleOf(pod);
  return result;
}

PoolPlan PlanPool(const PoolSpec& spec, const std::vector<PoolPod>& pods, const PoolLoad& load,
                  SteadyTime now, PoolState* state) {
  PoolPlan plan;
  const auto later = [&](SteadyTime at) {
    if (!plan.again.has_value() || at < *plan.again) plan.again = at;
  };
  std::set<std::string> taken;
  std::vector<const PoolPod*> active;
  for (const PoolPod& pod : pods) {
    taken.insert(pod.name);
    state->expected.erase(pod.name);
    if (pod.ended) {
      if (state->replaced.insert(pod.name).second) {
        ++state->failures;
        state->create_after = now + BackoffOf(state->failures);
        plan.lost[pod.name] = pod.trouble.empty() ? "it ended" : "it ended: " + pod.trouble;
      }
      if (!pod.deleting) plan.remove.push_back(pod.name);
      continue;
    }
    const bool mute = Mute(pod, load, now, state);
    if (pod.ready && !mute) state->failures = 0;
    if (pod.deleting) continue;
    if (mute) {
      const SteadyTime lost = state->mute_since.at(pod.name) + kMuteLife;
      if (lost <= now) {
        plan.remove.push_back(pod.name);
        plan.lost[pod.name] = "it has not answered for 30 s";
        ++state->failures;
        state->create_after = now + BackoffOf(state->failures);
        continue;
      }
      later(lost);
    }
    // Made from a template of before: finishes what it runs and goes.
    const bool outdated = !pod.template_hash.empty() && pod.template_hash != spec.template_hash;
    if (outdated) state->draining.insert(pod.name);
    if (state->draining.count(pod.name) != 0) {
      plan.drain.push_back(pod.name);
      if (!Busy(load, pod.name)) plan.remove.push_back(pod.name);
      later(now + std::chrono::seconds(1));
      continue;
    }
    active.push_back(&pod);
  }
  const auto forget = [&](auto& names, auto name_of) {
    for (auto it = names.begin(); it != names.end();) {
      it = taken.count(name_of(*it)) == 0 ? names.erase(it) : std::next(it);
    }
  };
  forget(state->draining, [](const std::string& name) { return name; });
  forget(state->replaced, [](const std::string& name) { return name; });
  forget(state->idle_since, [](const auto& entry) { return entry.first; });
  forget(state->mute_since, [](const auto& entry) { return entry.first; });
  forget(state->served, [](const std::string& name) { return name; });
  for (auto it = state->expected.begin(); it != state->expected.end();) {
    if (it->second <= now) {
      it = state->expected.erase(it);
    } else {
      taken.insert(it->first);
      ++it;
    }
  }
  const auto present = static_cast<int64_t>(active.size() + state->expected.size());

  // What waits and what runs, in executors; never fewer than there are while anything waits.
  const int64_t work = load.busy + load.queued;
  const int64_t needed = (work + spec.slots_per_executor - 1) / spec.slots_per_executor;
  const int64_t wanted = std::clamp(std::max(needed, load.queued > 0 ? present : 0),
                                    spec.min_replicas, spec.max_replicas);
  if (present < wanted) {
    if (state->create_after > now) {
      later(state->create_after);
    } else {
      for (int64_t i = present; i < wanted; ++i) {
        plan.create.push_back(NextName(spec, &taken));
        state->expected[plan.create.back()] = now + kExpectationLife;
      }
    }
  }

  // Over what is wanted: those that have been idle long enough, the highest numbers first. Over the
  // maximum (it was lowered): at once, idle or not, after draining.
  int64_t surplus = present - wanted;
  const int64_t over_maximum = present - spec.max_replicas;
  std::sort(active.begin(), active.end(), [](const PoolPod* a, const PoolPod* b) {
    if (a->name.size() != b->name.size()) return a->name.size() > b->name.size();
    return a->name > b->name;
  });
  int64_t dropped = 0;
  for (const PoolPod* pod : active) {
    if (Busy(load, pod->name) || load.queued > 0) {
      state->idle_since.erase(pod->name);
    } else {
      state->idle_since.emplace(pod->name, now);
    }
    const auto idle = state->idle_since.find(pod->name);
    const bool long_idle = idle != state->idle_since.end() && idle->second + spec.idle <= now;
    if (surplus > 0 && (long_idle || dropped < over_maximum)) {
      --surplus;
      ++dropped;
      state->draining.insert(pod->name);
      plan.drain.push_back(pod->name);  // removed at the next look, if still idle then
      later(now);
    } else if (surplus > 0 && idle != state->idle_since.end()) {
      later(idle->second + spec.idle);
    }
  }
  return plan;
}

Json PoolStatus(const Json& pool, const PoolSpec& spec, const std::vector<PoolPod>& pods,
                const PoolLoad& load, WallTime now) {
  int64_t replicas = 0;
  int64_t ready = 0;
  std::string trouble;
  for (const PoolPod& pod : pods) {
    if (pod.ended) {
      if (trouble.empty()) trouble = pod.name + " ended " + pod.trouble;
      continue;
    }
    ++replicas;
    const AgentLoad* agent = LoadOf(load, pod.name);
    if (agent != nullptr && agent->ready && !agent->draining && !pod.deleting) {
      ++ready;
    } else if (trouble.empty() && !pod.deleting) {
      const char* silent = pod.ready ? " does not answer" : " is starting";
      trouble = pod.name + (pod.trouble.empty() ? silent : ": " + pod.trouble);
    }
  }
  Json status = {{"observedGeneration", GetInt(At(pool, {"metadata"}), "generation")},
                 {"replicas", replicas},
                 {"readyReplicas", ready},
                 {"slots", load.slots},
                 {"busySlots", load.busy},
                 {"queued", load.queued}};
  const Json& old = At(pool, {"status", "conditions"});
  Json conditions = old.is_array() ? old : Json::array();
  kube::Condition condition;
  condition.type = "Ready";
  condition.status = ready >= spec.min_replicas ? "True" : "False";
  condition.reason = ready >= spec.min_replicas ? "ExecutorsReady" : "ExecutorsNotReady";
  condition.message = std::to_string(ready) + " of " + std::to_string(spec.min_replicas) +
                      " executors are ready" +
                      (condition.status == "True" || trouble.empty() ? "" : "; " + trouble);
  condition.observed_generation = GetInt(At(pool, {"metadata"}), "generation");
  kube::SetCondition(&conditions, condition, FormatRfc3339(now));
  status["conditions"] = std::move(conditions);
  return status;
}

}  // namespace envicutor::op
