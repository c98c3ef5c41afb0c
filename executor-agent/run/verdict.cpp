#include "executor-agent/run/verdict.h"

#include <array>
#include <csignal>
#include <cstring>
#include <utility>

namespace envicutor::agent {
namespace {

using api::ExitStatus;
using api::Limit;
using api::Limits;
using api::StageResult;
using Killed = StageOutcome::Killed;

constexpr int64_t kMicrosPerMilli = 1000;

// Half a millisecond and more counts: a program that ran at all should not show 0 for 0.9 ms.
int64_t ToMillis(int64_t micros) { return (micros + kMicrosPerMilli / 2) / kMicrosPerMilli; }

// A cut stream must not end inside a UTF-8 character, or text would turn into base64 by the cut
// alone.
void DropPartialCharacter(std::string& text) {
  for (size_t back = 1; back <= 3 && back <= text.size(); ++back) {
    const auto byte = static_cast<unsigned char>(text[text.size() - back]);
    if ((byte & 0xC0U) == 0x80U) continue;
    const size_t length = byte >= 0xF0U ? 4 : byte >= 0xE0U ? 3 : byte >= 0xC0U ? 2 : 1;
    if (length > back) text.resize(text.size() - back);
    return;
  }
}

// Keeps at most `max` bytes; true when less is kept than was written.
bool Cut(std::string& data, int64_t written, int64_t max) {
  if (data.size() > static_cast<uint64_t>(max)) data.resize(static_cast<size_t>(max));
  const bool truncated = written > static_cast<int64_t>(data.size());
  if (truncated) DropPartialCharacter(data);
  return truncated;
}

struct Cause {
  ExitStatus status = ExitStatus::kOk;
  std::string limit;
};

// A limit that was passed, in the order in which passing it ends a program's chances.
Cause PassedLimit(const StageOutcome& outcome, const Limits& limits) {
  // Measured, not only killed for: a program may end between passing the limit and the timer.
  if (outcome.killed == Killed::kCpuTime ||
      outcome.cpu_time_micros > limits.Value(Limit::kCpuTime) * kMicrosPerMilli) {
    return {ExitStatus::kTimeLimit, std::string(LimitName(Limit::kCpuTime))};
  }
  switch (outcome.killed) {
    case Killed::kWallTime:
      return {ExitStatus::kTimeLimit, std::string(LimitName(Limit::kWallTime))};
    case Killed::kMemory:
      return {ExitStatus::kMemoryLimit, std::string(LimitName(Limit::kMemory))};
    case Killed::kOutput:
      return {ExitStatus::kOutputLimit, outcome.killed_limit.empty()
                                            ? std::string(LimitName(Limit::kMaxStdout))
                                            : outcome.killed_limit};
    default:
      break;
  }
  if (outcome.stdout_bytes > limits.Value(Limit::kMaxStdout)) {
    return {ExitStatus::kOutputLimit, std::string(LimitName(Limit::kMaxStdout))};
  }
  if (outcome.stderr_bytes > limits.Value(Limit::kMaxStderr)) {
    return {ExitStatus::kOutputLimit, std::string(LimitName(Limit::kMaxStderr))};
  }
  return {};
}

// How a program that passed no limit ended by itself.
Cause OwnEnd(const StageOutcome& outcome) {
  const bool failed = outcome.exit_signal != 0 || outcome.exit_code != 0;
  if (!failed) return {};  // OK even when a child was OOM-killed: oomKilled says so
  if (outcome.oom_killed) return {ExitStatus::kMemoryLimit, std::string(LimitName(Limit::kMemory))};
  return {outcome.exit_signal != 0 ? ExitStatus::kSignaled : ExitStatus::kRuntimeError,
          outcome.disk_full ? std::string(LimitName(Limit::kMaxDisk)) : ""};
}

std::string SignalText(int signal) {
  const std::string_view name = SignalName(signal);
  std::string text = "signal " + std::to_string(signal);
  if (!name.empty()) text += " (" + std::string(name) + ')';
  return text;
}

// `limit` by name, as its value: "2s". Empty for a name that is none.
std::string LimitValue(std::string_view name, const Limits& limits) {
  for (size_t i = 0; i < api::kLimitCount; ++i) {
    const auto limit = static_cast<Limit>(i);
    if (LimitName(limit) == name && limits.Get(limit))
      return FormatLimit(limit, limits.Value(limit));
  }
  return "";
}

std::string ExitMessage(const StageResult& result, const Limits& limits,
                        const StageOutcome& outcome) {
  const std::string limit = result.limit + ' ' + LimitValue(result.limit, limits);
  switch (result.exit_status) {
    case ExitStatus::kOk:
      return result.oom_killed ? "a child was killed for lack of memory" : "";
    case ExitStatus::kRuntimeError:
      return "exited with code " + std::to_string(outcome.exit_code) +
             (outcome.disk_full ? "; the box was full (" + limit + ")" : "");
    case ExitStatus::kSignaled:
      return "killed by " + SignalText(outcome.exit_signal) +
             (outcome.disk_full ? "; the box was full (" + limit + ")" : "");
    case ExitStatus::kTimeLimit:
      return "over its time limit (" + limit + ")" +
             (outcome.killed_limit == LimitName(Limit::kExtraTime) ? ", stopped at extraTime" : "");
    case ExitStatus::kMemoryLimit:
      return "over its memory limit (" + limit + ")";
    case ExitStatus::kOutputLimit:
      return "wrote more than its output limit (" + limit + ")";
    case ExitStatus::kSandboxError:
      return "sandbox error: " + outcome.error;
  }
  return "";
}

}  // namespace

api::StageResult JudgeStage(StageOutcome outcome, const Limits& limits) {
  StageResult result;
  result.stdout_bytes = outcome.stdout_bytes;
  result.stderr_bytes = outcome.stderr_bytes;
  result.cpu_time_millis = ToMillis(outcome.cpu_time_micros);
  result.wall_time_millis = ToMillis(outcome.wall_time_micros);
  result.memory_bytes = outcome.memory_bytes;
  result.oom_killed = outcome.oom_killed;
  result.stdout_data = std::move(outcome.stdout_data);
  result.stderr_data = std::move(outcome.stderr_data);
  result.stdout_truncated =
      Cut(result.stdout_data, result.stdout_bytes, limits.Value(Limit::kMaxStdout));
  result.stderr_truncated =
      Cut(result.stderr_data, result.stderr_bytes, limits.Value(Limit::kMaxStderr));

  if (outcome.killed == Killed::kSandboxError) {
    result.exit_status = ExitStatus::kSandboxError;
  } else if (outcome.killed == Killed::kCancelled) {
    result.exit_status = ExitStatus::kSignaled;
    result.exit_signal = SIGKILL;
    result.exit_message = "stopped: the submission was cancelled";
    return result;
  } else {
    Cause cause = PassedLimit(outcome, limits);
    if (cause.status == ExitStatus::kOk) cause = OwnEnd(outcome);
    result.exit_status = cause.status;
    result.limit = std::move(cause.limit);
    // How it ended by itself is told even when a limit was passed before; a kill of ours is not its
    // own end.
    if (outcome.killed == Killed::kNo) {
      if (outcome.exit_signal != 0) {
        result.exit_signal = outcome.exit_signal;
      } else {
        result.exit_code = outcome.exit_code;
      }
    }
  }
  result.exit_message = ExitMessage(result, limits, outcome);
  return result;
}

api::Verdict VerdictOfRun(ExitStatus status) {
  switch (status) {
    case ExitStatus::kOk:
      return api::Verdict::kAccepted;
    case ExitStatus::kRuntimeError:
      return api::Verdict::kRuntimeError;
    case ExitStatus::kSignaled:
      return api::Verdict::kSignaled;
    case ExitStatus::kTimeLimit:
      return api::Verdict::kTimeLimitExceeded;
    case ExitStatus::kMemoryLimit:
      return api::Verdict::kMemoryLimitExceeded;
    case ExitStatus::kOutputLimit:
      return api::Verdict::kOutputLimitExceeded;
    case ExitStatus::kSandboxError:
      return api::Verdict::kInternalError;
  }
  return api::Verdict::kInternalError;
}

api::Verdict VerdictOfCompile(ExitStatus status) {
  if (status == ExitStatus::kOk) return api::Verdict::kNone;
  return status == ExitStatus::kSandboxError ? api::Verdict::kInternalError
                                             : api::Verdict::kCompileError;
}

api::Verdict VerdictOfExtract(ExitStatus status) {
  if (status == ExitStatus::kOk) return api::Verdict::kNone;
  return status == ExitStatus::kSandboxError ? api::Verdict::kInternalError
                                             : api::Verdict::kExtractError;
}

std::string DescribeStage(std::string_view who, const StageResult& stage, const Limits& limits) {
  const std::string subject(who);
  const std::string value = LimitValue(stage.limit, limits);
  switch (stage.exit_status) {
    case ExitStatus::kOk:
      return subject + " exited with code 0 within its limits" +
             (stage.oom_killed ? ", although a child of it was killed for lack of memory" : "");
    case ExitStatus::kRuntimeError:
      return subject + " exited with code " + std::to_string(stage.exit_code.value_or(-1)) +
             (stage.limit.empty() ? "" : "; its disk was full (" + stage.limit + ' ' + value + ")");
    case ExitStatus::kSignaled:
      return subject + " was killed by " + SignalText(stage.exit_signal.value_or(0)) +
             (stage.limit.empty() ? "" : "; its disk was full (" + stage.limit + ' ' + value + ")");
    case ExitStatus::kTimeLimit:
      return stage.limit == LimitName(Limit::kWallTime)
                 ? subject + " ran longer than its wall time limit of " + value
                 : subject + " used more CPU time than its limit of " + value;
    case ExitStatus::kMemoryLimit:
      return subject + " needed more memory than its limit of " + value;
    case ExitStatus::kOutputLimit:
      return subject + " wrote more to " +
             (stage.limit == LimitName(Limit::kMaxStderr) ? "stderr" : "stdout") +
             " than its limit of " + value;
    case ExitStatus::kSandboxError:
      return "the sandbox failed: " + stage.exit_message;
  }
  return "";
}

std::string_view SignalName(int signal) {
  // sigabbrev_np is glibc's own table; the names are static strings.
  static const auto* const kNames = [] {
    auto* names = new std::array<std::string, 65>();
    for (int i = 1; i < 65; ++i) {
      if (const char* name = ::sigabbrev_np(i))
        (*names)[static_cast<size_t>(i)] = "SIG" + std::string(name);
    }
    return names;
  }();
  return signal > 0 && signal < 65 ? std::string_view((*kNames)[static_cast<size_t>(signal)])
                                   : std::string_view();
}

}  // namespace envicutor::agent
