// The columns of the built-in kinds, as kubectl's users know them.
#include <algorithm>

#include "standalone/apiserver/schema/table.h"

namespace envicutor::standalone::schema {
namespace {

std::string Text(const Json& object, std::initializer_list<std::string_view> path) {
  const Json& value = At(object, path);
  return value.is_string() ? value.get<std::string>() : "";
}

Json Age(const std::string& timestamp, WallTime now) {
  if (timestamp.empty()) return "<unknown>";
  const Result<WallTime> time = ParseRfc3339(timestamp);
  return time.ok() ? HumanDuration(now - *time) : "<invalid>";
}

Json CreationAge(const Json& object, WallTime now) {
  return Age(Text(object, {"metadata", "creationTimestamp"}), now);
}

// Pods: the phase, or what the containers say more precisely.
std::string PodStatus(const Json& pod) {
  std::string status = Text(pod, {"status", "reason"});
  if (status.empty()) status = Text(pod, {"status", "phase"});
  const Json& containers = At(pod, {"status", "containerStatuses"});
  if (containers.is_array()) {
    for (const Json& container : containers) {
      const Json& state = At(container, {"state"});
      const std::string waiting = Text(state, {"waiting", "reason"});
      const Json& terminated = At(state, {"terminated"});
      if (!waiting.empty()) {
        status = waiting;
      } else if (const std::string reason = GetString(terminated, "reason"); !reason.empty()) {
        status = reason;
      } else if (terminated.is_object()) {
        const int64_t signal = GetInt(terminated, "signal");
        status = signal != 0 ? "Signal:" + std::to_string(signal)
                             : "ExitCode:" + std::to_string(GetInt(terminated, "exitCode"));
      }
    }
  }
  if (!Text(pod, {"metadata", "deletionTimestamp"}).empty()) {
    status = Text(pod, {"status", "reason"}) == "NodeLost" ? "Unknown" : "Terminating";
  }
  return status;
}

Json PodReady(const Json& pod) {
  const Json& containers = At(pod, {"spec", "containers"});
  const Json& statuses = At(pod, {"status", "containerStatuses"});
  int64_t ready = 0;
  if (statuses.is_array()) {
    ready = std::count_if(statuses.begin(), statuses.end(),
                          [](const Json& status) { return GetBool(status, "ready"); });
  }
  return std::to_string(ready) + "/" +
         std::to_string(containers.is_array() ? containers.size() : 0);
}

Json PodRestarts(const Json& pod) {
  int64_t restarts = 0;
  const Json& statuses = At(pod, {"status", "containerStatuses"});
  if (statuses.is_array()) {
    for (const Json& status : statuses) restarts += GetInt(status, "restartCount");
  }
  return std::to_string(restarts);
}

int64_t DataCount(const Json& object) {
  int64_t count = 0;
  for (const char* key : {"data", "binaryData"}) {
    const Json& data = At(object, {key});
    if (data.is_object()) count += static_cast<int64_t>(data.size());
  }
  return count;
}

std::string NodeStatus(const Json& node) {
  std::string status = "Unknown";
  const Json& conditions = At(node, {"status", "conditions"});
  if (conditions.is_array()) {
    for (const Json& condition : conditions) {
      if (GetString(condition, "type") != "Ready") continue;
      status = GetString(condition, "status") == "True" ? "Ready" : "NotReady";
    }
  }
  if (GetBool(At(node, {"spec"}), "unschedulable")) status += ",SchedulingDisabled";
  return status;
}

std::string NodeRoles(const Json& node) {
  constexpr std::string_view kPrefix = "node-role.kubernetes.io/";
  std::string roles;
  const Json& labels = At(node, {"metadata", "labels"});
  if (labels.is_object()) {
    for (auto it = labels.begin(); it != labels.end(); ++it) {
      if (!it.key().starts_with(kPrefix)) continue;
      if (!roles.empty()) roles += ",";
      roles += it.key().substr(kPrefix.size());
    }
  }
  return roles.empty() ? "<none>" : roles;
}

// core/v1 and events.k8s.io/v1 name the same things differently.
std::string EventObject(const Json& event) {
  const Json& core = At(event, {"involvedObject"});
  const Json& object = core.is_object() ? core : At(event, {"regarding"});
  std::string kind = GetString(object, "kind");
  for (char& c : kind) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return kind + "/" + GetString(object, "name");
}

Json EventLastSeen(const Json& event, WallTime now) {
  for (const char* key : {"lastTimestamp", "deprecatedLastTimestamp", "eventTime"}) {
    if (const std::string time = GetString(event, key); !time.empty()) return Age(time, now);
  }
  return CreationAge(event, now);
}

std::string EventMessage(const Json& event) {
  std::string message = GetString(event, "message", GetString(event, "note"));
  while (message.ends_with("\n") || message.ends_with(" ")) message.pop_back();
  return message;
}

}  // namespace

// Collects columns with less ceremony.
class BuiltinColumns {
 public:
  using Cell = std::function<Json(const Json& object, WallTime now)>;

