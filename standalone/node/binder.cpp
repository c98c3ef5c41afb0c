#include "standalone/node/binder.h"

#include "common/api/limits.h"
#include "common/kube/resource.h"
#include "standalone/node/pod_spec.h"

namespace envicutor::standalone {
namespace {

struct Request {
  int64_t memory = 0;
  int64_t cpu = 0;
};

std::string Text(const Json& quantity) {
  return quantity.is_string() ? quantity.get<std::string>() : DumpJson(quantity);
}

Request RequestOf(const Json& pod) {
  Request total;
  const Json& containers = At(pod, {"spec", "containers"});
  if (!containers.is_array()) return total;
  for (const Json& container : containers) {
    const auto amount = [&container](const char* name) -> const Json& {
      const Json& requested = At(container, {"resources", "requests", name});
      return requested.is_null() ? At(container, {"resources", "limits", name}) : requested;
    };
    if (const Json& memory = amount("memory"); !memory.is_null()) {
      if (const auto bytes = api::ParseQuantity(Text(memory)); bytes.ok()) total.memory += *bytes;
    }
    if (const Json& cpu = amount("cpu"); !cpu.is_null()) {
      if (const auto millis = ParseCpuMillis(Text(cpu)); millis.ok()) total.cpu += *millis;
    }
  }
  return total;
}

std::string Component(const Json& pod) {
  return GetString(At(pod, {"metadata", "labels"}), "app.kubernetes.io/component");
}

bool Over(const Json& pod) {
  const std::string phase = GetString(At(pod, {"status"}), "phase");
  return phase == "Succeeded" || phase == "Failed";
}

}  // namespace

bool WantsPlacement(const Json& pod, bool any_component) {
  const std::string component = Component(pod);
  return (any_component || component == "executor" || component == "builder") &&
         GetString(At(pod, {"spec"}), "nodeName").empty() &&
         GetString(At(pod, {"metadata"}), "deletionTimestamp").empty() && !Over(pod);
}

bool Occupies(const Json& pod, const std::string& node) {
  return GetString(At(pod, {"spec"}), "nodeName") == node && !Over(pod);
}

Placement Place(const Json& pod, const std::vector<const Json*>& occupants,
                const NodeCapacity& capacity) {
  const std::string none = "0/1 nodes are available: 1 ";
  const Json& selector = At(pod, {"spec", "nodeSelector"});
  if (selector.is_object()) {
    for (const auto& [key, value] : selector.items()) {
      const auto it = capacity.labels.find(key);
      if (it == capacity.labels.end() || !value.is_string() ||
          it->second != value.get<std::string>()) {
        return {false, none + "node(s) didn't match Pod's node affinity/selector."};
      }
    }
  }
  Request used = RequestOf(pod);
  for (const Json* occupant : occupants) {
    const Request request = RequestOf(*occupant);
    used.memory += request.memory;
    used.cpu += request.cpu;
  }
  if (static_cast<int64_t>(occupants.size()) >= capacity.pods)
    return {false, none + "Too many pods."};
  if (used.memory > capacity.memory_bytes) return {false, none + "Insufficient memory."};
  if (used.cpu > capacity.cpu_millis) return {false, none + "Insufficient cpu."};
  return {true, ""};
}

}  // namespace envicutor::standalone
