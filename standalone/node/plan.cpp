#include "standalone/node/plan.h"

namespace envicutor::standalone {
namespace {

Status ReadStrings(const Json& object, std::string_view key, std::vector<std::string>* out) {
  const Json& list = At(object, {key});
  if (list.is_null()) return OkStatus();
  if (!list.is_array()) return InvalidArgument("field \"" + std::string(key) + "\" must be a list");
  for (const Json& item : list) {
    if (!item.is_string()) {
      return InvalidArgument("field \"" + std::string(key) + "\" must hold strings");
    }
    out->push_back(item.get<std::string>());
  }
  return OkStatus();
}

}  // namespace

std::string LaunchPlanToJson(const LaunchPlan& plan) {
  Json mounts = Json::array();
  for (const PodMount& mount : plan.mounts) {
    mounts.push_back({{"source", mount.source},
                      {"target", mount.target},
                      {"readOnly", mount.read_only},
                      {"tmpfs", mount.tmpfs},
                      {"tmpfsBytes", mount.tmpfs_bytes}});
  }
  Json object = {
      {"rootDir", plan.root_dir}, {"binDir", plan.bin_dir},         {"argv", plan.argv},
      {"env", plan.env},          {"workingDir", plan.working_dir}, {"hostname", plan.hostname},
      {"mounts", mounts},         {"privileged", plan.privileged},  {"openFiles", plan.open_files}};
  if (plan.machine) {
    object["machine"] = {{"kernel", plan.machine->kernel},
                         {"memoryBytes", plan.machine->memory_bytes},
                         {"groupMemoryBytes", plan.machine->group_memory_bytes},
                         {"hostAddress", plan.machine->host_address},
                         {"guestAddress", plan.machine->guest_address}};
  }
  return DumpJson(object);
}

Result<LaunchPlan> LaunchPlanFromJson(const std::string& text) {
  ENVICUTOR_ASSIGN(const Json object, ParseJson(text));
  LaunchPlan plan;
  ENVICUTOR_RETURN_IF_ERROR(ReadString(object, "rootDir", &plan.root_dir));
  ENVICUTOR_RETURN_IF_ERROR(ReadString(object, "binDir", &plan.bin_dir));
  ENVICUTOR_RETURN_IF_ERROR(ReadStrings(object, "argv", &plan.argv));
  ENVICUTOR_RETURN_IF_ERROR(ReadStrings(object, "env", &plan.env));
  ENVICUTOR_RETURN_IF_ERROR(ReadString(object, "workingDir", &plan.working_dir));
  ENVICUTOR_RETURN_IF_ERROR(ReadString(object, "hostname", &plan.hostname));
  ENVICUTOR_RETURN_IF_ERROR(ReadBool(object, "privileged", &plan.privileged));
  ENVICUTOR_RETURN_IF_ERROR(ReadInt(object, "openFiles", &plan.open_files));
  const Json& mounts = At(object, {"mounts"});
  for (const Json& item : mounts.is_array() ? mounts : Json::array()) {
    PodMount mount;
    ENVICUTOR_RETURN_IF_ERROR(ReadString(item, "source", &mount.source));
    ENVICUTOR_RETURN_IF_ERROR(ReadString(item, "target", &mount.target));
    ENVICUTOR_RETURN_IF_ERROR(ReadBool(item, "readOnly", &mount.read_only));
    ENVICUTOR_RETURN_IF_ERROR(ReadBool(item, "tmpfs", &mount.tmpfs));
    ENVICUTOR_RETURN_IF_ERROR(ReadInt(item, "tmpfsBytes", &mount.tmpfs_bytes));
    plan.mounts.push_back(std::move(mount));
  }
  const Json& machine = At(object, {"machine"});
  if (machine.is_object()) {
    MachinePlan& out = plan.machine.emplace();
    ENVICUTOR_RETURN_IF_ERROR(ReadString(machine, "kernel", &out.kernel));
    ENVICUTOR_RETURN_IF_ERROR(ReadInt(machine, "memoryBytes", &out.memory_bytes));
    ENVICUTOR_RETURN_IF_ERROR(ReadInt(machine, "groupMemoryBytes", &out.group_memory_bytes));
    ENVICUTOR_RETURN_IF_ERROR(ReadString(machine, "hostAddress", &out.host_address));
    ENVICUTOR_RETURN_IF_ERROR(ReadString(machine, "guestAddress", &out.guest_address));
  }
  if (plan.argv.empty()) return InvalidArgument("field \"argv\" must not be empty");
  return plan;
}

std::string InitEventToLine(const InitEvent& event) {
  const char* type = event.type == InitEvent::Type::kStarted  ? "started"
                     : event.type == InitEvent::Type::kExited ? "exited"
                                                              : "error";
  return DumpJson({{"type", type},
                   {"exitCode", event.exit_code},
                   {"signal", event.signal},
                   {"oomKilled", event.oom_killed},
                   {"message", event.message}}) +
         "\n";
}

Result<InitEvent> InitEventFromLine(std::string_view line) {
  ENVICUTOR_ASSIGN(const Json object, ParseJson(line));
  InitEvent event;
  const std::string type = GetString(object, "type");
  if (type == "started") {
    event.type = InitEvent::Type::kStarted;
  } else if (type == "exited") {
    event.type = InitEvent::Type::kExited;
  } else if (type == "error") {
    event.type = InitEvent::Type::kError;
  } else {
    return InvalidArgument("field \"type\" is \"" + type + "\"");
  }
  event.exit_code = static_cast<int>(GetInt(object, "exitCode"));
  event.signal = static_cast<int>(GetInt(object, "signal"));
  event.oom_killed = GetBool(object, "oomKilled");
  event.message = GetString(object, "message");
  return event;
}

}  // namespace envicutor::standalone
