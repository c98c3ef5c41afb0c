// isolate looks for the process it started among the children of its proxy, which is also PID 1 of
// the box: a program that has made an orphan by then (a daemon, a shell's background job) is
// another child of it, and isolate gives up ("unexpected children found"). Under load it looks
// late, so a program is held by cgroup.freeze until it has.
#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>

#include "executor-agent/sandbox/isolate/stage.h"
#include "executor-agent/sandbox/native/process_tree.h"

namespace envicutor::agent::isolate {
namespace {

// isolate's own pipes: both ends of two until it has looked, then one end of each.
constexpr int kPipesBefore = 4;

// The pipes of a process that are not its standard streams; -1 when it cannot be seen.
int OwnPipes(pid_t pid) {
  const std::string path = "/proc/" + std::to_string(pid) + "/fd";
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(path.c_str()), ::closedir);
  if (dir == nullptr) return -1;
  int pipes = 0;
  while (const dirent* entry = ::readdir(dir.get())) {
    int number = -1;  // of "." and ".." too
    std::from_chars(entry->d_name, entry->d_name + std::strlen(entry->d_name), number);
    if (number <= STDERR_FILENO) continue;
    std::array<char, 64> target;
    const ssize_t length =
        ::readlinkat(::dirfd(dir.get()), entry->d_name, target.data(), target.size());
    if (length > 0 &&
        std::string_view(target.data(), static_cast<size_t>(length)).starts_with("pipe:"))
      ++pipes;
  }
  return pipes;
}

}  // namespace

void Stage::Freeze() { frozen_ = group_.Write(cgroup::kFreeze, "1").ok(); }

// What is not as expected (another isolate) lets it go at once, at the latest after kHoldNanos.
void Stage::ThawWhenSafe(int64_t now) {
  if (!frozen_ || !populated_nanos_) return;
  if (keeper_ <= 0) keeper_ = native::PidOfPidfd(pidfd_.get());
  if (now - *populated_nanos_ < kHoldNanos && OwnPipes(keeper_) >= kPipesBefore) return;
  frozen_ = false;
  // Its time begins here.
  start_nanos_ = now;
  const Status thawed = group_.Write(cgroup::kFreeze, "0");
  if (!thawed.ok()) Fail("the program could not be let go: " + thawed.ToString());
}

}  // namespace envicutor::agent::isolate
