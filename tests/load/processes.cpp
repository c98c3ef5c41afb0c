#include "tests/load/processes.h"

#include <dirent.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <sstream>
#include <vector>

#include "common/base/file.h"
#include "tests/load/figures.h"

namespace envicutor::load {
namespace {

struct Stat {
  pid_t parent = 0;
  ProcessUse use;
};

// "VmHWM:     1234 kB" of /proc/PID/status.
int64_t StatusBytes(const std::string& status, const std::string& name) {
  const size_t at = status.find("\n" + name + ":");
  if (at == std::string::npos) return 0;
  return std::atoll(status.c_str() + at + name.size() + 2) * 1024;
}

// The program's name, and its first argument where that is a subcommand: "envicutor apiserver".
std::string NameOf(const std::string& cmdline) {
  const size_t end = cmdline.find('\0');
  const std::string program = cmdline.substr(0, end);
  std::string name = program.substr(program.rfind('/') + 1);
  if (end != std::string::npos && end + 1 < cmdline.size()) {
    const std::string argument = cmdline.substr(end + 1, cmdline.find('\0', end + 1) - end - 1);
    if (!argument.empty() && argument[0] != '-' && argument.size() < 20) name += " " + argument;
  }
  return name;
}

bool ReadStat(const std::string& pid, Stat* out) {
  const Result<std::string> text = ReadFile("/proc/" + pid + "/stat");
  const Result<std::string> status = ReadFile("/proc/" + pid + "/status");
  const Result<std::string> cmdline = ReadFile("/proc/" + pid + "/cmdline");
  if (!text.ok() || !status.ok() || !cmdline.ok()) return false;
  const size_t close = text->rfind(')');  // the name in front of it may hold anything
  const size_t open = text->find('(');
  if (close == std::string::npos || open == std::string::npos) return false;
  std::istringstream fields(text->substr(close + 2));
  std::vector<std::string> field;
  for (std::string one; fields >> one;) field.push_back(one);
  if (field.size() < 15) return false;
  const auto ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
  out->parent = static_cast<pid_t>(std::atol(field[1].c_str()));
  out->use.name = cmdline->empty() ? text->substr(open + 1, close - open - 1) : NameOf(*cmdline);
  out->use.cpu_seconds = (std::atof(field[11].c_str()) + std::atof(field[12].c_str())) / ticks;
  out->use.children_cpu_seconds =
      (std::atof(field[13].c_str()) + std::atof(field[14].c_str())) / ticks;
  out->use.rss_bytes = StatusBytes(*status, "VmRSS");
  out->use.peak_rss_bytes = StatusBytes(*status, "VmHWM");
  return true;
}

}  // namespace

std::map<pid_t, ProcessUse> ReadProcessTree(pid_t root) {
  std::map<pid_t, Stat> all;
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir("/proc"), ::closedir);
  while (dir != nullptr) {
    const dirent* entry = ::readdir(dir.get());
    if (entry == nullptr) break;
    if (entry->d_name[0] < '0' || entry->d_name[0] > '9') continue;
    Stat stat;
    if (ReadStat(entry->d_name, &stat)) all[static_cast<pid_t>(std::atol(entry->d_name))] = stat;
  }
  std::map<pid_t, ProcessUse> tree;
  for (const auto& [pid, stat] : all) {
    // Bounded: a parent chain is never longer than the number of processes.
    pid_t at = pid;
    for (size_t steps = 0; steps <= all.size() && at != root && all.contains(at); ++steps) {
      at = all[at].parent;
    }
    if (at == root) tree[pid] = stat.use;
  }
  return tree;
}

Json UseBetween(const std::map<pid_t, ProcessUse>& before,
                const std::map<pid_t, ProcessUse>& after) {
  Json report = Json::object();
  for (const auto& [pid, use] : after) {
    const auto was = before.find(pid);
    const ProcessUse start = was == before.end() ? ProcessUse() : was->second;
    Json& sum = report[use.name];
    const auto add = [&sum](const char* key, const Json& value) {
      if (!sum.contains(key)) sum[key] = 0;
      if (value.is_number_float()) {
        sum[key] = Rounded(sum[key].get<double>() + value.get<double>());
      } else {
        sum[key] = sum[key].get<int64_t>() + value.get<int64_t>();
      }
    };
    add("cpuSeconds", use.cpu_seconds - start.cpu_seconds);
    add("childrenCpuSeconds", use.children_cpu_seconds - start.children_cpu_seconds);
    add("rssStartBytes", start.rss_bytes);
    add("rssEndBytes", use.rss_bytes);
    add("peakRssBytes", use.peak_rss_bytes);
  }
  return report;
}

}  // namespace envicutor::load
