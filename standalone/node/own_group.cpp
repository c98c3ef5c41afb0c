#include "standalone/node/own_group.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <iterator>
#include <sstream>
#include <string_view>
#include <system_error>
#include <vector>

#include "common/base/file.h"
#include "common/base/log.h"

namespace envicutor::standalone {
namespace {

constexpr char kRoot[] = "/sys/fs/cgroup";
// What starts in a group while its processes are moved is moved in the next of these rounds.
constexpr int kMoveRounds = 20;
// Whoever has the lock needs milliseconds. Well below what an orderly stop has.
constexpr std::chrono::seconds kLockPatience{5};
constexpr int kLockPauseMillis = 50;

// What a group has that was given no limit and no share; files that are not there count as that.
struct Unlimited {
  const char* file;
  std::string_view text;
};
constexpr std::array kUnlimited = {
    Unlimited{"memory.max", "max"},       Unlimited{"memory.high", "max"},
    Unlimited{"memory.min", "0"},         Unlimited{"memory.low", "0"},
    Unlimited{"memory.swap.max", "max"},  Unlimited{"memory.swap.high", "max"},
    Unlimited{"memory.zswap.max", "max"}, Unlimited{"memory.oom.group", "0"},
    Unlimited{"pids.max", "max"},         Unlimited{"cpu.max", "max 100000"},
    Unlimited{"cpu.max.burst", "0"},      Unlimited{"cpu.weight", "100"},
    Unlimited{"cpu.idle", "0"},           Unlimited{"cpu.uclamp.min", "0.00"},
    Unlimited{"cpu.uclamp.max", "max"},
};

bool HasWord(const std::string& text, const std::string& word) {
  return (" " + text + " ").find(" " + word + " ") != std::string::npos;
}

// All processes of a group; of those that end meanwhile none is left.
Status MoveAll(const std::string& from, const std::string& to) {
  for (int round = 0; round < kMoveRounds; ++round) {
    std::istringstream pids(ReadControl(from + "/cgroup.procs"));
    const std::vector<std::string> all{std::istream_iterator<std::string>(pids), {}};
    if (all.empty()) return OkStatus();
    // To write it would move whoever writes.
    if (std::find(all.begin(), all.end(), "0") != all.end()) {
      return FailedPrecondition("a process of another PID namespace is in " + from);
    }
    for (const std::string& pid : all) {
      const Status moved = WriteControl(to + "/cgroup.procs", pid);
      if (!moved.ok() && round + 1 == kMoveRounds) return moved.WithContext("process " + pid);
    }
  }
  return FailedPrecondition("processes keep on starting in " + from);
}

// Whether a group would lose a limit, or a node its pods' groups.
bool Depends(const std::filesystem::path& group) {
  if (group.string().find(kPodGroupPrefix) != std::string::npos) return true;
  return std::any_of(kUnlimited.begin(), kUnlimited.end(), [&](const Unlimited& unlimited) {
    std::string text = ReadControl((group / unlimited.file).string());
    while (text.ends_with(' ')) text.pop_back();
    return !text.empty() && text != unlimited.text;
  });
}

void Enable(const std::string& own, const std::vector<std::string>& controllers) {
  for (const std::string& controller : controllers) {
    (void)WriteControl(own + "/cgroup.subtree_control", "+" + controller);
  }
}

}  // namespace

Status WriteControl(const std::string& path, const std::string& value) {
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd.valid() || ::write(fd.get(), value.data(), value.size()) < 0) {
    return ErrnoStatus(errno, "write " + value + " to " + path);
  }
  return OkStatus();
}

std::string ReadControl(const std::string& path) {
  const Result<std::string> text = ReadFile(path, 1U << 20U);
  if (!text.ok()) return "";
  std::string out = *text;
  std::replace(out.begin(), out.end(), '\n', ' ');
  return out;
}

