// How many processes of our own control group the kernel has killed for want of memory: an
// OOM-killed child of a build may look like any failure, or like a success.
#pragma once

#include <cstdint>

namespace envicutor::agent {

// cgroup v2's memory.events or v1's memory.oom_control; 0 when neither can be read.
[[nodiscard]] int64_t CountOomKills();

}  // namespace envicutor::agent
