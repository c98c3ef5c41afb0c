#include "executor-agent/run/verdict.h"

#include <gtest/gtest.h>

#include "tests/unit/agent/fake_sandbox.h"

namespace envicutor::agent {
namespace {

using api::ExitStatus;
using api::Limit;
using api::StageResult;
using api::Verdict;
using Killed = StageOutcome::Killed;

api::Limits TestLimits() {
  api::Limits limits = WideLimits();
  limits.Set(Limit::kCpuTime, 1000);
  limits.Set(Limit::kExtraTime, 2000);
  limits.Set(Limit::kWallTime, 5000);
  limits.Set(Limit::kMemory, 64 << 20);
  limits.Set(Limit::kMaxStdout, 10);
  limits.Set(Limit::kMaxStderr, 10);
  return limits;
}

// One way a program can end, and what is said about it.
struct Case {
  std::string name;
  std::function<void(StageOutcome&)> change;  // of an exit with code 0
  ExitStatus status;
  Verdict verdict;
  std::string limit;
  std::optional<int> exit_code;
  std::optional<int> exit_signal;
};

class Judging : public ::testing::TestWithParam<Case> {};

TEST_P(Judging, FollowsTheContract) {
  StageOutcome outcome = Exit(0);
  GetParam().change(outcome);
  const StageResult result = JudgeStage(outcome, TestLimits());
  EXPECT_EQ(ExitStatusName(result.exit_status), ExitStatusName(GetParam().status));
  EXPECT_EQ(VerdictName(VerdictOfRun(result.exit_status)), VerdictName(GetParam().verdict));
  EXPECT_EQ(result.limit, GetParam().limit);
  EXPECT_EQ(result.exit_code, GetParam().exit_code);
  EXPECT_EQ(result.exit_signal, GetParam().exit_signal);
  EXPECT_EQ(result.exit_message.empty(),
            result.exit_status == ExitStatus::kOk && !result.oom_killed);
}

INSTANTIATE_TEST_SUITE_P(
    Ends, Judging,
    ::testing::Values(
        Case{"Ok", [](StageOutcome&) {}, ExitStatus::kOk, Verdict::kAccepted, "", 0, {}},
        Case{"OkWithKilledChild",
             [](StageOutcome& o) { o.oom_killed = true; },
             ExitStatus::kOk,
             Verdict::kAccepted,
             "",
             0,
             {}},
        Case{"OkWithAFullDisk",
             [](StageOutcome& o) { o.disk_full = true; },
             ExitStatus::kOk,
             Verdict::kAccepted,
             "",
             0,
             {}},
        Case{"Exit1",
             [](StageOutcome& o) { o.exit_code = 1; },
             ExitStatus::kRuntimeError,
             Verdict::kRuntimeError,
             "",
             1,
             {}},
        Case{"Exit137IsNoSignal",
             [](StageOutcome& o) { o.exit_code = 137; },
             ExitStatus::kRuntimeError,
             Verdict::kRuntimeError,
             "",
             137,
             {}},
        Case{"Exit255",
             [](StageOutcome& o) { o.exit_code = 255; },
             ExitStatus::kRuntimeError,
             Verdict::kRuntimeError,
             "",
             255,
             {}},
        Case{"ExitOnAFullDisk",
             [](StageOutcome& o) {
               o.exit_code = 1;
               o.disk_full = true;
             },
             ExitStatus::kRuntimeError,
             Verdict::kRuntimeError,
             "maxDisk",
             1,
             {}},
        Case{"FailedWithOom",
             [](StageOutcome& o) {
               o.exit_code = 1;
               o.oom_killed = true;
             },
             ExitStatus::kMemoryLimit,
             Verdict::kMemoryLimitExceeded,
             "memory",
             1,
             {}},
        Case{"Segv",
             [](StageOutcome& o) {
               o.exit_signal = 11;
               o.exit_code = -1;
             },
             ExitStatus::kSignaled,
             Verdict::kSignaled,
             "",
             {},
             11},
        Case{"KilledByTheOomKiller",
             [](StageOutcome& o) {
               o.exit_signal = 9;
               o.oom_killed = true;
             },
             ExitStatus::kMemoryLimit,
             Verdict::kMemoryLimitExceeded,
             "memory",
             {},
             9},
        Case{"MemoryKill",
             [](StageOutcome& o) {
               o.killed = Killed::kMemory;
               o.exit_signal = 9;
             },
             ExitStatus::kMemoryLimit,
             Verdict::kMemoryLimitExceeded,
             "memory",
             {},
             {}},
        Case{"CpuKill",
             [](StageOutcome& o) {
               o.killed = Killed::kCpuTime;
               o.killed_limit = "cpuTime";
               o.exit_signal = 9;
             },
             ExitStatus::kTimeLimit,
             Verdict::kTimeLimitExceeded,
             "cpuTime",
             {},
             {}},
        Case{"ExtraTimeKill",
             [](StageOutcome& o) {
               o.killed = Killed::kCpuTime;
               o.killed_limit = "extraTime";
             },
             ExitStatus::kTimeLimit,
             Verdict::kTimeLimitExceeded,
             "cpuTime",
             {},
             {}},
        Case{"WithinExtraTime",
             [](StageOutcome& o) { o.cpu_time_micros = 1'500'000; },
             ExitStatus::kTimeLimit,
             Verdict::kTimeLimitExceeded,
             "cpuTime",
             0,
             {}},
        Case{"JustAtCpuTime",
             [](StageOutcome& o) { o.cpu_time_micros = 1'000'000; },
             ExitStatus::kOk,
             Verdict::kAccepted,
             "",
             0,
             {}},
        Case{"JustOverCpuTime",
             [](StageOutcome& o) { o.cpu_time_micros = 1'000'001; },
             ExitStatus::kTimeLimit,
             Verdict::kTimeLimitExceeded,
             "cpuTime",
             0,
             {}},
        Case{"CrashWithinExtraTime",
             [](StageOutcome& o) {
               o.cpu_time_micros = 1'500'000;
               o.exit_signal = 11;
             },
             ExitStatus::kTimeLimit,
             Verdict::kTimeLimitExceeded,
             "cpuTime",
             {},
             11},
        Case{"WallKill",
             [](StageOutcome& o) {
               o.killed = Killed::kWallTime;
               o.killed_limit = "wallTime";
               o.exit_signal = 9;
             },
             ExitStatus::kTimeLimit,
             Verdict::kTimeLimitExceeded,
             "wallTime",
             {},
             {}},
        Case{"StdoutKill",
             [](StageOutcome& o) {
               o.killed = Killed::kOutput;
               o.killed_limit = "maxStdout";
             },
             ExitStatus::kOutputLimit,
             Verdict::kOutputLimitExceeded,
             "maxStdout",
             {},
             {}},
        Case{"StderrKill",
             [](StageOutcome& o) {
               o.killed = Killed::kOutput;
               o.killed_limit = "maxStderr";
             },
             ExitStatus::kOutputLimit,
             Verdict::kOutputLimitExceeded,
             "maxStderr",
             {},
             {}},
        Case{"EndedJustAfterTooMuchStdout",
             [](StageOutcome& o) { o.stdout_bytes = 11; },
             ExitStatus::kOutputLimit,
             Verdict::kOutputLimitExceeded,
             "maxStdout",
             0,
             {}},
        Case{"StdoutJustFull",
             [](StageOutcome& o) {
               o.stdout_bytes = 10;
               o.stdout_data = "0123456789";
             },
             ExitStatus::kOk,
             Verdict::kAccepted,
             "",
             0,
             {}},
        Case{"EndedJustAfterTooMuchStderr",
             [](StageOutcome& o) { o.stderr_bytes = 11; },
             ExitStatus::kOutputLimit,
             Verdict::kOutputLimitExceeded,
             "maxStderr",
             0,
             {}},
        Case{"SandboxError",
             [](StageOutcome& o) {
               o.killed = Killed::kSandboxError;
               o.error = "no cgroup";
             },
             ExitStatus::kSandboxError,
             Verdict::kInternalError,
             "",
             {},
             {}},
        Case{"SandboxErrorBeforeAnyLimit",
             [](StageOutcome& o) {
               o.killed = Killed::kSandboxError;
               o.cpu_time_micros = 9'000'000;
             },
             ExitStatus::kSandboxError,
             Verdict::kInternalError,
             "",
             {},
             {}},
        Case{"Cancelled",
             [](StageOutcome& o) { o.killed = Killed::kCancelled; },
             ExitStatus::kSignaled,
             Verdict::kSignaled,
             "",
             {},
             9}),
    [](const auto& each) { return each.param.name; });

TEST(Judging, ReportsEveryExitCodeVerbatim) {
  for (int code = 1; code < 256; ++code) {
    const StageResult result = JudgeStage(Exit(code), TestLimits());
    EXPECT_EQ(result.exit_code, code);
    EXPECT_EQ(result.exit_status, ExitStatus::kRuntimeError);
    EXPECT_FALSE(result.exit_signal.has_value());
  }
}

TEST(Judging, CutsOutputToTheLimitButNeverInsideACharacter) {
  StageOutcome outcome = Exit(0);
  outcome.killed = Killed::kOutput;
  outcome.stdout_data = "123456789\u00e4";  // the 10th byte is half of a character
  outcome.stdout_data.resize(10);
  outcome.stdout_bytes = 4096;
  const StageResult result = JudgeStage(outcome, TestLimits());
  EXPECT_EQ(result.stdout_data, "123456789");
  EXPECT_TRUE(result.stdout_truncated);
  EXPECT_EQ(result.stdout_bytes, 4096);
  EXPECT_FALSE(result.stderr_truncated);
}

TEST(Judging, KeepsBrokenBytesThatTheProgramWroteItself) {
  const StageResult result = JudgeStage(Exit(0, "a\xc3"), TestLimits());
  EXPECT_EQ(result.stdout_data, "a\xc3");
  EXPECT_FALSE(result.stdout_truncated);
}

TEST(Judging, KeepsNoMoreThanTheLimitWhateverTheSandboxGives) {
  const StageResult result = JudgeStage(Exit(0, std::string(100, 'x')), TestLimits());
  EXPECT_EQ(result.stdout_data.size(), 10U);
  EXPECT_TRUE(result.stdout_truncated);
  EXPECT_EQ(result.limit, "maxStdout");
}

TEST(Judging, MeasuresInMillisAndBytes) {
  StageOutcome outcome = Exit(0);
  outcome.cpu_time_micros = 1499;
  outcome.wall_time_micros = 1500;
  outcome.memory_bytes = 77;
  const StageResult result = JudgeStage(outcome, TestLimits());
  EXPECT_EQ(result.cpu_time_millis, 1);
  EXPECT_EQ(result.wall_time_millis, 2);
  EXPECT_EQ(result.memory_bytes, 77);
}

TEST(Describing, TellsAPersonWhatHappened) {
  const auto describe = [](const std::function<void(StageOutcome&)>& change) {
    StageOutcome outcome = Exit(0);
    change(outcome);
    const api::Limits limits = TestLimits();
    return DescribeStage("the program", JudgeStage(outcome, limits), limits);
  };
  EXPECT_EQ(describe([](StageOutcome&) {}), "the program exited with code 0 within its limits");
  EXPECT_EQ(describe([](StageOutcome& o) { o.exit_code = 3; }), "the program exited with code 3");
  EXPECT_EQ(describe([](StageOutcome& o) { o.exit_signal = 11; }),
            "the program was killed by signal 11 (SIGSEGV)");
  EXPECT_EQ(describe([](StageOutcome& o) { o.killed = Killed::kCpuTime; }),
            "the program used more CPU time than its limit of 1s");
  EXPECT_EQ(describe([](StageOutcome& o) { o.killed = Killed::kWallTime; }),
            "the program ran longer than its wall time limit of 5s");
  EXPECT_EQ(describe([](StageOutcome& o) { o.killed = Killed::kMemory; }),
            "the program needed more memory than its limit of 64Mi");
  EXPECT_EQ(describe([](StageOutcome& o) { o.stderr_bytes = 11; }),
            "the program wrote more to stderr than its limit of 10");
}

TEST(SignalName, KnowsTheUsualAndNothingElse) {
  EXPECT_EQ(SignalName(9), "SIGKILL");
  EXPECT_EQ(SignalName(31), "SIGSYS");
  EXPECT_EQ(SignalName(0), "");
  EXPECT_EQ(SignalName(-1), "");
  EXPECT_EQ(SignalName(65), "");
}

TEST(CompileVerdict, IsTheCompilersOwn) {
  EXPECT_EQ(VerdictOfCompile(ExitStatus::kOk), Verdict::kNone);
  for (const ExitStatus status :
       {ExitStatus::kRuntimeError, ExitStatus::kSignaled, ExitStatus::kTimeLimit,
        ExitStatus::kMemoryLimit, ExitStatus::kOutputLimit}) {
    EXPECT_EQ(VerdictOfCompile(status), Verdict::kCompileError);
    EXPECT_EQ(VerdictOfExtract(status), Verdict::kExtractError);
  }
  EXPECT_EQ(VerdictOfCompile(ExitStatus::kSandboxError), Verdict::kInternalError);
  EXPECT_EQ(VerdictOfExtract(ExitStatus::kSandboxError), Verdict::kInternalError);
}

}  // namespace
}  // namespace envicutor::agent
