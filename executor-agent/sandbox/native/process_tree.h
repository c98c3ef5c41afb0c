// What can be known of a box without the memory controller, or without any control group
// (degraded): what /proc says of its processes.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string_view>
#include <vector>

#include "executor-agent/cgroup/group.h"

namespace envicutor::agent::native {

struct Usage {
  int64_t resident_bytes = 0;  // shared pages are counted for each process
  int64_t cpu_micros = 0;      // of the living and of those they waited for, in ticks of 10 ms
};

// CPU ticks (utime + stime + cutime + cstime) in the text of /proc/PID/stat; 0 when it is cut.
[[nodiscard]] int64_t TicksOfStat(std::string_view stat);

[[nodiscard]] std::vector<pid_t> ProcessesOf(const cgroup::Group& group);
// The process itself and its descendants: orphans of a box are children of its init.
[[nodiscard]] std::vector<pid_t> ProcessesBelow(pid_t init);
[[nodiscard]] Usage UsageOf(const std::vector<pid_t>& processes);
[[nodiscard]] pid_t PidOfPidfd(int pidfd);  // -1 when it has exited

}  // namespace envicutor::agent::native
