#include "executor-agent/store/nix_command.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>

#include "common/base/encoding.h"
#include "common/base/status.h"
#include "common/base/unique_fd.h"

namespace envicutor::agent {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kWatchInterval{200};
constexpr size_t kKeptErrorBytes = 16U << 10U;
constexpr size_t kMaxErrorBytes = 600;

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (const std::string& string : strings) pointers.push_back(const_cast<char*>(string.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

// In the child of a process with threads: system calls only, nothing that allocates.
[[noreturn]] void Exec(char* const* argv, char* const* env, int out, int err, pid_t parent,
                       rlim_t max_file) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  if (::getppid() != parent) ::_exit(125);
  // NOLINTNEXTLINE(android-cloexec-open): it may be stdin itself, where that was closed
  const int null_fd = ::open("/dev/null", O_RDONLY);
  ::dup2(null_fd, STDIN_FILENO);
  ::dup2(out, STDOUT_FILENO);
  ::dup2(err, STDERR_FILENO);
  ::close_range(STDERR_FILENO + 1, ~0U, 0);
  const rlimit none{0, 0};
  ::setrlimit(RLIMIT_CORE, &none);
  if (max_file > 0) {
    const rlimit limit{max_file, max_file};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  for (const int signal : {SIGTERM, SIGINT, SIGPIPE}) ::signal(signal, SIG_DFL);
  sigset_t empty;
  ::sigemptyset(&empty);
  ::sigprocmask(SIG_SETMASK, &empty, nullptr);
  ::execvpe(argv[0], argv, env);
  ::dprintf(STDERR_FILENO, "error: %s cannot be started: errno %d\n", argv[0], errno);
  ::_exit(127);
}

// False at the end of the file.
bool ReadSome(int fd, std::string* into) {
  std::array<char, 65536> buffer{};
  const ssize_t count = ::read(fd, buffer.data(), buffer.size());
  if (count < 0) return errno == EINTR || errno == EAGAIN;
  into->append(buffer.data(), static_cast<size_t>(count));
  return count > 0;
}

// Reads until both pipes are at their end or there is a reason to stop; that reason.
std::string Watch(const NixCommand& command, int out, int err, NixExit* exit) {
  const auto deadline = SteadyClock::now() + command.timeout;
  std::array<pollfd, 2> fds{pollfd{out, POLLIN, 0}, pollfd{err, POLLIN, 0}};
  while (fds[0].fd >= 0 || fds[1].fd >= 0) {
    if (SteadyClock::now() >= deadline) {
      return "it took longer than " + std::to_string(command.timeout.count() / 1000) + " s";
    }
    if (command.stop_reason) {
      if (std::string reason = command.stop_reason(); !reason.empty()) return reason;
    }
    if (::poll(fds.data(), fds.size(), static_cast<int>(kWatchInterval.count())) <= 0) continue;
    if (fds[0].revents != 0 && !ReadSome(out, &exit->output)) fds[0].fd = -1;
    if (fds[1].revents != 0 && !ReadSome(err, &exit->errors)) fds[1].fd = -1;
    if (exit->output.size() > command.max_output_bytes) return "it wrote too much";
    if (exit->errors.size() > 2 * kKeptErrorBytes) {
      exit->errors.erase(0, exit->errors.size() - kKeptErrorBytes);
    }
  }
  return "";
}

}  // namespace

NixExit RunNix(const NixCommand& command) {
  NixExit exit;
  std::array<int, 2> out{};
  std::array<int, 2> err{};
  if (::pipe2(out.data(), O_CLOEXEC) != 0) {
    exit.stopped = ErrnoStatus(errno, "pipe").message();
    return exit;
  }
  const UniqueFd out_reader(out[0]);
  UniqueFd out_writer(out[1]);
  if (::pipe2(err.data(), O_CLOEXEC) != 0) {
    exit.stopped = ErrnoStatus(errno, "pipe").message();
    return exit;
  }
  const UniqueFd err_reader(err[0]);
  UniqueFd err_writer(err[1]);
  const std::vector<char*> argv = Pointers(command.argv);
  const std::vector<char*> env = Pointers(command.env);
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) {
    exit.stopped = ErrnoStatus(errno, "fork").message();
    return exit;
  }
  if (pid == 0) {
    Exec(argv.data(), env.data(), out_writer.get(), err_writer.get(), parent,
         static_cast<rlim_t>(std::max<int64_t>(command.max_file_bytes, 0)));
  }
  out_writer.reset();
  err_writer.reset();
  exit.stopped = Watch(command, out_reader.get(), err_reader.get(), &exit);
  if (!exit.stopped.empty()) {
    ::kill(-pid, SIGKILL);
    ::kill(pid, SIGKILL);  // before it made its group
  }
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status)) exit.code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) exit.signal = WTERMSIG(status);
  return exit;
}

std::string NixErrorOf(std::string_view errors) {
  constexpr std::array<std::string_view, 5> kNoise = {
      "--show-trace", "will be fetched", "--add-root", "build-users-group", "don't know how to"};
  std::string text;
  bool useful = false;  // within an error or a warning, whose further lines are indented
  while (!errors.empty()) {
    const size_t newline = errors.find('\n');
    const std::string_view line = errors.substr(0, newline);
    errors = newline == std::string_view::npos ? "" : errors.substr(newline + 1);
    if (line.empty()) continue;
    const bool begins = line.starts_with("error:") || line.starts_with("warning:");
    const bool repeats = line.starts_with("error: build of '") ||
                         line.starts_with("error: some substitutes for the outputs");
    const bool noise = std::any_of(kNoise.begin(), kNoise.end(), [&](std::string_view word) {
      return line.find(word) != std::string_view::npos;
    });
    if (begins) useful = !repeats && !noise;
    if (!begins && line.front() != ' ') useful = false;
    if (!useful || noise) continue;
    std::string_view words = line;
    if (begins) words.remove_prefix(words.find(':') + 1);
    words.remove_prefix(std::min(words.find_first_not_of(' '), words.size()));
    if (!text.empty()) text += begins ? "; " : " ";
    text += words;
  }
  if (text.size() > kMaxErrorBytes) text.erase(0, text.size() - kMaxErrorBytes);
  return ToUtf8Lossy(text);
}

}  // namespace envicutor::agent
