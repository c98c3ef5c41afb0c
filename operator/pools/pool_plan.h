// What an ExecutorPool needs: pods to create, to drain and to delete. A pure function over (spec,
// pods, load, time) with a small state of its own.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/json.h"
#include "operator/dispatch/dispatch_core.h"

namespace envicutor::op {

struct PoolSpec {
  std::string name;
  int64_t min_replicas = 1;
  int64_t max_replicas = 1;
  int64_t slots_per_executor = 2;
  Duration idle = std::chrono::seconds(300);
  std::string template_hash;  // TemplateHash's; pods with another are replaced
};
// Without the template_hash.
[[nodiscard]] PoolSpec PoolSpecFromJson(const Json& pool);

struct PoolPod {
  std::string name;
  std::string template_hash;
  bool ready = false;
  bool deleting = false;
  bool ended = false;   // phase Failed or Succeeded
  std::string trouble;  // why it is not ready: "ErrImagePull: ...", "Unschedulable: ..."
};
[[nodiscard]] PoolPod PoolPodFromJson(const Json& pod);

struct PoolState {
  std::map<std::string, SteadyTime> idle_since;  // pods
  std::map<std::string, SteadyTime> mute_since;  // pods that served and do not answer any more
  std::set<std::string> served;                  // pods that have served
  std::set<std::string> draining;
  std::map<std::string, SteadyTime> expected;  // created by us, not seen yet; until
  std::set<std::string> replaced;              // ended pods whose end was counted
  int failures = 0;                            // in a row
  SteadyTime create_after{};
};

struct PoolPlan {
  std::vector<std::string> create;  // names
  std::vector<std::string> drain;   // no new runs for these
  std::vector<std::string> remove;
  std::map<std::string, std::string> lost;  // those of them that ended or do not answer: why
  std::optional<SteadyTime> again;          // look again then
};

[[nodiscard]] PoolPlan PlanPool(const PoolSpec& spec, const std::vector<PoolPod>& pods,
                                const PoolLoad& load, SteadyTime now, PoolState* state);

// status of the pool, without conditions' times: replicas, readyReplicas, slots, busySlots, queued,
// conditions[Ready], observedGeneration.
[[nodiscard]] Json PoolStatus(const Json& pool, const PoolSpec& spec,
                              const std::vector<PoolPod>& pods, const PoolLoad& load, WallTime now);

}  // namespace envicutor::op
