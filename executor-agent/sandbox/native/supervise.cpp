// Watching over a stage until it is over (stage.h). The first reason to end it is the one that
// counts.
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "common/base/log.h"
#include "executor-agent/sandbox/native/messages.h"
#include "executor-agent/sandbox/native/process_tree.h"
#include "executor-agent/sandbox/native/stage.h"
#include "executor-agent/sandbox/waiting.h"

namespace envicutor::agent::native {
namespace {

using api::Limit;

// A box is set up in about a millisecond; a machine may be slow, but not for ever.
constexpr int64_t kSetupNanos = 60 * kSecondNanos;
// How long the kernel may take to end a killed box with many processes.
constexpr int64_t kDeathNanos = 60 * kSecondNanos;
constexpr int64_t kDegradedLookNanos = 20'000'000;
constexpr int kExecNotFound = 127;  // as a shell has it
constexpr int kExecRefused = 126;

}  // namespace

StageOutcome Stage::Supervise(const std::stop_token& stop) {
  begin_nanos_ = NowNanos();
  if (!box_.engine->has_memory()) disk_before_ = DiskUsed();
  const UniqueFd stop_event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  const std::stop_callback wake(stop, [&] {
    const uint64_t one = 1;
    (void)!::write(stop_event.get(), &one, sizeof(one));
  });
  Loop(stop_event.get());
  AwaitDeath();
  Finish();
  return std::move(outcome_);
}

void Stage::Loop(int stop_event) {
  while (!exit_nanos_ && !dead_ && outcome_.killed == Killed::kNo) {
    std::array<pollfd, 6> fds{pollfd{listening_ ? control_.get() : -1, POLLIN, 0},
                              pollfd{pidfd_.get(), POLLIN, 0},
                              pollfd{stop_event, POLLIN, 0},
                              pollfd{stdin_.fd(), POLLOUT, 0},
                              pollfd{stdout_.fd(), POLLIN, 0},
                              pollfd{stderr_.fd(), POLLIN, 0}};
    const int64_t now = NowNanos();
    if (Poll(fds.data(), fds.size(), NextLookNanos(now)) < 0 && errno != EINTR) {
      Kill(Killed::kSandboxError, "");
      outcome_.error = std::string("poll: ") + std::strerror(errno);
      return;
    }
    // What the program did by itself comes first: an exit just before a deadline is an exit.
    if (fds[0].revents != 0 || !listening_) ReadEvents();
    listening_ = true;
    if (fds[1].revents != 0) dead_ = true;
    if (fds[3].revents != 0) stdin_.Serve();
    if (fds[4].revents != 0) ReadOutput(&stdout_, "maxStdout");
    if (fds[5].revents != 0) ReadOutput(&stderr_, "maxStderr");
    if (exit_nanos_ || dead_) return;
    if (fds[2].revents != 0) Kill(Killed::kCancelled, "");
    const int64_t then = NowNanos();
    LookDegraded(then);
    CheckTime(then);
  }
}

int64_t Stage::NextLookNanos(int64_t now) const {
  const bool approximate = !box_.engine->has_memory() || !group_.cpu_stat.valid();
  if (!start_nanos_) {
    int64_t first = kSetupNanos;
    // Nothing can be due sooner after a start that is still to come.
    if (!listening_) first = std::min({first, budget_.wall_nanos, budget_.UntilNextLook(0)});
    if (!listening_ && approximate) first = std::min(first, kDegradedLookNanos);
    return std::max<int64_t>(begin_nanos_ + first - now, 0);
  }
  const int64_t wall = std::max<int64_t>(*start_nanos_ + budget_.wall_nanos - now, 0);
  const int64_t look = std::min(wall, std::max<int64_t>(next_cpu_look_nanos_ - now, 0));
  return approximate ? std::min(look, kDegradedLookNanos) : look;
}

void Stage::CheckTime(int64_t now) {
  if (outcome_.killed != Killed::kNo) return;
  if (!start_nanos_) {
    if (now - begin_nanos_ < kSetupNanos) return;
    Kill(Killed::kSandboxError, "");
    outcome_.error = "the box was not set up in time";
    return;
  }
  // Reading cpu.stat makes the kernel add up: only when the budget could be used up by now.
  if (next_cpu_look_nanos_ == 0) next_cpu_look_nanos_ = *start_nanos_ + budget_.UntilNextLook(0);
  int64_t used = 0;
  if (now >= next_cpu_look_nanos_) {
    used = CpuUsedMicros();
    next_cpu_look_nanos_ = now + budget_.UntilNextLook(used);
  }
  if (used >= budget_.cpu_micros) {
    Kill(Killed::kCpuTime, budget_.extra ? "extraTime" : "cpuTime");
  } else if (now - *start_nanos_ >= budget_.wall_nanos) {
    Kill(Killed::kWallTime, "wallTime");
  }
}

void Stage::LookDegraded(int64_t now) {
  if ((box_.engine->has_memory() && group_.cpu_stat.valid()) || !start_nanos_) return;
  // Walking /proc is dear: not at each event.
  if (now - std::max(degraded_look_nanos_, *start_nanos_) < kDegradedLookNanos) return;
  degraded_look_nanos_ = now;
  const pid_t init = PidOfPidfd(pidfd_.get());
  if (!group_.group.valid() && init <= 0) return;
  const Usage usage =
      UsageOf(group_.group.valid() ? ProcessesOf(group_.group) : ProcessesBelow(init));
  tree_cpu_micros_ = std::max(tree_cpu_micros_, usage.cpu_micros);
  if (box_.engine->has_memory() || outcome_.killed != Killed::kNo) return;
  const int64_t bytes = usage.resident_bytes + DiskUsed() - disk_before_;
  degraded_peak_bytes_ = std::max(degraded_peak_bytes_, bytes);
  if (bytes > Value(Limit::kMemory)) Kill(Killed::kMemory, "memory");
}

int64_t Stage::DiskUsed() const {
  struct statfs info {};
  if (::fstatfs(box_.top, &info) != 0) return 0;
  return static_cast<int64_t>(info.f_blocks - info.f_bfree) * info.f_bsize;
}

int64_t Stage::CpuUsedMicros() const {
  if (!group_.cpu_stat.valid()) return std::max(tree_cpu_micros_, reaped_cpu_micros_);
  return std::max<int64_t>(group_.CpuMicros() - setup_cpu_micros_ - init_cpu_micros_, 0);
}

void Stage::ReadEvents() {
  Event event;
  while (control_.valid()) {
    UniqueFd descriptor;
    const ssize_t got =
        ReceiveMessage(control_.get(), &event, sizeof(event), MSG_DONTWAIT, &descriptor);
    if (got < 0 && errno == EAGAIN) return;
    if (got != static_cast<ssize_t>(sizeof(event))) {
      control_.reset();  // the init is gone; its pidfd says when all is
      // Without one nothing of the submission's ever ran.
      if (!pidfd_.valid()) dead_ = true;
      return;
    }
    event.what.back() = 0;
    switch (event.kind) {
      case EventKind::kStarting:
        start_nanos_ = event.wall_nanos;
        setup_cpu_micros_ = event.cpu_nanos / 1000;
        pidfd_ = std::move(descriptor);
        if (outcome_.killed != Killed::kNo) KillAll();  // it began after it was to be ended
        break;
      case EventKind::kNotStarted:
        dead_ = true;
        if (outcome_.killed != Killed::kNo) break;
        outcome_.killed = Killed::kSandboxError;
        outcome_.error = std::string(event.what.data()) + ": " + std::strerror(event.value);
        break;
      case EventKind::kExecFailed: {
        // The init reports exit code 127 next; a shell would tell the two apart.
        const std::string message =
            "envicutor: cannot execute " + spec_.argv[0] + ": " + std::strerror(event.value) + "\n";
        outcome_.exit_code = event.value == ENOENT ? kExecNotFound : kExecRefused;
        outcome_.stderr_data = message;
        break;
      }
      case EventKind::kSetupFailed:
        if (outcome_.killed != Killed::kNo) break;
        if (event.value == ENOMEM) {
          Kill(Killed::kMemory, "memory");
        } else {
          Kill(Killed::kSandboxError, "");
          outcome_.error = std::string(event.what.data()) + ": " + std::strerror(event.value);
        }
        break;
      case EventKind::kExited:
        empty_ = true;
        init_cpu_micros_ = event.cpu_nanos / 1000;
        reaped_cpu_micros_ = event.children_cpu_nanos / 1000;
        [[fallthrough]];
      case EventKind::kEnding:
        exit_nanos_ = event.wall_nanos;
        wait_status_ = event.value;
        break;
    }
  }
}

void Stage::ReadOutput(OutputStream* stream, const char* limit) {
  (void)stream->Read();
  if (stream->over()) Kill(Killed::kOutput, limit);
}

void Stage::Kill(Killed why, std::string_view limit) {
  if (outcome_.killed != Killed::kNo) return;
  // The last word before the verdict: it may have ended by itself a moment ago.
  if (why != Killed::kSandboxError && why != Killed::kOutput) ReadEvents();
  if (exit_nanos_ && why != Killed::kOutput) return;
  if (outcome_.killed != Killed::kNo) return;
  outcome_.killed = why;
  outcome_.killed_limit = limit;
  KillAll();
}

void Stage::KillAll() const {
  if (group_.group.valid() && group_.group.Kill().ok()) return;
  // The kernel ends the PID namespace with its init.
  if (pidfd_.valid()) (void)::syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0);
}

