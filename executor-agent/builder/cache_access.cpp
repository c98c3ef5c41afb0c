#include "executor-agent/builder/cache_access.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <chrono>
#include <csignal>

#include "common/base/unique_fd.h"

namespace envicutor::agent {
namespace {

constexpr size_t kMaxAnswerBytes = 1U << 20U;

// "CODE\nTEXT": the status' message, or what was read.
void WriteAnswer(int fd, const Result<std::string>& result) {
  const std::string answer = std::to_string(static_cast<int>(result.status().code())) + "\n" +
                             (result.ok() ? *result : result.status().message());
  std::string_view rest = answer;
  while (!rest.empty()) {
    const ssize_t count = ::write(fd, rest.data(), rest.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return;
    rest.remove_prefix(static_cast<size_t>(count));
  }
}

Result<std::string> ReadAnswer(int fd, int64_t timeout_millis) {
  using SteadyClock = std::chrono::steady_clock;
  const auto deadline = SteadyClock::now() + std::chrono::milliseconds(timeout_millis);
  std::string answer;
  while (answer.size() < kMaxAnswerBytes) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - SteadyClock::now());
    pollfd waiting{fd, POLLIN, 0};
    if (left.count() <= 0 || ::poll(&waiting, 1, static_cast<int>(left.count())) == 0) {
      return Status(Code::kDeadlineExceeded, "the cache did not answer in time");
    }
    std::array<char, 16384> buffer{};
    const ssize_t count = ::read(fd, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    answer.append(buffer.data(), static_cast<size_t>(count));
  }
  int code = -1;
  const size_t newline = answer.find('\n');
  if (newline == std::string::npos ||
      std::from_chars(answer.data(), answer.data() + newline, code).ec != std::errc()) {
    return Internal("the process that asked the cache ended without an answer");
  }
  std::string text = answer.substr(newline + 1);
  if (code == static_cast<int>(Code::kOk)) return text;
  return Status(static_cast<Code>(code), std::move(text));
}

}  // namespace

Result<std::string> WithCacheFiles(
    const std::string& url, const std::string& netrc, int64_t timeout_millis,
    const std::function<Result<std::string>(CacheFiles&)>& operation) {
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) return ErrnoStatus(errno, "pipe");
  const UniqueFd reader(pipe[0]);
  UniqueFd writer(pipe[1]);
  const pid_t pid = ::fork();
  if (pid < 0) return ErrnoStatus(errno, "fork");
  if (pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    Result<std::unique_ptr<CacheFiles>> files = NewCacheFiles(url, netrc);
    WriteAnswer(writer.get(), files.ok() ? operation(**files) : files.status());
    ::_exit(0);
  }
  writer.reset();
  Result<std::string> answer = ReadAnswer(reader.get(), timeout_millis);
  ::kill(pid, SIGKILL);
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  return answer;
}

}  // namespace envicutor::agent
