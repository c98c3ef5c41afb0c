#include "executor-agent/sandbox/native/process_tree.h"

#include <dirent.h>
#include <unistd.h>

#include <memory>
#include <sstream>
#include <string>

#include "common/base/file.h"

namespace envicutor::agent::native {
namespace {

constexpr size_t kMaxProcesses = 4096;  // more than any box may have, so that a look is bounded

std::vector<pid_t> ParsePids(const std::string& text) {
  std::vector<pid_t> pids;
  std::istringstream words(text);
  for (pid_t pid; words >> pid;) pids.push_back(pid);
  return pids;
}

std::string ProcFile(pid_t pid, const std::string& name) {
  const Result<std::string> text =
      ReadFile("/proc/" + std::to_string(pid) + "/" + name, 64U << 10U);
  return text.ok() ? *text : "";  // gone meanwhile
}

// A child belongs to the thread that made it.
std::vector<pid_t> ChildrenOf(pid_t pid) {
  std::vector<pid_t> children;
  const std::string tasks = "/proc/" + std::to_string(pid) + "/task";
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(tasks.c_str()), ::closedir);
  if (dir == nullptr) return children;
  while (const dirent* entry = ::readdir(dir.get())) {
    if (entry->d_name[0] == '.') continue;
    for (const pid_t child :
         ParsePids(ProcFile(pid, std::string("task/") + entry->d_name + "/children"))) {
      children.push_back(child);
    }
  }
  return children;
}

}  // namespace

int64_t TicksOfStat(std::string_view stat) {
  // The name, in brackets, may contain anything. Fields 14 to 17 of proc(5) are 12 to 15 after it.
  const size_t bracket = stat.rfind(')');
  if (bracket == std::string_view::npos) return 0;
  std::istringstream fields{std::string(stat.substr(bracket + 1))};
  std::string skipped;
  for (int i = 3; i < 14; ++i) fields >> skipped;
  int64_t total = 0;
  for (int i = 14; i < 18; ++i) {
    int64_t ticks = 0;
    if (!(fields >> ticks)) return 0;
    total += ticks;
  }
  return total;
}

std::vector<pid_t> ProcessesOf(const cgroup::Group& group) {
  const Result<std::string> procs = group.Read(cgroup::kProcs);
  return procs.ok() ? ParsePids(*procs) : std::vector<pid_t>();
}

std::vector<pid_t> ProcessesBelow(pid_t init) {
  std::vector<pid_t> all{init};
  for (size_t i = 0; i < all.size() && all.size() < kMaxProcesses; ++i) {
    const std::vector<pid_t> children = ChildrenOf(all[i]);
    all.insert(all.end(), children.begin(), children.end());
  }
  return all;
}

Usage UsageOf(const std::vector<pid_t>& processes) {
  const int64_t page = ::sysconf(_SC_PAGESIZE);
  const int64_t tick_micros = 1'000'000 / ::sysconf(_SC_CLK_TCK);
  Usage usage;
  for (const pid_t pid : processes) {
    std::istringstream statm(ProcFile(pid, "statm"));  // "size resident shared ...", in pages
    int64_t size = 0;
    int64_t resident = 0;
    if (statm >> size >> resident) usage.resident_bytes += resident * page;
    usage.cpu_micros += TicksOfStat(ProcFile(pid, "stat")) * tick_micros;
  }
  return usage;
}

pid_t PidOfPidfd(int pidfd) {
  const Result<std::string> info = ReadFile("/proc/self/fdinfo/" + std::to_string(pidfd), 4096);
  if (!info.ok()) return -1;
  const size_t at = info->find("\nPid:");
  if (at == std::string::npos) return -1;
  std::istringstream field(info->substr(at + 5));
  pid_t pid = -1;
  return field >> pid ? pid : -1;
}

}  // namespace envicutor::agent::native
