#include "standalone/node/init/child.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>

namespace envicutor::standalone {
namespace {

sigset_t WatchedSignals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGCHLD, SIGTERM, SIGINT}) sigaddset(&set, signal);
  return set;
}

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (const std::string& text : strings) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

const char* PathOf(const std::vector<std::string>& env) {
  for (const std::string& entry : env) {
    if (entry.rfind("PATH=", 0) == 0) return entry.c_str() + 5;
  }
  return "/usr/local/bin:/usr/bin:/bin";
}

[[noreturn]] void Fail(int report, const Status& status) {
  WriteAll(report, (status.code() == Code::kNotFound ? "N" : "E") + status.message());
  ::_exit(127);
}

[[noreturn]] void RunChild(const LaunchPlan& plan, const std::function<Status()>& before_exec,
                           const std::vector<int>& kept, int report) {
  const sigset_t watched = WatchedSignals();
  sigprocmask(SIG_UNBLOCK, &watched, nullptr);
  ::setsid();
  if (const Status status = before_exec(); !status.ok()) Fail(report, status);
  if (::chdir(plan.working_dir.c_str()) != 0) {
    Fail(report, ErrnoStatus(errno, "enter the working folder " + plan.working_dir));
  }
  const rlim_t files = static_cast<rlim_t>(plan.open_files);
  const rlimit limit{files, files};
  ::setrlimit(RLIMIT_NOFILE, &limit);
  ::setenv("PATH", PathOf(plan.env), 1);
  // `report` is close-on-exec: its end tells that exec worked.
  ::close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
  for (const int fd : kept) ::fcntl(fd, F_SETFD, 0);
  const std::vector<char*> argv = Pointers(plan.argv);
  const std::vector<char*> env = Pointers(plan.env);
  ::execvpe(argv[0], argv.data(), env.data());
  Fail(report, ErrnoStatus(errno, "exec " + plan.argv[0]));
}

}  // namespace

Result<int> SignalFd() {
  const sigset_t set = WatchedSignals();
  if (sigprocmask(SIG_BLOCK, &set, nullptr) != 0) return ErrnoStatus(errno, "sigprocmask");
  const int fd = ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (fd < 0) return ErrnoStatus(errno, "signalfd");
  return fd;
}

Result<pid_t> StartCommand(const LaunchPlan& plan, const std::function<Status()>& before_exec,
                           const std::vector<int>& kept) {
  std::array<int, 2> report{};
  if (::pipe2(report.data(), O_CLOEXEC) != 0) return ErrnoStatus(errno, "pipe2");
  const pid_t pid = ::fork();
  if (pid < 0) return ErrnoStatus(errno, "fork");
  if (pid == 0) RunChild(plan, before_exec, kept, report[1]);
  ::close(report[1]);
  std::string error;
  std::array<char, 512> buffer{};
  ssize_t length = 0;
  while ((length = ::read(report[0], buffer.data(), buffer.size())) > 0 ||
         (length < 0 && errno == EINTR)) {
    if (length > 0) error.append(buffer.data(), static_cast<size_t>(length));
  }
  ::close(report[0]);
  if (error.empty()) return pid;
  int status = 0;
  ::waitpid(pid, &status, 0);
  const Code code = error[0] == 'N' ? Code::kNotFound : Code::kFailedPrecondition;
  return Status(code, error.substr(1));
}

InitEvent ExitEvent(int wait_status) {
  InitEvent event;
  event.type = InitEvent::Type::kExited;
  if (WIFSIGNALED(wait_status)) {
    event.signal = WTERMSIG(wait_status);
    event.exit_code = 128 + event.signal;
  } else {
    event.exit_code = WEXITSTATUS(wait_status);
  }
  return event;
}

bool ReapUntilMain(pid_t main_pid, int* wait_status) {
  while (true) {
    int status = 0;
    const pid_t pid = ::waitpid(-1, &status, WNOHANG);
    if (pid <= 0) return false;
    if (pid == main_pid) {
      *wait_status = status;
      return true;
    }
  }
}

void WriteAll(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;
    text.remove_prefix(static_cast<size_t>(written));
  }
}

}  // namespace envicutor::standalone
