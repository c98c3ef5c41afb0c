// Which unbound pods this node takes: a scheduler for one node. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "common/base/json.h"

namespace envicutor::standalone {

struct NodeCapacity {
  int64_t memory_bytes = 0;
  int64_t cpu_millis = 0;
  int64_t pods = 0;
  std::map<std::string, std::string> labels;
};

struct Placement {
  bool fits = false;
  std::string message;  // why not: "0/1 nodes are available: 1 Insufficient memory."
};

// Executor and builder pods, or any, without a node, which nobody is deleting.
[[nodiscard]] bool WantsPlacement(const Json& pod, bool any_component = false);
// Bound to `node`, and not over.
[[nodiscard]] bool Occupies(const Json& pod, const std::string& node);

// By nodeSelector, pod count, and what pods request (limits where they request nothing).
[[nodiscard]] Placement Place(const Json& pod, const std::vector<const Json*>& occupants,
                              const NodeCapacity& capacity);

}  // namespace envicutor::standalone
