#include "standalone/node/launcher.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/sched.h>
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

// Descriptors from 10 up, so that moving them to 0..4 in the child never hits one of them.
Result<UniqueFd> High(int fd) {
  UniqueFd copy(::fcntl(fd, F_DUPFD_CLOEXEC, 10));
  if (!copy.valid()) return ErrnoStatus(errno, "duplicate a descriptor");
  return copy;
}

struct ChildFds {
  int null;
  int output;
  int plan;
  int control;
};

// In the child of a threaded process: system calls only.
[[noreturn]] void ExecInit(const ChildFds& fds, const char* binary, char* const* argv,
                           char* const* env) {
  ::dup2(fds.null, 0);
  ::dup2(fds.output, 1);
  ::dup2(fds.output, 2);
  ::dup2(fds.plan, kPlanFd);
  ::dup2(fds.control, kControlFd);
  ::syscall(SYS_close_range, kControlFd + 1, ~0U, 0);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  for (const int signal : {SIGPIPE, SIGTERM, SIGINT, SIGHUP}) ::signal(signal, SIG_DFL);
  ::setsid();
  ::execve(binary, argv, env);
  ::_exit(127);
}

}  // namespace

PodProcess::PodProcess(pid_t pid, UniqueFd pidfd, UniqueFd control, UniqueFd network)
    : pid_(pid),
      pidfd_(std::move(pidfd)),
      control_(std::move(control)),
      network_(std::move(network)) {}

PodProcess::~PodProcess() {
  if (reaped_) return;
  Kill();
  Wait();
}

std::vector<InitEvent> PodProcess::TakeEvents(bool* closed) {
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
  static constexpr std::string_view kTerm = "TERM\n";
  // An error means that it is ending already.
  (void)::send(control_.get(), kTerm.data(), kTerm.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

void PodProcess::Kill() { ::syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0); }

void PodProcess::Wait() {
  if (reaped_) return;
  siginfo_t info{};
  while (::waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED) != 0 &&
         errno == EINTR) {
  }
  reaped_ = true;
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
  const ChildFds fds{high_null.get(), high_output.get(), high_plan.get(), high_control.get()};

  std::string mode = "host";
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
  return std::make_unique<PodProcess>(static_cast<pid_t>(pid), UniqueFd(pidfd), std::move(ours),
                                      std::move(network));
}

}  // namespace envicutor::standalone
