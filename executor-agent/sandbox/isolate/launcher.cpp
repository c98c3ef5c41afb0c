#include "executor-agent/sandbox/isolate/launcher.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>

namespace envicutor::agent::isolate {
namespace {

constexpr char kHostName[] = "box";
constexpr size_t kMaxCallOutput = 64U << 10U;
constexpr int kCallMillis = 60'000;

struct Program {
  char* const* argv;
  char* const* env;
  const int* streams;
  pid_t parent;
  int cpu;
  const sock_fprog* filter;
};

// In the child that shares our memory until execve: system calls only. All signals are blocked.
[[noreturn]] void Become(const Program& program, int* error) {
  for (int signal = 1; signal < NSIG; ++signal) {
    struct sigaction action {};
    action.sa_handler = SIG_DFL;
    (void)::sigaction(signal, &action, nullptr);
  }
  if (::prctl(PR_SET_PDEATHSIG, SIGTERM) != 0 || ::getppid() != program.parent) ::_exit(1);
  for (int i = 0; i < 3; ++i) {
    if (::dup2(program.streams[i], i) < 0) {
      *error = errno;
      ::_exit(1);
    }
  }
  if (program.cpu >= 0 && program.cpu < CPU_SETSIZE) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(static_cast<unsigned>(program.cpu), &set);
    (void)::sched_setaffinity(0, sizeof(set), &set);
  }
  (void)::syscall(SYS_close_range, 3U, ~0U, 0U);
  sigset_t none;
  ::sigemptyset(&none);
  (void)::sigprocmask(SIG_SETMASK, &none, nullptr);
  // isolate's own filter stops a few calls only.
  if (::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, program.filter) != 0) {
    *error = errno;
    ::_exit(1);
  }
  ::execve(program.argv[0], program.argv, program.env);
  *error = errno;
  ::_exit(1);
}

__attribute__((noinline)) pid_t Fork(const Program& program, int* error) {
  const pid_t pid = ::vfork();
  if (pid == 0) Become(program, error);
  return pid;
}

Result<std::vector<char*>> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (const std::string& text : strings) {
    if (text.find('\0') != std::string::npos)
      return InvalidArgument("an argument contains a NUL byte");
    pointers.push_back(const_cast<char*>(text.c_str()));  // execve does not write to it
  }
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

Launcher::Launcher(std::vector<sock_filter> filter)
    : filter_(std::move(filter)), thread_([this] { Work(); }) {}

Launcher::~Launcher() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Launcher::Work() {
  sigset_t all;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, nullptr);
  while (true) {
    std::packaged_task<Status()> task;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stopping_ || !tasks_.empty(); });
      if (tasks_.empty()) return;
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    task();
  }
}

Status Launcher::Do(std::function<Status()> task) {
  std::packaged_task<Status()> packaged(std::move(task));
  std::future<Status> done = packaged.get_future();
  {
    const std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(packaged));
  }
  changed_.notify_all();
  return done.get();
}

Status Launcher::Enter() {
  return Do([]() -> Status {
    if (::unshare(CLONE_NEWNS | CLONE_NEWUTS) != 0) return ErrnoStatus(errno, "unshare");
    // What the host mounts later is seen, what we mount is ours alone.
    if (::mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0)
      return ErrnoStatus(errno, "make the mounts private");
    if (::sethostname(kHostName, sizeof(kHostName) - 1) != 0)
      return ErrnoStatus(errno, "sethostname");
    return OkStatus();
  });
}

Result<UniqueFd> Launcher::Spawn(const std::vector<std::string>& argv,
                                 const std::vector<std::string>& env,
                                 const std::array<int, 3>& streams, int cpu) {
  ENVICUTOR_ASSIGN(const std::vector<char*> arguments, Pointers(argv));
  ENVICUTOR_ASSIGN(const std::vector<char*> variables, Pointers(env));
  if (*std::min_element(streams.begin(), streams.end()) < 3)
    return Internal("a standard stream is closed in the agent");
  UniqueFd pidfd;
  const Status started = Do([&]() -> Status {
    int error = 0;
    const sock_fprog filter{static_cast<unsigned short>(filter_.size()), filter_.data()};
    const pid_t pid = Fork(
        {arguments.data(), variables.data(), streams.data(), ::getpid(), cpu, &filter}, &error);
    if (pid < 0) return ErrnoStatus(errno, "vfork");
    pidfd = UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    if (error == 0 && pidfd.valid()) return OkStatus();
    const int pidfd_error = errno;
    if (error == 0) ::kill(pid, SIGTERM);
    (void)::waitpid(pid, nullptr, 0);
    if (error == E2BIG) return InvalidArgument("argument list too long");
    return ErrnoStatus(error == 0 ? pidfd_error : error, "start " + argv[0]);
  });
  if (!started.ok()) return started;
  return pidfd;
}

Result<int> WaitPidfd(int pidfd) {
  siginfo_t info{};
  while (::waitid(P_PIDFD, static_cast<id_t>(pidfd), &info, WEXITED) != 0) {
    if (errno != EINTR) return ErrnoStatus(errno, "wait for isolate");
  }
  return info.si_code == CLD_EXITED ? (info.si_status & 0xFF) << 8 : info.si_status & 0x7F;
}

Result<std::string> Launcher::Call(const std::vector<std::string>& argv) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return ErrnoStatus(errno, "pipe");
  const UniqueFd ours(ends[0]);
  UniqueFd theirs(ends[1]);
  const UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!null.valid()) return ErrnoStatus(errno, "open /dev/null");
  ENVICUTOR_ASSIGN(const UniqueFd pidfd, Spawn(argv, {}, {null.get(), theirs.get(), theirs.get()}));
  theirs.reset();
  std::string output;
  std::array<char, 4096> buffer;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(kCallMillis);
  while (true) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    pollfd wait{ours.get(), POLLIN, 0};
    const int ready = ::poll(&wait, 1, static_cast<int>(std::max<int64_t>(left.count(), 0)));
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) {
      (void)::syscall(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, nullptr, 0);
      (void)WaitPidfd(pidfd.get());
      return Status{Code::kDeadlineExceeded, "isolate does not answer"};
    }
    const ssize_t got = ::read(ours.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    if (output.size() < kMaxCallOutput) output.append(buffer.data(), static_cast<size_t>(got));
  }
  ENVICUTOR_ASSIGN(const int status, WaitPidfd(pidfd.get()));
  while (!output.empty() && output.back() == '\n') output.pop_back();
  if (status != 0) {
    return Internal(argv[0] + " failed: " +
                    (output.empty() ? "wait status " + std::to_string(status) : output));
  }
  return output;
}

}  // namespace envicutor::agent::isolate
