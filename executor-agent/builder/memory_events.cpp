#include "executor-agent/builder/memory_events.h"

#include <charconv>
#include <string>

#include "common/base/file.h"

namespace envicutor::agent {
namespace {

int64_t ReadCounter(const std::string& path) {
  const Result<std::string> text = ReadFile(path, 65536);
  if (!text.ok()) return 0;
  const std::string key = "oom_kill ";
  for (size_t at = text->find(key); at != std::string::npos; at = text->find(key, at + 1)) {
    if (at != 0 && (*text)[at - 1] != '\n') continue;
    int64_t count = 0;
    std::from_chars(text->data() + at + key.size(), text->data() + text->size(), count);
    return count;
  }
  return 0;
}

}  // namespace

int64_t CountOomKills() {
  const Result<std::string> own = ReadFile("/proc/self/cgroup", 65536);
  if (!own.ok()) return 0;
  int64_t count = 0;
  for (std::string_view rest = *own; !rest.empty();) {
    const size_t end = rest.find('\n');
    const std::string_view line = rest.substr(0, end);
    rest = end == std::string_view::npos ? "" : rest.substr(end + 1);
    // "4:memory:/path" or "0::/path".
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (second == std::string_view::npos) continue;
    const std::string_view controllers = line.substr(first + 1, second - first - 1);
    const std::string path(line.substr(second + 1));
    if (controllers == "memory")
      count += ReadCounter("/sys/fs/cgroup/memory" + path + "/memory.oom_control");
    if (controllers.empty()) count += ReadCounter("/sys/fs/cgroup" + path + "/memory.events");
  }
  return count;
}

}  // namespace envicutor::agent
