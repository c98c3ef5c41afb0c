#include "standalone/node/host.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <filesystem>
#include <iterator>
#include <sstream>
#include <string_view>
#include <system_error>
#include <vector>

#include "common/base/encoding.h"
#include "common/base/file.h"

namespace envicutor::standalone {
namespace {

constexpr char kRoot[] = "/sys/fs/cgroup";
constexpr char kKernel[] = "/usr/bin/linux.uml";
constexpr char kLeaf[] = "/envicutor-node";
constexpr char kPods[] = "/envicutor-pods-";
// What starts in a group while its processes are moved is moved in the next of these rounds.
constexpr int kMoveRounds = 20;

Status WriteControl(const std::string& path, const std::string& value) {
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd.valid() || ::write(fd.get(), value.data(), value.size()) < 0) {
    return ErrnoStatus(errno, "write " + value + " to " + path);
  }
  return OkStatus();
}

bool HasWord(const std::string& text, const std::string& word) {
  return (" " + text + " ").find(" " + word + " ") != std::string::npos;
}

std::string ReadControl(const std::string& path) {
  const Result<std::string> text = ReadFile(path, 1U << 20U);
  if (!text.ok()) return "";
  std::string out = *text;
  std::replace(out.begin(), out.end(), '\n', ' ');
  return out;
}

// Our own group's folder, on a pure cgroup v2 host.
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
  if (path.ends_with(kLeaf)) path.resize(path.size() - std::string_view(kLeaf).size());
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

// Nodes in one group change it one after the other. The kernel gives it back with the descriptor.
Result<UniqueFd> LockGroup(const std::string& own) {
  UniqueFd fd(::open(own.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, "open " + own);
  while (::flock(fd.get(), LOCK_EX) != 0) {
    if (errno != EINTR) return ErrnoStatus(errno, "lock " + own);
  }
  return fd;
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

// Hands memory, pids and, where it is there, cpu down. A group with processes cannot, except the
// root of all, which alone has no cgroup.events: they are moved to a leaf.
Status HandDown(const std::string& own) {
  const std::string enabled = ReadControl(own + "/cgroup.subtree_control");
  const bool root = ::access((own + "/cgroup.events").c_str(), F_OK) != 0;
  if (!root && !(HasWord(enabled, "memory") && HasWord(enabled, "pids"))) {
    ENVICUTOR_RETURN_IF_ERROR(MakeDirs(own + kLeaf));
    Status done = FailedPrecondition("");
    for (int round = 0; round < kMoveRounds && !done.ok(); ++round) {
      ENVICUTOR_RETURN_IF_ERROR(MoveAll(own, own + kLeaf));
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

// Undoes HandDown where nobody else depends on it: no other node, and nobody's group that has
// limits by what was handed down. The leaf says that it was us.
void TakeBack(const std::string& own) {
  if (::access((own + kLeaf).c_str(), F_OK) != 0) return;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(own, error)) {
    if (entry.is_directory(error) && entry.path().string() != own + kLeaf) return;
  }
  const std::string enabled = ReadControl(own + "/cgroup.subtree_control");
  std::vector<std::string> taken;
  for (const char* controller : {"cpu", "memory", "pids"}) {
    if (!HasWord(enabled, controller)) continue;
    if (WriteControl(own + "/cgroup.subtree_control", std::string("-") + controller).ok()) {
      taken.emplace_back(controller);
      continue;
    }
    for (const std::string& back : taken) {
      (void)WriteControl(own + "/cgroup.subtree_control", "+" + back);
    }
    return;
  }
  if (MoveAll(own + kLeaf, own).ok()) ::rmdir((own + kLeaf).c_str());
}

void RemoveTree(const std::string& folder) {
  (void)WriteControl(folder + "/cgroup.kill", "1");
  std::error_code error;
  std::vector<std::string> children;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    if (entry.is_directory(error)) children.push_back(entry.path().string());
  }
  for (const std::string& child : children) RemoveTree(child);
  // Dying processes leave a group a moment after the kill.
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  const UniqueFd events(::open((folder + "/cgroup.events").c_str(), O_RDONLY | O_CLOEXEC));
  while (::rmdir(folder.c_str()) != 0 && errno == EBUSY &&
         std::chrono::steady_clock::now() < deadline) {
    // Woken when the group becomes empty; removing may be refused a little longer than that.
    pollfd polled{events.get(), POLLPRI, 0};
    ::poll(&polled, 1, 20);
  }
}

}  // namespace

Result<ModeDecision> DecideMode(std::string_view wanted) {
  const Result<std::string> group = OwnGroup();
  const bool kernel = ::access(kKernel, X_OK) == 0 && ::access("/dev/net/tun", F_OK) == 0;
  ModeDecision decision;
  decision.groups = group.ok();
  if (wanted == "host" || (wanted == "auto" && group.ok())) {
    decision.mode = NodeMode::kHost;
    decision.explanation =
        group.ok() ? "executors run on this host: its cgroup v2 tree delegates memory and pids"
                   : "executors run on this host without control groups, limits are approximate (" +
                         group.status().message() + ")";
    return decision;
  }
  if (wanted != "auto" && wanted != "uml") {
    return InvalidArgument("node mode \"" + std::string(wanted) + "\" is not auto, host or uml");
  }
  if (!kernel) {
    return FailedPrecondition("executors need a User-Mode-Linux machine" +
                              (group.ok() ? std::string() : " (" + group.status().message() + ")") +
                              ", and /usr/bin/linux.uml or /dev/net/tun is not there: install the "
                              "package user-mode-linux");
  }
  decision.mode = NodeMode::kUml;
  decision.explanation = "each executor runs in a User-Mode-Linux machine of its own" +
                         (group.ok() ? std::string(", as asked") : ": " + group.status().message());
  return decision;
}

int64_t HostMemoryBytes() {
  struct sysinfo info {};
  if (::sysinfo(&info) != 0) return 0;
  return static_cast<int64_t>(info.totalram) * static_cast<int64_t>(info.mem_unit);
}

int HostCpus() { return static_cast<int>(std::max(1L, ::sysconf(_SC_NPROCESSORS_ONLN))); }

int64_t MachineMemoryBytes(int64_t pod_limit) {
  constexpr int64_t kKernelBytes = 96LL << 20;
  constexpr int64_t kDefaultLimit = 1LL << 30;
  constexpr int64_t kPage = 4096;
  const int64_t limit = pod_limit > 0 ? pod_limit : kDefaultLimit;
  return (limit + limit / 32 + kKernelBytes) / kPage * kPage;
}

Result<PodGroups> PodGroups::Make(const std::string& node_dir) {
  ENVICUTOR_ASSIGN(const std::string own, OwnGroup());
  PodGroups groups;
  groups.base_ = own + kPods + Sha256Hex(node_dir).substr(0, 12);
  ENVICUTOR_ASSIGN(const UniqueFd lock, LockGroup(own));
  ENVICUTOR_RETURN_IF_ERROR(MakeDirs(groups.base_));
  const Status enabled = groups.Enable(own);
  if (enabled.ok()) return groups;
  if (::rmdir(groups.base_.c_str()) == 0) TakeBack(own);
  return enabled;
}

Status PodGroups::Enable(const std::string& own) const {
  ENVICUTOR_RETURN_IF_ERROR(HandDown(own));
  for (const char* controller : {"+memory", "+pids"}) {
    ENVICUTOR_RETURN_IF_ERROR(WriteControl(base_ + "/cgroup.subtree_control", controller));
  }
  (void)WriteControl(base_ + "/cgroup.subtree_control", "+cpu");
  return OkStatus();
}

Result<UniqueFd> PodGroups::MakeGroup(const std::string& name, int64_t memory_bytes,
                                      int64_t cpu_millis) const {
  const std::string folder = Folder(name);
  if (::access(folder.c_str(), F_OK) == 0) RemoveTree(folder);
  ENVICUTOR_RETURN_IF_ERROR(MakeDirs(folder));
  ENVICUTOR_RETURN_IF_ERROR(WriteControl(folder + "/memory.oom.group", "1"));
  if (memory_bytes > 0) {
    ENVICUTOR_RETURN_IF_ERROR(WriteControl(folder + "/memory.max", std::to_string(memory_bytes)));
    (void)WriteControl(folder + "/memory.swap.max", "0");  // absent without swap accounting
  }
  if (cpu_millis > 0) {
    (void)WriteControl(folder + "/cpu.max", std::to_string(cpu_millis * 100) + " 100000");
  }
  UniqueFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, "open " + folder);
  return fd;
}

void PodGroups::RemoveOthers(const std::vector<std::string>& known) const {
  if (!enabled()) return;
  std::error_code error;
  std::vector<std::string> stale;
  for (const auto& entry : std::filesystem::directory_iterator(base_, error)) {
    const std::string name = entry.path().filename().string();
    if (entry.is_directory(error) && std::find(known.begin(), known.end(), name) == known.end()) {
      stale.push_back(entry.path().string());
    }
  }
  for (const std::string& folder : stale) RemoveTree(folder);
}

void PodGroups::Leave() const {
  if (!enabled()) return;
  const std::string own = base_.substr(0, base_.rfind('/'));
  const Result<UniqueFd> lock = LockGroup(own);
  if (lock.ok() && ::rmdir(base_.c_str()) == 0) TakeBack(own);
}

int64_t PodGroups::OomKills(const std::string& folder) {
  const std::string events = ReadControl(folder + "/memory.events.local");
  constexpr std::string_view kKey = "oom_kill ";
  const size_t at = events.find(kKey);
  int64_t kills = 0;
  if (at != std::string::npos) {
    std::from_chars(events.data() + at + kKey.size(), events.data() + events.size(), kills);
  }
  return kills;
}

void PodGroups::RemoveGroup(const std::string& folder) {
  if (::access(folder.c_str(), F_OK) == 0) RemoveTree(folder);
}

}  // namespace envicutor::standalone
