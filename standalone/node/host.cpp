#include "standalone/node/host.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <vector>

#include "common/base/encoding.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "standalone/node/own_group.h"

namespace envicutor::standalone {
namespace {

constexpr char kKernel[] = "/usr/bin/linux.uml";

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
  groups.base_ = own + kPodGroupPrefix + Sha256Hex(node_dir).substr(0, 12);
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
  // Without the lock: who has it holds up no more than the way back of who was moved.
  if (::rmdir(base_.c_str()) != 0) return;
  const Result<UniqueFd> lock = LockGroup(own);
  if (lock.ok()) {
    TakeBack(own);
  } else {
    log::Warn("who was moved to a leaf of this control group stays there",
              {{"group", own}, {"error", lock.status().ToString()}});
  }
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