Result<std::string> OwnGroup() {
  const std::string available = ReadControl(std::string(kRoot) + "/cgroup.controllers");
  if (available.empty()) {
    return FailedPrecondition("/sys/fs/cgroup is not a pure cgroup v2 tree");
  }
  ENVICUTOR_ASSIGN(const std::string own, ReadFile("/proc/self/cgroup", 1U << 16U));
  const size_t at = own.find("0::");
  if (at == std::string::npos) return FailedPrecondition("this process is in no cgroup v2 group");
  std::string path = own.substr(at + 3, own.find('\n', at) - at - 3);
  // Where an earlier node, or one beside us, moved whoever was in the group.
  if (path.ends_with(kLeafOfGroup))
    path.resize(path.size() - std::string_view(kLeafOfGroup).size());
  const std::string folder = std::string(kRoot) + (path == "/" ? "" : path);
  const std::string controllers = ReadControl(folder + "/cgroup.controllers");
  for (const char* needed : {"memory", "pids"}) {
    if (!HasWord(controllers, needed)) {
      return FailedPrecondition("the controller " + std::string(needed) + " is not delegated to " +
                                folder);
    }
  }
  if (::access((folder + "/cgroup.subtree_control").c_str(), W_OK) != 0) {
    return FailedPrecondition(folder + " is not writable");
  }
  return folder;
}

Result<UniqueFd> LockGroup(const std::string& own) {
  // Anybody may open the folder, and so hold its lock. This file only who may end the group can
  // open; the root of all has none, nor do kernels before 5.14.
  UniqueFd fd(::open((own + "/cgroup.kill").c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd.valid()) fd = UniqueFd(::open(own.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, "open " + own);
  const auto deadline = std::chrono::steady_clock::now() + kLockPatience;
  while (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) return ErrnoStatus(errno, "lock " + own);
    if (std::chrono::steady_clock::now() >= deadline) {
      return Unavailable("another process holds the lock of the control group " + own + " for " +
                         std::to_string(kLockPatience.count()) + " s: see /proc/locks");
    }
    ::poll(nullptr, 0, kLockPauseMillis);  // no lock with a time
  }
  return fd;
}

Status HandDown(const std::string& own) {
  const std::string enabled = ReadControl(own + "/cgroup.subtree_control");
  const bool root = ::access((own + "/cgroup.events").c_str(), F_OK) != 0;
  if (!root && !(HasWord(enabled, "memory") && HasWord(enabled, "pids"))) {
    ENVICUTOR_RETURN_IF_ERROR(MakeDirs(own + kLeafOfGroup));
    Status done = FailedPrecondition("");
    for (int round = 0; round < kMoveRounds && !done.ok(); ++round) {
      ENVICUTOR_RETURN_IF_ERROR(MoveAll(own, own + kLeafOfGroup));
      done = WriteControl(own + "/cgroup.subtree_control", "+memory");
    }
    ENVICUTOR_RETURN_IF_ERROR(done);
  }
  for (const char* controller : {"+memory", "+pids"}) {
    ENVICUTOR_RETURN_IF_ERROR(WriteControl(own + "/cgroup.subtree_control", controller));
  }
  (void)WriteControl(own + "/cgroup.subtree_control", "+cpu");
  return OkStatus();
}

void TakeBack(const std::string& own) {
  if (::access((own + kLeafOfGroup).c_str(), F_OK) != 0) return;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(own, error)) {
    if (entry.is_directory(error) && entry.path().string() != own + kLeafOfGroup &&
        Depends(entry.path()))
      return;
  }
  const std::string enabled = ReadControl(own + "/cgroup.subtree_control");
  std::vector<std::string> taken;
  for (const char* controller : {"cpu", "memory", "pids"}) {
    if (!HasWord(enabled, controller)) continue;
    if (!WriteControl(own + "/cgroup.subtree_control", std::string("-") + controller).ok()) {
      Enable(own, taken);  // somebody's group hands it down itself
      return;
    }
    taken.emplace_back(controller);
  }
  const Status back = MoveAll(own + kLeafOfGroup, own);
  if (back.ok()) {
    ::rmdir((own + kLeafOfGroup).c_str());
    return;
  }
  // All or nothing: the leaf with everybody in it is what the next node finds, and takes back.
  log::Warn("who was moved to a leaf of this control group stays there",
            {{"group", own}, {"error", back.ToString()}});
  (void)MoveAll(own, own + kLeafOfGroup);
  Enable(own, taken);
}

}  // namespace envicutor::standalone
