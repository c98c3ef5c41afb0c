#include "executor-agent/sandbox/native/process_tree.h"

#include <unistd.h>

#include <sstream>
#include <string>

#include "common/base/file.h"

namespace envicutor::agent::native {

int64_t ResidentBytes(const cgroup::Group& group) {
  if (!group.valid()) return 0;
  const Result<std::string> procs = group.Read(cgroup::kProcs);
  if (!procs.ok()) return 0;
  const int64_t page = ::sysconf(_SC_PAGESIZE);
  int64_t total = 0;
  std::istringstream lines(*procs);
  for (std::string pid; lines >> pid;) {
    // "size resident shared ...", in pages.
    const Result<std::string> statm = ReadFile("/proc/" + pid + "/statm", 4096);
    if (!statm.ok()) continue;  // gone meanwhile
    std::istringstream fields(*statm);
    int64_t size = 0;
    int64_t resident = 0;
    if (fields >> size >> resident) total += resident * page;
  }
  return total;
}

}  // namespace envicutor::agent::native
