// What can be known of a box's memory without a memory controller (degraded).
#pragma once

#include <cstdint>

#include "executor-agent/cgroup/group.h"

namespace envicutor::agent::native {

// The sum of what the group's processes have resident, shared pages counted for each of them. 0
// when unknown.
[[nodiscard]] int64_t ResidentBytes(const cgroup::Group& group);

}  // namespace envicutor::agent::native
