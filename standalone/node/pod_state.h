// What the node knows about a pod's container, and the Pod status made of it. Pure functions.
#pragma once

#include <optional>
#include <string>

#include "common/base/clock.h"
#include "common/base/json.h"
#include "standalone/node/pod_spec.h"

namespace envicutor::standalone {

struct ContainerEnd {
  int exit_code = 0;
  int signal = 0;
  // Completed, Error, OOMKilled, ContainerCannotRun, ContainerStatusUnknown
  std::string reason;
  std::string message;
  WallTime started;
  WallTime finished;
  std::string container_id;
};

struct PodState {
  enum class Step { kWaiting, kRunning, kEnded };
  Step step = Step::kWaiting;
  std::string waiting_reason = "ContainerCreating";
  std::string waiting_message;
  bool ready = false;
  int64_t restart_count = 0;
  std::string container_id;
  WallTime pod_started;
  WallTime container_started;
  std::optional<ContainerEnd> last_end;  // of the container before, or of the one that ended

  // Set when the pod as a whole is over: "Succeeded" or "Failed".
  std::string final_phase;
  std::string final_reason;  // DeadlineExceeded, ...
  std::string final_message;
};

// May the container be started again after `end`?
[[nodiscard]] bool ShouldRestart(RestartPolicy policy, int exit_code);

// The Pod's status. `previous` is the status that the API has: conditions that did not change keep
// their times.
[[nodiscard]] Json MakePodStatus(const PodSpec& pod, const PodState& state,
                                 const PodAddresses& addresses, const Json& previous, WallTime now);

// For a restart of the node: what must not be forgotten.
[[nodiscard]] Json PodStateToJson(const PodState& state, int address_index);
[[nodiscard]] Result<std::pair<PodState, int>> PodStateFromJson(const Json& json);

}  // namespace envicutor::standalone
