#include "executor-agent/builder/memory_watch.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/unique_fd.h"

namespace envicutor::agent {
namespace {

// Files of /proc; their content is the kernel's but for the process' name.
std::string ReadProc(pid_t pid, const char* name) {
  const std::string path = "/proc/" + std::to_string(pid) + "/" + name;
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::array<char, 4096> buffer{};
  const ssize_t count = fd.valid() ? ::read(fd.get(), buffer.data(), buffer.size()) : 0;
  return {buffer.data(), count > 0 ? static_cast<size_t>(count) : 0};
}

int64_t Number(std::string_view text) {
  int64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

// The field after `skip` blanks.
std::string_view Field(std::string_view text, int skip) {
  for (; skip > 0; --skip) {
    const size_t blank = text.find(' ');
    if (blank == std::string_view::npos) return "";
    text.remove_prefix(blank + 1);
  }
  return text;
}

struct Process {
  pid_t parent = 0;
  int64_t resident_pages = 0;
};

std::map<pid_t, Process> AllProcesses() {
  std::map<pid_t, Process> processes;
  const std::unique_ptr<DIR, int (*)(DIR*)> proc(::opendir("/proc"), ::closedir);
  if (!proc) return processes;
  while (const dirent* entry = ::readdir(proc.get())) {
    const auto pid = static_cast<pid_t>(Number(entry->d_name));
    if (pid <= 0) continue;
    // "PID (NAME) S PPID ...": the name may hold anything, so from its last parenthesis on. The
    // resident pages are field 24.
    const std::string stat = ReadProc(pid, "stat");
    const size_t name_end = stat.rfind(')');
    if (name_end == std::string::npos || name_end + 2 >= stat.size()) continue;
    const std::string_view rest = std::string_view(stat).substr(name_end + 2);
    processes[pid] = {static_cast<pid_t>(Number(Field(rest, 1))), Number(Field(rest, 21))};
  }
  return processes;
}

std::vector<pid_t> Tree(const std::map<pid_t, Process>& processes, pid_t root) {
  std::multimap<pid_t, pid_t> children;
  for (const auto& [pid, process] : processes) children.emplace(process.parent, pid);
  std::vector<pid_t> tree = {root};
  for (size_t i = 0; i < tree.size() && i < processes.size(); ++i) {
    const auto [begin, end] = children.equal_range(tree[i]);
    for (auto it = begin; it != end; ++it) tree.push_back(it->second);
  }
  return tree;
}

// Each page divided by the number of processes that have it.
int64_t ProportionalBytes(pid_t pid) {
  const std::string rollup = ReadProc(pid, "smaps_rollup");
  const size_t at = rollup.find("\nPss:");
  if (at == std::string::npos) return 0;
  const size_t digit = rollup.find_first_of("0123456789", at);
  return digit == std::string::npos ? 0 : Number(std::string_view(rollup).substr(digit)) * 1024;
}

}  // namespace

bool UsesMoreMemory(pid_t root, int64_t bytes) {
  const std::map<pid_t, Process> processes = AllProcesses();
  const std::vector<pid_t> tree = Tree(processes, root);
  const int64_t page = ::sysconf(_SC_PAGESIZE);
  int64_t resident = 0;
  for (const pid_t pid : tree) {
    const auto it = processes.find(pid);
    if (it != processes.end()) resident += it->second.resident_pages * page;
  }
  if (resident <= bytes) return false;
  int64_t proportional = 0;
  for (const pid_t pid : tree) proportional += ProportionalBytes(pid);
  return proportional > bytes;
}

}  // namespace envicutor::agent
