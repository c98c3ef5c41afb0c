#include "standalone/cli/tool.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>

#include "common/base/file.h"
#include "common/base/unique_fd.h"

extern char** environ;

namespace envicutor::standalone {
namespace {

constexpr size_t kMaxOutput = 64U << 10U;
constexpr size_t kLastWords = 400;

// In the child of a threaded process: system calls only.
[[noreturn]] void Exec(pid_t parent, int output, int errors, int null, char* const* argv) {
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != parent) ::_exit(127);
  ::setsid();
  ::dup2(null, 0);
  ::dup2(output, 1);
  ::dup2(errors, 2);
  ::syscall(SYS_close_range, 3, ~0U, 0);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  ::signal(SIGPIPE, SIG_DFL);
  ::execve(argv[0], argv, environ);
  ::_exit(127);
}

std::string LastWords(const std::string& log_path) {
  Result<std::string> text = ReadFile(log_path);
  if (!text.ok()) return "";
  if (text->size() > kLastWords) text->erase(0, text->size() - kLastWords);
  while (!text->empty() && text->back() == '\n') text->pop_back();
  return *text;
}

UniqueFd High(int fd) { return UniqueFd(::fcntl(fd, F_DUPFD_CLOEXEC, 10)); }

}  // namespace

Result<std::string> RunTool(const std::vector<std::string>& arguments, const std::string& log_path,
                            std::stop_token stop) {
  std::vector<std::string> copy = arguments;
  std::vector<char*> argv;
  argv.reserve(copy.size() + 1);
  for (std::string& part : copy) argv.push_back(part.data());
  argv.push_back(nullptr);
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) return ErrnoStatus(errno, "pipe2");
  const UniqueFd output(pipe[0]);
  UniqueFd write_end = High(pipe[1]);
  ::close(pipe[1]);
  const UniqueFd low_null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  const UniqueFd null = High(low_null.get());
  UniqueFd log;
  if (!log_path.empty()) {
    const UniqueFd low(::open(log_path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640));
    log = High(low.get());
  }
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid == 0) {
    Exec(parent, write_end.get(), log.valid() ? log.get() : null.get(), null.get(), argv.data());
  }
  if (pid < 0) return ErrnoStatus(errno, "fork");
  write_end.reset();
  const UniqueFd wake(::eventfd(0, EFD_CLOEXEC));
  const std::stop_callback on_stop(stop, [&wake] {
    const uint64_t one = 1;
    (void)!::write(wake.get(), &one, sizeof(one));
  });
  std::string text;
  while (true) {
    std::array<pollfd, 2> polled{pollfd{output.get(), POLLIN, 0}, pollfd{wake.get(), POLLIN, 0}};
    if (::poll(polled.data(), polled.size(), -1) < 0 && errno == EINTR) continue;
    if (polled[1].revents != 0) {
      // Its session: whatever it started goes too. It may not have got as far as making one.
      ::kill(-pid, SIGKILL);
      ::kill(pid, SIGKILL);
      break;
    }
    std::array<char, 4096> buffer{};
    const ssize_t length = ::read(output.get(), buffer.data(), buffer.size());
    if (length < 0 && errno == EINTR) continue;
    if (length <= 0) break;
    if (text.size() < kMaxOutput) text.append(buffer.data(), static_cast<size_t>(length));
  }
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (stop.stop_requested()) return Status(Code::kCancelled, copy[0] + ": stopped");
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return text;
  return FailedPrecondition(copy[0] + " failed: " + LastWords(log_path));
}

}  // namespace envicutor::standalone
