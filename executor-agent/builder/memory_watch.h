// What a build's processes have in memory, for where no control group bounds it.
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace envicutor::agent {

// True when `root` and all that descend from it have more than `bytes` resident: what they share is
// counted once. Costs a look at every process of the machine; at those of the tree a second time
// only when it may be so.
[[nodiscard]] bool UsesMoreMemory(pid_t root, int64_t bytes);

}  // namespace envicutor::agent
