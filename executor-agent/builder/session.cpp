#include "executor-agent/builder/session.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>

#include "common/base/json.h"
#include "common/base/unique_fd.h"
#include "executor-agent/builder/memory_watch.h"
#include "executor-agent/builder/session_init.h"

namespace envicutor::agent {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr auto kCheckInterval = std::chrono::milliseconds(200);
constexpr size_t kMaxControlBytes = 64U << 20U;

SessionResult::Step StepOf(const std::string& name) {
  using Step = SessionResult::Step;
  if (name == "fetch") return Step::kFetch;
  if (name == "evaluate") return Step::kEvaluate;
  if (name == "build") return Step::kBuild;
  if (name == "publish") return Step::kPublish;
  if (name == "verify") return Step::kVerify;
  if (name == "inspect") return Step::kInspect;
  return Step::kStart;
}

void TakeMessage(std::string_view line, SessionResult* result) {
  const Result<Json> message = ParseJson(line, 8);
  if (!message.ok()) {
    result->error = "the session's message is unreadable: " + message.status().message();
    return;
  }
  if (const std::string step = GetString(*message, "step"); !step.empty()) {
    result->step = StepOf(step);
    result->exit_code = static_cast<int>(GetInt(*message, "code"));
    result->exit_signal = static_cast<int>(GetInt(*message, "signal"));
  } else if (GetBool(*message, "done")) {
    result->step = SessionResult::Step::kDone;
    result->store_path = GetString(*message, "storePath");
    result->path_info = GetString(*message, "pathInfo");
  } else {
    result->error = GetString(*message, "error", "the session said nothing");
  }
}

bool DiskIsFull(const SessionSpec& spec) {
  struct statvfs info {};
  if (spec.min_free_bytes <= 0 || ::statvfs(spec.store_root.c_str(), &info) != 0) return false;
  return static_cast<int64_t>(info.f_bavail) * static_cast<int64_t>(info.f_frsize) <
         spec.min_free_bytes;
}

// Reads once; false at the end of the file.
bool ReadSome(int fd, std::string* into) {
  std::array<char, 65536> buffer{};
  const ssize_t count = ::read(fd, buffer.data(), buffer.size());
  if (count < 0) return errno == EINTR || errno == EAGAIN;
  into->append(buffer.data(), static_cast<size_t>(count));
  return count > 0;
}

class Watch {
 public:
  Watch(const SessionSpec& spec, const std::function<void(std::string_view)>& on_log, pid_t pid)
      : spec_(spec), on_log_(on_log), pid_(pid) {}

  // Until both pipes are at their end, which is when every process of the session is dead.
  void Run(int control_fd, int log_fd, SessionResult* result) {
    const auto deadline = SteadyClock::now() + std::chrono::milliseconds(spec_.timeout_millis);
    auto next_check = SteadyClock::now();
    int64_t log_bytes = 0;
    std::string control;
    std::array<pollfd, 2> fds{pollfd{control_fd, POLLIN, 0}, pollfd{log_fd, POLLIN, 0}};
    while (fds[0].fd >= 0 || fds[1].fd >= 0) {
      const auto now = SteadyClock::now();
      if (now >= deadline) Stop(SessionResult::Stopped::kTimeout, result);
      if (now >= next_check) {
        next_check = now + kCheckInterval;
        if (DiskIsFull(spec_)) Stop(SessionResult::Stopped::kDiskFull, result);
        if (spec_.memory_bytes > 0 && UsesMoreMemory(pid_, spec_.memory_bytes)) {
          Stop(SessionResult::Stopped::kOutOfMemory, result);
        }
      }
      const auto wait = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - now);
      const auto bounded =
          std::clamp<std::chrono::milliseconds>(wait, std::chrono::milliseconds(1), kCheckInterval);
      if (::poll(fds.data(), fds.size(), static_cast<int>(bounded.count())) <= 0) continue;
      if (fds[1].revents != 0) {
        std::string text;
        if (!ReadSome(log_fd, &text)) fds[1].fd = -1;
        log_bytes += static_cast<int64_t>(text.size());
        if (!text.empty() && log_bytes <= spec_.max_log_bytes) on_log_(text);
        if (log_bytes > spec_.max_log_bytes) Stop(SessionResult::Stopped::kLogTooLong, result);
      }
      if (fds[0].revents != 0) {
        if (!ReadSome(control_fd, &control) || control.size() > kMaxControlBytes) fds[0].fd = -1;
        for (size_t end = control.find('\n'); end != std::string::npos; end = control.find('\n')) {
          // After it was stopped, the step that it was stopped in counts.
          if (result->stopped == SessionResult::Stopped::kNo) {
            TakeMessage(std::string_view(control).substr(0, end), result);
          }
          control.erase(0, end + 1);
        }
      }
    }
  }

 private:
  void Stop(SessionResult::Stopped why, SessionResult* result) {
    if (result->stopped != SessionResult::Stopped::kNo) return;
    result->stopped = why;
    // PID 1 of the namespace: the kernel ends all the others with it.
    ::kill(pid_, SIGKILL);
  }

  const SessionSpec& spec_;
  const std::function<void(std::string_view)>& on_log_;
  const pid_t pid_;
};

}  // namespace

SessionResult RunSession(const SessionSpec& spec,
                         const std::function<void(std::string_view)>& on_log) {
  SessionResult result;
  std::array<int, 2> control{};
  std::array<int, 2> log{};
  if (::pipe2(control.data(), O_CLOEXEC) != 0 || ::pipe2(log.data(), O_CLOEXEC) != 0) {
    result.error = ErrnoStatus(errno, "pipe").message();
    return result;
  }
  const UniqueFd control_reader(control[0]);
  UniqueFd control_writer(control[1]);
  const UniqueFd log_reader(log[0]);
  UniqueFd log_writer(log[1]);

  unsigned long flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | SIGCHLD;
  if (!spec.network) flags |= CLONE_NEWNET;
  // Like fork: the builder has one thread.
  const auto pid =
      static_cast<pid_t>(::syscall(SYS_clone, flags, nullptr, nullptr, nullptr, nullptr));
  if (pid < 0) {
    result.error = ErrnoStatus(errno, "making the build's namespaces").message();
    return result;
  }
  if (pid == 0) RunSessionInit(spec, control_writer.get(), log_writer.get());
  control_writer.reset();
  log_writer.reset();
  Watch(spec, on_log, pid).Run(control_reader.get(), log_reader.get(), &result);
  int status = 0;
  while (::wait4(pid, &status, 0, &result.usage) < 0 && errno == EINTR) {
  }
  if (result.step != SessionResult::Step::kDone && result.stopped == SessionResult::Stopped::kNo &&
      result.exit_code == 0 && result.exit_signal == 0 && result.error.empty()) {
    result.error = "the session ended unexpectedly";
    if (WIFSIGNALED(status)) result.exit_signal = WTERMSIG(status);
  }
  return result;
}

}  // namespace envicutor::agent
