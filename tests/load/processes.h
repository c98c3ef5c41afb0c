// What the processes of a running Envicutor use, read from /proc.
#pragma once

#include <sys/types.h>

#include <map>
#include <string>

#include "common/base/json.h"

namespace envicutor::load {

struct ProcessUse {
  std::string name;
  double cpu_seconds = 0;           // of its own
  double children_cpu_seconds = 0;  // of children that it has waited for: the boxes' programs
  int64_t rss_bytes = 0;
  int64_t peak_rss_bytes = 0;
};

// `root` and all that descend from it. Processes that end meanwhile are left out.
[[nodiscard]] std::map<pid_t, ProcessUse> ReadProcessTree(pid_t root);

// What was used between two readings, by name; processes of one name are added up.
// {"NAME": {"cpuSeconds", "childrenCpuSeconds", "rssStartBytes", "rssEndBytes", "peakRssBytes"}}
[[nodiscard]] Json UseBetween(const std::map<pid_t, ProcessUse>& before,
                              const std::map<pid_t, ProcessUse>& after);

}  // namespace envicutor::load
