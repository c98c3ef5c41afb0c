#include "standalone/node/pod_state.h"

#include "common/kube/resource.h"

namespace envicutor::standalone {
namespace {

Json Terminated(const ContainerEnd& end) {
  Json json = {{"exitCode", end.exit_code},
               {"reason", end.reason},
               {"startedAt", FormatRfc3339(end.started)},
               {"finishedAt", FormatRfc3339(end.finished)},
               {"containerID", end.container_id}};
  if (end.signal != 0) json["signal"] = end.signal;
  if (!end.message.empty()) json["message"] = end.message;
  return json;
}

Json ContainerStateOf(const PodState& state) {
  switch (state.step) {
    case PodState::Step::kRunning:
      return {{"running", {{"startedAt", FormatRfc3339(state.container_started)}}}};
    case PodState::Step::kEnded:
      if (state.last_end) return {{"terminated", Terminated(*state.last_end)}};
      break;
    case PodState::Step::kWaiting:
      break;
  }
  Json waiting = {{"reason", state.waiting_reason}};
  if (!state.waiting_message.empty()) waiting["message"] = state.waiting_message;
  return {{"waiting", waiting}};
}

std::string PhaseOf(const PodState& state) {
  if (!state.final_phase.empty()) return state.final_phase;
  // A pod whose container runs or will run again is Running; before the first start it is Pending.
  const bool ran = state.restart_count > 0 || state.last_end.has_value();
  return state.step == PodState::Step::kRunning || ran ? "Running" : "Pending";
}

void SetPodCondition(Json* conditions, const std::string& type, bool value,
                     const std::string& reason, const std::string& message,
                     const std::string& now) {
  kube::SetCondition(conditions, {type, value ? "True" : "False", reason, message, 0}, now);
}

}  // namespace

bool ShouldRestart(RestartPolicy policy, int exit_code) {
  return policy == RestartPolicy::kAlways ||
         (policy == RestartPolicy::kOnFailure && exit_code != 0);
}

Json MakePodStatus(const PodSpec& pod, const PodState& state, const PodAddresses& addresses,
                   const Json& previous, WallTime now) {
  Json conditions = At(previous, {"conditions"});
  if (!conditions.is_array()) conditions = Json::array();
  const std::string now_text = FormatRfc3339(now);
  const bool over = !state.final_phase.empty();
  const bool ready = state.ready && state.step == PodState::Step::kRunning && !over;
  const std::string not_ready =
      ready  ? ""
      : over ? (state.final_phase == "Succeeded" ? "PodCompleted" : "PodFailed")
             : "ContainersNotReady";
  const std::string detail =
      ready || over ? "" : "containers with unready status: [" + pod.container + "]";
  SetPodCondition(&conditions, "PodScheduled", true, "", "", now_text);
  SetPodCondition(&conditions, "Initialized", true, "", "", now_text);
  SetPodCondition(&conditions, "ContainersReady", ready, not_ready, detail, now_text);
  SetPodCondition(&conditions, "Ready", ready, not_ready, detail, now_text);

  Json container = {{"name", pod.container},
                    {"image", pod.image},
                    {"imageID", "envicutor-node://" + pod.image},
                    {"ready", ready},
                    {"started", state.step == PodState::Step::kRunning},
                    {"restartCount", state.restart_count},
                    {"state", ContainerStateOf(state)},
                    {"lastState", Json::object()}};
  if (!state.container_id.empty()) container["containerID"] = state.container_id;
  if (state.step != PodState::Step::kEnded && state.last_end) {
    container["lastState"] = {{"terminated", Terminated(*state.last_end)}};
  }
  Json status = {{"phase", PhaseOf(state)},
                 {"conditions", conditions},
                 {"containerStatuses", Json::array({container})},
                 {"hostIP", addresses.host_ip},
                 {"podIP", addresses.pod_ip},
                 {"podIPs", Json::array({{{"ip", addresses.pod_ip}}})},
                 {"startTime", FormatRfc3339(state.pod_started)},
                 {"qosClass", pod.memory_bytes > 0 ? "Burstable" : "BestEffort"}};
  if (!state.final_reason.empty()) status["reason"] = state.final_reason;
  if (!state.final_message.empty()) status["message"] = state.final_message;
  return status;
}

Json PodStateToJson(const PodState& state, int address_index) {
  return {{"addressIndex", address_index},
          {"restartCount", state.restart_count},
          {"running", state.step == PodState::Step::kRunning},
          {"containerID", state.container_id},
          {"podStarted", FormatRfc3339Micro(state.pod_started)},
          {"containerStarted", FormatRfc3339Micro(state.container_started)},
          {"finalPhase", state.final_phase},
          {"lastEnd", state.last_end ? Terminated(*state.last_end) : Json()}};
}

Result<std::pair<PodState, int>> PodStateFromJson(const Json& json) {
  PodState state;
  state.restart_count = GetInt(json, "restartCount");
  state.container_id = GetString(json, "containerID");
  state.final_phase = GetString(json, "finalPhase");
  ENVICUTOR_ASSIGN(state.pod_started, ParseRfc3339(GetString(json, "podStarted")));
  ENVICUTOR_ASSIGN(state.container_started, ParseRfc3339(GetString(json, "containerStarted")));
  if (GetBool(json, "running")) state.step = PodState::Step::kRunning;
  if (const Json& end = At(json, {"lastEnd"}); end.is_object()) {
    ContainerEnd& out = state.last_end.emplace();
    out.exit_code = static_cast<int>(GetInt(end, "exitCode"));
    out.signal = static_cast<int>(GetInt(end, "signal"));
    out.reason = GetString(end, "reason");
    out.message = GetString(end, "message");
    out.container_id = GetString(end, "containerID");
    ENVICUTOR_ASSIGN(out.started, ParseRfc3339(GetString(end, "startedAt")));
    ENVICUTOR_ASSIGN(out.finished, ParseRfc3339(GetString(end, "finishedAt")));
    if (!state.final_phase.empty()) state.step = PodState::Step::kEnded;
  }
  return std::pair{state, static_cast<int>(GetInt(json, "addressIndex"))};
}

}  // namespace envicutor::standalone