void Stage::AwaitDeath() {
  // The init reports an end when nothing but itself is left. A killed one takes all of its PID
  // namespace with it, whatever session it is in, and the pidfd becomes readable after the last of
  // them.
  const int64_t deadline = NowNanos() + kDeathNanos;
  while (!dead_ && !empty_) {
    std::array<pollfd, 2> wait{pollfd{pidfd_.get(), POLLIN, 0}, pollfd{control_.get(), POLLIN, 0}};
    const int64_t left = deadline - NowNanos();
    if (left <= 0) {
      log::Error("a box does not die", {{"box", std::to_string(box_.id)}});
      outcome_.killed = Killed::kSandboxError;
      outcome_.error = "the box's processes could not be ended";
      return;
    }
    (void)Poll(wait.data(), wait.size(), std::min(left, kSecondNanos));
    if (wait[0].revents != 0) dead_ = true;
    if (wait[1].revents != 0) ReadEvents();
  }
  ReadEvents();
  stdin_.Close();
  // What was still in the pipes; nobody can write any more.
  while (stdout_.Read()) {
  }
  while (stderr_.Read()) {
  }
}

void Stage::Finish() {
  const int64_t end = exit_nanos_.value_or(NowNanos());
  outcome_.wall_time_micros = start_nanos_ ? std::max<int64_t>(end - *start_nanos_, 0) / 1000 : 0;
  outcome_.cpu_time_micros = start_nanos_ ? CpuUsedMicros() : 0;
  outcome_.memory_bytes = box_.engine->has_memory()
                              ? group_.group.ReadNumber(cgroup::kMemoryPeak, 0)
                              : degraded_peak_bytes_;
  outcome_.oom_killed =
      box_.engine->has_memory() && group_.group.ReadKey(cgroup::kMemoryEvents, "oom_kill") > 0;
  struct statfs info {};
  if (::fstatfs(box_.top, &info) == 0) outcome_.disk_full = info.f_bfree == 0 || info.f_ffree == 0;
  outcome_.stdout_bytes = stdout_.total();
  outcome_.stderr_bytes = stderr_.total() + static_cast<int64_t>(outcome_.stderr_data.size());
  outcome_.stdout_data = stdout_.TakeKept();
  outcome_.stderr_data = stderr_.TakeKept() + outcome_.stderr_data;
  if (outcome_.killed == Killed::kNo && (stdout_.over() || stderr_.over())) {
    outcome_.killed = Killed::kOutput;
    outcome_.killed_limit = stdout_.over() ? "maxStdout" : "maxStderr";
  }
  if (outcome_.killed != Killed::kNo) return;
  if (!exit_nanos_) {
    // In a box whose memory is too small for anything, the start itself may be what is killed.
    outcome_.killed = outcome_.oom_killed ? Killed::kMemory : Killed::kSandboxError;
    outcome_.killed_limit = outcome_.oom_killed ? "memory" : "";
    outcome_.error = outcome_.oom_killed ? "" : "the box's init died";
    return;
  }
  if (WIFSIGNALED(wait_status_)) {
    outcome_.exit_signal = WTERMSIG(wait_status_);
  } else if (outcome_.exit_code < 0) {
    outcome_.exit_code = WEXITSTATUS(wait_status_);
  }
}

}  // namespace envicutor::agent::native