  BuiltinColumns() {
    Add("Name", [](const Json& o, WallTime) { return Json(Text(o, {"metadata", "name"})); });
    printer_.columns_.back().format = "name";
  }
  BuiltinColumns& Add(std::string name, Cell cell, std::string type = "string",
                      int64_t priority = 0) {
    printer_.columns_.push_back(
        {std::move(name), std::move(type), "", "", priority, std::move(cell)});
    printer_.columns_.back().description = printer_.columns_.back().name;
    return *this;
  }
  BuiltinColumns& AddText(std::string name, std::vector<std::string> path, int64_t priority = 0,
                          std::string fallback = "") {
    return Add(
        std::move(name),
        [path = std::move(path), fallback = std::move(fallback)](const Json& object, WallTime) {
          const Json* at = &object;
          for (const std::string& part : path) at = &At(*at, {part});
          return at->is_string() ? *at : Json(fallback);
        },
        "string", priority);
  }
  BuiltinColumns& AddAge() { return Add("Age", CreationAge); }
  // Events have no Name column of their own.
  BuiltinColumns& DropName() {
    printer_.columns_.erase(printer_.columns_.begin());
    return *this;
  }
  [[nodiscard]] TablePrinter Take() { return std::move(printer_); }

 private:
  TablePrinter printer_;
};

TablePrinter TablePrinter::ForBuiltin(std::string_view group, std::string_view resource) {
  BuiltinColumns columns;
  if (group.empty() && resource == "pods") {
    return columns.Add("Ready", [](const Json& o, WallTime) { return PodReady(o); })
        .Add("Status", [](const Json& o, WallTime) { return Json(PodStatus(o)); })
        .Add("Restarts", [](const Json& o, WallTime) { return PodRestarts(o); })
        .AddAge()
        .AddText("IP", {"status", "podIP"}, 1, "<none>")
        .AddText("Node", {"spec", "nodeName"}, 1, "<none>")
        .AddText("Nominated Node", {"status", "nominatedNodeName"}, 1, "<none>")
        .Add(
            "Readiness Gates", [](const Json&, WallTime) { return Json("<none>"); }, "string", 1)
        .Take();
  }
  if (group.empty() && resource == "configmaps") {
    return columns
        .Add(
            "Data", [](const Json& o, WallTime) { return Json(DataCount(o)); }, "integer")
        .AddAge()
        .Take();
  }
  if (group.empty() && resource == "secrets") {
    return columns.AddText("Type", {"type"}, 0, "Opaque")
        .Add(
            "Data", [](const Json& o, WallTime) { return Json(DataCount(o)); }, "integer")
        .AddAge()
        .Take();
  }
  if (group.empty() && resource == "namespaces") {
    return columns.AddText("Status", {"status", "phase"}, 0, "Active").AddAge().Take();
  }
  if (group.empty() && resource == "serviceaccounts") {
    return columns
        .Add(
            "Secrets",
            [](const Json& o, WallTime) {
              const Json& secrets = At(o, {"secrets"});
              return Json(secrets.is_array() ? secrets.size() : 0);
            },
            "integer")
        .AddAge()
        .Take();
  }
  if (group.empty() && resource == "nodes") {
    return columns.Add("Status", [](const Json& o, WallTime) { return Json(NodeStatus(o)); })
        .Add("Roles", [](const Json& o, WallTime) { return Json(NodeRoles(o)); })
        .AddAge()
        .AddText("Version", {"status", "nodeInfo", "kubeletVersion"})
        .Take();
  }
  if (resource == "events" && (group.empty() || group == "events.k8s.io")) {
    return columns.DropName()
        .Add("Last Seen", EventLastSeen)
        .AddText("Type", {"type"})
        .AddText("Reason", {"reason"})
        .Add("Object", [](const Json& o, WallTime) { return Json(EventObject(o)); })
        .Add("Message", [](const Json& o, WallTime) { return Json(EventMessage(o)); })
        .AddText("Name", {"metadata", "name"}, 1)
        .Take();
  }
  if (group == "coordination.k8s.io" && resource == "leases") {
    return columns.AddText("Holder", {"spec", "holderIdentity"}).AddAge().Take();
  }
  return columns
      .Add(
          "Created At",
          [](const Json& o, WallTime) {
            return Json(Text(o, {"metadata", "creationTimestamp"}));
          },
          "date")
      .Take();
}

}  // namespace envicutor::standalone::schema
