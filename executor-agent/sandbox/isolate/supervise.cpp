// Watching over a stage until it is over (stage.h). The first reason to end it is the one that
// counts.
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "common/base/log.h"
#include "executor-agent/sandbox/isolate/stage.h"
#include "executor-agent/sandbox/waiting.h"

namespace envicutor::agent::isolate {
namespace {

using api::Limit;

constexpr int64_t kSetupNanos = 60 * kSecondNanos;
// After SIGTERM isolate ends within one of its looks (100 ms) and the death of the box; then it is
// killed.
constexpr int64_t kTermNanos = 10 * kSecondNanos;
constexpr int64_t kDeathNanos = 60 * kSecondNanos;
constexpr int kExecNotFound = 127;  // as a shell has it
constexpr int kExecRefused = 126;

Result<std::string> ReadMeta(int hub, unsigned id) {
  const UniqueFd fd(
      ::openat(hub, ("meta/" + std::to_string(id)).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd.valid()) return ErrnoStatus(errno, "isolate's meta file");
  std::string text;
  std::array<char, 4096> buffer;
  while (text.size() <= kMaxMetaBytes) {
    const ssize_t got = ::read(fd.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus(errno, "isolate's meta file");
    if (got == 0) break;
    text.append(buffer.data(), static_cast<size_t>(got));
  }
  return text;
}

}  // namespace

StageOutcome Stage::Supervise(const std::stop_token& stop) {
  const UniqueFd stop_event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  const std::stop_callback wake(stop, [&] {
    const uint64_t one = 1;
    (void)!::write(stop_event.get(), &one, sizeof(one));
  });
  NoticeStart();
  Loop(stop_event.get());
  AwaitDeath();
  Measure();
  Finish();
  return std::move(outcome_);
}

void Stage::Loop(int stop_event) {
  while (!end_nanos_ && outcome_.killed == Killed::kNo) {
    std::array<pollfd, 6> fds{pollfd{pidfd_.get(), POLLIN, 0}, pollfd{events_.get(), POLLPRI, 0},
                              pollfd{stop_event, POLLIN, 0},   pollfd{stdin_.fd(), POLLOUT, 0},
                              pollfd{stdout_.fd(), POLLIN, 0}, pollfd{stderr_.fd(), POLLIN, 0}};
    if (populated_nanos_) fds[1].fd = -1;
    if (Poll(fds.data(), fds.size(), NextLookNanos(NowNanos())) < 0 && errno != EINTR) {
      Fail(std::string("poll: ") + std::strerror(errno));
      return;
    }
    // What the program did by itself comes first: an exit just before a deadline is an exit.
    if (fds[0].revents != 0) end_nanos_ = NowNanos();
    if (fds[1].revents != 0) NoticeStart();
    ThawWhenSafe(NowNanos());
    if (fds[3].revents != 0) stdin_.Serve();
    if (fds[4].revents != 0) ReadOutput(&stdout_, "maxStdout");
    if (fds[5].revents != 0) ReadOutput(&stderr_, "maxStderr");
    if (end_nanos_) return;
    if (fds[2].revents != 0) Kill(Killed::kCancelled, "");
    CheckTime(NowNanos());
  }
}

// Reading cgroup.events is what arms the next notification.
void Stage::NoticeStart() {
  std::array<char, 256> text;
  const ssize_t got = ::pread(events_.get(), text.data(), text.size(), 0);
  if (populated_nanos_ || got <= 0) return;
  if (cgroup::FlatKeyed({text.data(), static_cast<size_t>(got)}, "populated") != 1) return;
  populated_nanos_ = NowNanos();
  if (!frozen_) start_nanos_ = populated_nanos_;  // a kernel without cgroup.freeze
  ThawWhenSafe(*populated_nanos_);
}

int64_t Stage::NextLookNanos(int64_t now) const {
  if (frozen_ && populated_nanos_) return kHoldLookNanos;
  if (!start_nanos_) return std::max<int64_t>(begin_nanos_ + kSetupNanos - now, 0);
  const int64_t wall = std::max<int64_t>(*start_nanos_ + budget_.wall_nanos - now, 0);
  return std::min(wall, budget_.UntilNextLook(CpuUsedMicros()));
}

void Stage::CheckTime(int64_t now) {
  if (outcome_.killed != Killed::kNo) return;
  if (!start_nanos_) {
    if (now - begin_nanos_ >= kSetupNanos) Fail("isolate did not start the program in time");
    return;
  }
  if (CpuUsedMicros() >= budget_.cpu_micros) {
    Kill(Killed::kCpuTime, budget_.extra ? "extraTime" : "cpuTime");
  } else if (now - *start_nanos_ >= budget_.wall_nanos) {
    Kill(Killed::kWallTime, "wallTime");
  }
}

int64_t Stage::CpuUsedMicros() const {
  return std::max<int64_t>(group_.ReadKey(cgroup::kCpuStat, "usage_usec"), 0);
}

void Stage::ReadOutput(native::OutputStream* stream, const char* limit) {
  (void)stream->Read();
  if (stream->over()) Kill(Killed::kOutput, limit);
}

// SIGTERM lets isolate end the box and say its last words. The group is killed at once, too: that
// is what a program cannot delay, and isolate then sees an ordinary end.
void Stage::Kill(Killed why, std::string_view limit) {
  if (outcome_.killed != Killed::kNo) return;
  outcome_.killed = why;
  outcome_.killed_limit = limit;
  (void)::syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGTERM, nullptr, 0);
  if (populated_nanos_) (void)group_.Kill();
}

void Stage::Fail(std::string error) {
  if (outcome_.killed == Killed::kNo) Kill(Killed::kSandboxError, "");
  outcome_.killed = Killed::kSandboxError;
  outcome_.killed_limit.clear();
  outcome_.error = std::move(error);
}

void Stage::AwaitDeath() {
  const int64_t begin = NowNanos();
  bool term_failed = false;
  while (!end_nanos_) {
    pollfd wait{pidfd_.get(), POLLIN, 0};
    (void)Poll(&wait, 1, kSecondNanos);
    const int64_t now = NowNanos();
    if (wait.revents != 0) {
      end_nanos_ = now;
    } else if (now - begin >= kTermNanos && !term_failed) {
      log::Error("isolate ignores SIGTERM", {{"box", std::to_string(box_.id)}});
      (void)::syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0);
      term_failed = true;
    }
  }
  const Result<int> status = WaitPidfd(pidfd_.get());
  wait_status_ = status.ok() ? *status : SIGKILL;
  // When isolate itself was killed the program runs on without limits.
  const int64_t deadline = NowNanos() + kDeathNanos;
  while (group_.Populated()) {
    (void)group_.Kill();
    pollfd wait{events_.get(), POLLPRI, 0};
    (void)Poll(&wait, 1, kSecondNanos / 100);
    std::array<char, 256> text;
    (void)!::pread(events_.get(), text.data(), text.size(), 0);
    if (NowNanos() < deadline) continue;
    Fail("the box's processes could not be ended");
    break;
  }
  stdin_.Close();
  // What was still in the pipes; nobody can write any more.
  while (stdout_.Read()) {
  }
  while (stderr_.Read()) {
  }
}

void Stage::Measure() {
  outcome_.wall_time_micros =
      start_nanos_ ? std::max<int64_t>(*end_nanos_ - *start_nanos_, 0) / 1000 : 0;
  outcome_.cpu_time_micros = CpuUsedMicros();
  outcome_.memory_bytes = group_.ReadNumber(cgroup::kMemoryPeak, 0);
  outcome_.oom_killed = group_.ReadKey(cgroup::kMemoryEvents, "oom_kill") > 0;
  struct statfs info {};
  if (::fstatfs(box_.top, &info) == 0) outcome_.disk_full = info.f_bfree == 0 || info.f_ffree == 0;
  outcome_.stdout_bytes = stdout_.total();
  outcome_.stderr_bytes = stderr_.total();
  outcome_.stdout_data = stdout_.TakeKept();
  outcome_.stderr_data = stderr_.TakeKept();
}

void Stage::Finish() {
  const Result<std::string> text = ReadMeta(box_.engine->Hub(), box_.id);
  const Result<Meta> meta = text.ok() ? ParseMeta(*text) : Result<Meta>(text.status());
  if (meta.ok()) {
    outcome_.oom_killed = outcome_.oom_killed || meta->oom_killed;
    if (outcome_.memory_bytes == 0)
      outcome_.memory_bytes = std::max<int64_t>(meta->memory_bytes, 0);
    if (!start_nanos_) outcome_.wall_time_micros = std::max<int64_t>(meta->wall_micros, 0);
  }
  if (outcome_.killed == Killed::kNo && (stdout_.over() || stderr_.over())) {
    outcome_.killed = Killed::kOutput;
    outcome_.killed_limit = stdout_.over() ? "maxStdout" : "maxStderr";
  }
  if (outcome_.killed != Killed::kNo) return;
  constexpr int kInternalError = 2 << 8;  // isolate's exit code 2
  if (!meta.ok()) {
    Fail("isolate ended without a word (wait status " + std::to_string(wait_status_) +
         "): " + meta.status().message() + " " + outcome_.stderr_data.substr(0, 500));
  } else if (wait_status_ == kInternalError || meta->status == "XX") {
    // In a box whose memory is too small for anything, the start itself may be what is killed.
    if (outcome_.oom_killed || meta->message.ends_with("Cannot allocate memory")) {
      outcome_.killed = Killed::kMemory;
      outcome_.killed_limit = "memory";
    } else {
      Fail("isolate: " +
           (meta->message.empty() ? outcome_.stderr_data.substr(0, 500) : meta->message));
    }
  } else if (wait_status_ != 0 && wait_status_ != 1 << 8) {
    Fail("isolate was killed by signal " + std::to_string(wait_status_));
  } else {
    Judge(*meta);
  }
}

void Stage::Judge(const Meta& meta) {
  if (meta.status == "TO") {  // isolate's own deadline, behind ours
    outcome_.killed = meta.wall_time_over() ? Killed::kWallTime : Killed::kCpuTime;
    outcome_.killed_limit =
        meta.wall_time_over() ? "wallTime" : (budget_.extra ? "extraTime" : "cpuTime");
  } else if (meta.status == "SG" && meta.message == "Interrupted") {
    Fail("isolate was interrupted by signal " + std::to_string(meta.exit_signal.value_or(0)));
  } else if (meta.exit_signal) {
    outcome_.exit_signal = *meta.exit_signal;
  } else if (meta.exit_code) {
    outcome_.exit_code = *meta.exit_code;
    TellExecFailures();
  } else {
    Fail("isolate does not say how the program ended");
  }
}

// isolate ends with 127 whatever execve's error was and prints it; a shell tells them apart.
void Stage::TellExecFailures() {
  const std::string prefix = "execve(\"" + spec_.argv[0] + "\"): ";
  const std::string& said = spec_.merge_stderr ? outcome_.stdout_data : outcome_.stderr_data;
  if (outcome_.exit_code != kExecNotFound || !said.starts_with(prefix)) return;
  const std::string error = said.substr(prefix.size());
  if (error != std::string(std::strerror(ENOENT)) + "\n") outcome_.exit_code = kExecRefused;
}

}  // namespace envicutor::agent::isolate
