#include "standalone/node/launcher.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>

namespace envicutor::standalone {
namespace {

constexpr size_t kMaxControlLine = 64U << 10U;

Result<UniqueFd> PlanFd(const LaunchPlan& plan) {
  UniqueFd fd(::memfd_create("envicutor-plan", MFD_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, "memfd_create");
  const std::string text = LaunchPlanToJson(plan);
  if (::write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) ||
      ::lseek(fd.get(), 0, SEEK_SET) != 0) {
    return ErrnoStatus(errno, "write the plan");
  }
  return fd;
}

// Descriptors from 10 up, so that moving them to 0..7 in the child never hits one of them. -1
// stays.
Result<UniqueFd> High(int fd) {
  if (fd < 0) return UniqueFd();
  UniqueFd copy(::fcntl(fd, F_DUPFD_CLOEXEC, 10));
  if (!copy.valid()) return ErrnoStatus(errno, "duplicate a descriptor");
  return copy;
}

struct ChildFds {
  int null;
  int output;
  int plan;
  int control;
  int events;  // -1, as the two below: not kept
  int drain;
  int node_lock;
};

// In the child of a threaded process: system calls only.
[[noreturn]] void ExecInit(const ChildFds& fds, const char* binary, char* const* argv,
                           char* const* env) {
  ::dup2(fds.null, 0);
  ::dup2(fds.output, 1);
  ::dup2(fds.output, 2);
  ::dup2(fds.plan, kPlanFd);
  ::dup2(fds.control, kControlFd);
  const bool kept = fds.events >= 0;
  if (kept) {
    ::dup2(fds.events, kEventsFd);
    ::dup2(fds.drain, kDrainFd);
    ::dup2(fds.node_lock, kNodeLockFd);
  }
  ::syscall(SYS_close_range, (kept ? kNodeLockFd : kControlFd) + 1, ~0U, 0);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  for (int signal = 1; signal < NSIG; ++signal) ::signal(signal, SIG_DFL);
  ::setsid();
  ::execve(binary, argv, env);
  ::_exit(127);
}

}  // namespace

PodProcess::PodProcess(pid_t pid, UniqueFd pidfd, UniqueFd control, UniqueFd network,
                       std::string events_path)
    : pid_(pid),
      pidfd_(std::move(pidfd)),
      control_(std::move(control)),
      network_(std::move(network)),
      events_path_(std::move(events_path)) {}

PodProcess::~PodProcess() {
  if (reaped_) return;
  Kill();
  Wait();
}

std::vector<InitEvent> PodProcess::TakeEvents(bool* closed) {
  if (adopted()) {
    pollfd polled{pidfd_.get(), POLLIN, 0};
    if (*closed || ::poll(&polled, 1, 0) <= 0) return {};
    *closed = true;
    return ReadEvents(events_path_);
  }
  std::array<char, 4096> chunk{};
  while (true) {
    const ssize_t length = ::recv(control_.get(), chunk.data(), chunk.size(), MSG_DONTWAIT);
    if (length < 0 && errno == EINTR) continue;
    if (length < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
    if (length <= 0 || buffer_.size() > kMaxControlLine) {
      *closed = true;
      break;
    }
    buffer_.append(chunk.data(), static_cast<size_t>(length));
  }
  std::vector<InitEvent> events;
  for (size_t at = 0; (at = buffer_.find('\n')) != std::string::npos; buffer_.erase(0, at + 1)) {
    Result<InitEvent> event = InitEventFromLine(std::string_view(buffer_).substr(0, at));
    if (event.ok()) events.push_back(std::move(event).value());
  }
  return events;
}

void PodProcess::Terminate() {
  if (adopted()) {
    // Its init takes signals since it said that the command runs.
    ::syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGTERM, nullptr, 0);
    return;
  }
  static constexpr std::string_view kTerm = "TERM\n";
  // An error means that it is ending already.
  (void)::send(control_.get(), kTerm.data(), kTerm.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

void PodProcess::Kill() { ::syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0); }

void PodProcess::Wait() {
  if (reaped_) return;
  if (adopted()) {
    // Not our child: whoever is its parent now reaps it.
    pollfd polled{pidfd_.get(), POLLIN, 0};
    while (::poll(&polled, 1, -1) <= 0) {
    }
    reaped_ = true;
    return;
  }
  siginfo_t info{};
  while (::waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED) != 0 &&
         errno == EINTR) {
  }
  reaped_ = true;
}

std::vector<InitEvent> ReadEvents(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  std::string text(kEventsBytes, '\0');
  const ssize_t length = fd.valid() ? ::read(fd.get(), text.data(), text.size()) : 0;
  text.resize(length > 0 ? static_cast<size_t>(length) : 0);
  std::vector<InitEvent> events;
  for (size_t at = 0, end = 0; (end = text.find('\n', at)) != std::string::npos; at = end + 1) {
    Result<InitEvent> event = InitEventFromLine(std::string_view(text).substr(at, end - at));
    if (event.ok()) events.push_back(std::move(event).value());
  }
  return events;
}

std::string ReadRest(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  std::string rest;
  std::array<char, 16384> buffer{};
  ssize_t length = 0;
  while (fd.valid() && rest.size() <= static_cast<size_t>(kMaxRest) &&
         (length = ::pread(fd.get(), buffer.data(), buffer.size(),
                           kEventsBytes + static_cast<off_t>(rest.size()))) > 0) {
    rest.append(buffer.data(), static_cast<size_t>(length));
  }
  return rest;
}

Result<std::unique_ptr<PodProcess>> Launch(const LaunchRequest& request) {
  ENVICUTOR_ASSIGN(const UniqueFd plan, PlanFd(request.plan));
  std::array<int, 2> sockets{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets.data()) != 0) {
    return ErrnoStatus(errno, "socketpair");
  }
  UniqueFd ours(sockets[0]);
  const UniqueFd theirs(sockets[1]);
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null.valid()) return ErrnoStatus(errno, "open /dev/null");
  ENVICUTOR_ASSIGN(const UniqueFd high_null, High(null.get()));
  ENVICUTOR_ASSIGN(const UniqueFd high_output, High(request.output_fd));
  ENVICUTOR_ASSIGN(const UniqueFd high_plan, High(plan.get()));
  ENVICUTOR_ASSIGN(const UniqueFd high_control, High(theirs.get()));
  const KeepFds keep = request.keep.value_or(KeepFds{});
  ENVICUTOR_ASSIGN(const UniqueFd high_events, High(keep.events));
  ENVICUTOR_ASSIGN(const UniqueFd high_drain, High(keep.drain));
  ENVICUTOR_ASSIGN(const UniqueFd high_lock, High(keep.node_lock));
  const ChildFds fds{high_null.get(),   high_output.get(), high_plan.get(), high_control.get(),
                     high_events.get(), high_drain.get(),  high_lock.get()};

  std::string mode = request.keep ? kKeptMode : kHostMode;
  std::string name = "envicutor-pod-init";
  std::string path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  const std::array<char*, 3> argv{name.data(), mode.data(), nullptr};
  const std::array<char*, 2> env{path.data(), nullptr};

  int pidfd = -1;
  clone_args args{};
  args.flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_PIDFD;
  if (request.plan.machine) args.flags |= CLONE_NEWNET;
  args.pidfd = reinterpret_cast<uint64_t>(&pidfd);
  args.exit_signal = SIGCHLD;
  if (request.cgroup_fd >= 0) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = static_cast<uint64_t>(request.cgroup_fd);
  }
  const long pid = ::syscall(SYS_clone3, &args, sizeof(args));
  if (pid < 0) return ErrnoStatus(errno, "clone3 for a pod");
  if (pid == 0) ExecInit(fds, request.init_binary.c_str(), argv.data(), env.data());
  UniqueFd network;
  if (request.plan.machine) {
    const std::string ns = "/proc/" + std::to_string(pid) + "/ns/net";
    network = UniqueFd(::open(ns.c_str(), O_RDONLY | O_CLOEXEC));
  }
  const int control = ours.get();
  auto process = std::make_unique<PodProcess>(static_cast<pid_t>(pid), UniqueFd(pidfd),
                                              std::move(ours), std::move(network));
  // Until this it only waits: whoever ends here takes it along.
  if (request.on_process) ENVICUTOR_RETURN_IF_ERROR(request.on_process(process->pid()));
  (void)::send(control, kGo.data(), kGo.size(), MSG_NOSIGNAL);
  return process;
}

}  // namespace envicutor::standalone
