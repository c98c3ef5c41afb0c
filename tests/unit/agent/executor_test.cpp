#include "executor-agent/run/executor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "executor-agent/run/variables.h"
#include "tests/unit/agent/fake_sandbox.h"

namespace envicutor::agent {
namespace {

using api::RunRequest;
using api::RunResult;
using api::Verdict;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class ExecutorTest : public ::testing::Test {
 protected:
  RunResult Execute(const RunRequest& request) {
    stages_.clear();
    return executor_.Execute(request, control_,
                             [this](std::string_view stage) { stages_.emplace_back(stage); });
  }

  static RunRequest Compiled() {
    RunRequest request = SimpleRequest();
    request.compile = api::CompileStage{"make", {}, WideLimits()};
    return request;
  }

  static api::TestCase Case(const std::string& name, const std::string& input,
                            std::optional<std::string> expected) {
    return {name, input, {}, std::move(expected), false, WideLimits()};
  }

  FakeSandbox sandbox_;
  FakeStore store_;
  FakeClock clock_;
  CompileCache cache_{4, 1 << 20};
  RunControl control_;
  std::vector<std::string> stages_;
  Executor executor_{sandbox_, store_, cache_, clock_};
};

TEST_F(ExecutorTest, RunsAProgram) {
  sandbox_.program = [](FakeBox& box, const StageSpec& spec, const std::stop_token&) {
    EXPECT_EQ(box.files["main"].content, "content");
    EXPECT_EQ(spec.stdin_data, "in");
    return Exit(0, "out");
  };
  RunRequest request = SimpleRequest();
  request.run.args = {"a", "b c"};
  request.run.stdin_data = "in";
  request.run.merge_stderr = true;
  request.run.env = {{"X", "1"}};
  const RunResult result = Execute(request);
  EXPECT_EQ(result.verdict, Verdict::kAccepted);
  EXPECT_EQ(result.message, "the program exited with code 0 within its limits");
  EXPECT_EQ(result.run->stdout_data, "out");
  EXPECT_FALSE(result.compile.has_value());
  EXPECT_THAT(stages_, ElementsAre("run"));
  ASSERT_EQ(sandbox_.specs().size(), 1U);
  const StageSpec spec = sandbox_.specs()[0];
  EXPECT_THAT(spec.argv,
              ElementsAre("/nix/store/x-bash/bin/bash", "-c", "exec main", "run", "a", "b c"));
  EXPECT_THAT(spec.env, Contains("X=1"));
  EXPECT_THAT(spec.env, Contains("HOME=/tmp"));
  EXPECT_THAT(spec.env, Contains("PATH=/nix/store/x-coreutils/bin"));
  EXPECT_TRUE(spec.merge_stderr);
  EXPECT_EQ(sandbox_.boxes(), 0U);
  EXPECT_EQ(sandbox_.clones(), 0U);
}

TEST_F(ExecutorTest, UnknownEnvironmentIsAnEnvironmentError) {
  RunRequest request = SimpleRequest();
  request.environment_hash = "feed";
  const RunResult result = Execute(request);
  EXPECT_EQ(result.verdict, Verdict::kEnvironmentError);
  EXPECT_THAT(result.message, HasSubstr("feed"));
  EXPECT_TRUE(result.environment_unavailable) << "another executor may have it";
  EXPECT_FALSE(result.run.has_value());
}

TEST_F(ExecutorTest, CompileErrorEndsTheRun) {
  sandbox_.program = [](FakeBox&, const StageSpec& spec, const std::stop_token&) {
    EXPECT_EQ(spec.argv[3], "compile");
    return Exit(1, "", "main.c:1: error");
  };
  const RunResult result = Execute(Compiled());
  EXPECT_EQ(result.verdict, Verdict::kCompileError);
  EXPECT_EQ(result.message, "the compiler exited with code 1");
  EXPECT_EQ(result.compile->stderr_data, "main.c:1: error");
  EXPECT_FALSE(result.run.has_value());
  EXPECT_EQ(cache_.stats().entries, 0);
  EXPECT_EQ(sandbox_.boxes(), 0U);
}

TEST_F(ExecutorTest, TheSecondRunOfAProgramIsNotCompiledAgain) {
  int compiled = 0;
  sandbox_.program = [&](FakeBox& box, const StageSpec& spec, const std::stop_token&) {
    if (spec.argv[3] == "compile") {
      ++compiled;
      EXPECT_TRUE(box.WriteFile({"a.out", "binary", true}).ok());
      return Exit(0, "compiled");
    }
    EXPECT_EQ(box.files["a.out"].content, "binary");
    EXPECT_FALSE(box.files.contains("dirt"));
    // A run cannot write what the next one reads.
    box.files["a.out"].content = "changed";
    box.files["dirt"] = {};
    return Exit(0, spec.stdin_data);
  };
  RunRequest request = Compiled();
  EXPECT_FALSE(Execute(request).compile_cached);
  request.uid = "uid-2";
  request.run.stdin_data = "other input";
  const RunResult second = Execute(request);
  EXPECT_TRUE(second.compile_cached);
  EXPECT_EQ(second.compile->stdout_data, "compiled");
  EXPECT_EQ(second.run->stdout_data, "other input");
  EXPECT_EQ(second.verdict, Verdict::kAccepted);
  EXPECT_EQ(compiled, 1);
  EXPECT_THAT(stages_, ElementsAre("run"));
  EXPECT_EQ(sandbox_.boxes(), 1U);  // the sealed one
}

TEST_F(ExecutorTest, AnythingThatGoesIntoACompileChangesItsKey) {
  const RunRequest base = Compiled();
  const std::string key = CompileKey(base, 5);
  std::vector<std::function<void(RunRequest&)>> changes = {
      [](RunRequest& r) { r.environment_hash = "ff"; },
      [](RunRequest& r) { r.files[0].content += 'x'; },
      [](RunRequest& r) { r.files[0].path = "main2"; },
      [](RunRequest& r) { r.files[0].executable = true; },
      [](RunRequest& r) {
        r.files.push_back({"b", "", false});
      },
      [](RunRequest& r) {
        r.archive = "PK";
        r.extract_limits = WideLimits();
      },
      [](RunRequest& r) { r.compile->script += ' '; },
      [](RunRequest& r) {
        r.compile->env = {{"A", "B"}};
      },
      [](RunRequest& r) { r.compile->limits.Set(api::Limit::kMemory, 1); },
  };
  std::set<std::string> keys = {key, CompileKey(base, 6)};
  for (const auto& change : changes) {
    RunRequest changed = base;
    change(changed);
    keys.insert(CompileKey(changed, 5));
  }
  EXPECT_EQ(keys.size(), changes.size() + 2);
  // Moving a byte from one field to the next is another input.
  RunRequest left = base;
  RunRequest right = base;
  left.files = {{"ab", "c", false}};
  right.files = {{"a", "bc", false}};
  EXPECT_NE(CompileKey(left, 5), CompileKey(right, 5));
  // What does not matter does not: whose it is, what it reads.
  RunRequest same = base;
  same.uid = "other";
  same.ns = "other";
  same.run.stdin_data = "x";
  same.tests = {Case("t", "", "")};
  EXPECT_EQ(CompileKey(same, 5), key);
}

TEST_F(ExecutorTest, TestsRunInCopiesAndTheFirstFailureNamesTheVerdict) {
  sandbox_.program = [](FakeBox& box, const StageSpec& spec, const std::stop_token&) {
    EXPECT_FALSE(box.files.contains("seen")) << "a test sees what another left";
    box.files["seen"] = {};
    if (spec.stdin_data == "crash") return Exit(7);
    return Exit(0, spec.stdin_data + " \n\n");
  };
  RunRequest request = SimpleRequest();
  request.tests = {Case("right", "1", "1\n"), Case("wrong", "2", "3"), Case("crash", "crash", "x"),
                   Case("no expectation", "4", std::nullopt)};
  const RunResult result = Execute(request);
  ASSERT_EQ(result.tests.size(), 4U);
  EXPECT_EQ(result.tests[0].verdict, Verdict::kAccepted);
  EXPECT_EQ(result.tests[1].verdict, Verdict::kWrongAnswer);
  EXPECT_EQ(result.tests[2].verdict, Verdict::kRuntimeError);
  EXPECT_EQ(result.tests[3].verdict, Verdict::kAccepted);
  EXPECT_EQ(result.verdict, Verdict::kWrongAnswer);
  EXPECT_EQ(result.message,
            "test \"wrong\" (2 of 4): stdout differs from what is expected, first in line 1");
  EXPECT_FALSE(result.run.has_value());
  EXPECT_THAT(stages_, ElementsAre("tests"));
  EXPECT_EQ(sandbox_.boxes(), 0U);
}

TEST_F(ExecutorTest, StopsAtTheFirstFailureWhenAsked) {
  sandbox_.program = [](FakeBox&, const StageSpec& spec, const std::stop_token&) {
    return Exit(spec.stdin_data == "bad" ? 1 : 0);
  };
  RunRequest request = SimpleRequest();
  request.stop_on_first_failure = true;
  request.tests = {Case("a", "", std::nullopt), Case("b", "bad", std::nullopt),
                   Case("c", "", std::nullopt)};
  const RunResult result = Execute(request);
  EXPECT_EQ(result.verdict, Verdict::kRuntimeError);
  EXPECT_TRUE(result.tests[1].run.has_value());
  EXPECT_EQ(result.tests[2].verdict, Verdict::kNone);
  EXPECT_FALSE(result.tests[2].run.has_value());
  EXPECT_EQ(result.tests[2].name, "c");
  EXPECT_EQ(sandbox_.specs().size(), 2U);
}

TEST_F(ExecutorTest, AllTestsPassed) {
  RunRequest request = Compiled();
  request.tests = {Case("a", "", ""), Case("b", "", "")};
  const RunResult result = Execute(request);
  EXPECT_EQ(result.verdict, Verdict::kAccepted);
  EXPECT_EQ(result.message, "all 2 tests passed");
  EXPECT_THAT(stages_, ElementsAre("compile", "tests"));
}

TEST_F(ExecutorTest, ExactComparisonSeesTheNewline) {
  sandbox_.program = [](FakeBox&, const StageSpec&, const std::stop_token&) {
    return Exit(0, "1\n");
  };
  RunRequest request = SimpleRequest();
  request.tests = {Case("a", "", "1")};
  EXPECT_EQ(Execute(request).verdict, Verdict::kAccepted);
  request.tests[0].exact = true;
  EXPECT_EQ(Execute(request).verdict, Verdict::kWrongAnswer);
}

TEST_F(ExecutorTest, ArchiveIsItsOwnStageAndFilesWinOverIt) {
  sandbox_.extract = [](FakeBox& box) {
    box.files["main"] = {"main", "from the archive", false};
    box.files["lib"] = {"lib", "l", false};
    return Exit(0);
  };
  sandbox_.program = [](FakeBox& box, const StageSpec&, const std::stop_token&) {
    EXPECT_EQ(box.files["main"].content, "content");
    EXPECT_TRUE(box.files.contains("lib"));
    return Exit(0);
  };
  RunRequest request = SimpleRequest();
  request.archive = "PK";
  request.extract_limits = WideLimits();
  const RunResult result = Execute(request);
  EXPECT_EQ(result.verdict, Verdict::kAccepted);
  EXPECT_TRUE(result.extract.has_value());
  EXPECT_THAT(stages_, ElementsAre("extract", "run"));
}

TEST_F(ExecutorTest, BadArchiveIsAnExtractError) {
  sandbox_.extract = [](FakeBox&) { return Exit(1, "", "not an archive"); };
  RunRequest request = SimpleRequest();
  request.archive = "?";
  request.extract_limits = WideLimits();
  const RunResult result = Execute(request);
  EXPECT_EQ(result.verdict, Verdict::kExtractError);
  EXPECT_EQ(result.extract->stderr_data, "not an archive");
  EXPECT_FALSE(result.run.has_value());
}

TEST_F(ExecutorTest, FilesThatDoNotFitAreTheSubmissionsOwnFault) {
  RunRequest request = SimpleRequest();
  request.files[0].content = "too large";
  const RunResult result = Execute(request);
  EXPECT_EQ(result.verdict, Verdict::kExtractError);
  EXPECT_THAT(result.message, HasSubstr("\"main\""));
}

TEST_F(ExecutorTest, SandboxFailureIsAnInternalErrorThatSaysWhat) {
  sandbox_.program = [](FakeBox&, const StageSpec&, const std::stop_token&) {
    StageOutcome outcome;
    outcome.killed = StageOutcome::Killed::kSandboxError;
    outcome.error = "clone3: EAGAIN";
    return outcome;
  };
  const RunResult result = Execute(SimpleRequest());
  EXPECT_EQ(result.verdict, Verdict::kInternalError);
  EXPECT_THAT(result.message, HasSubstr("clone3: EAGAIN"));
}

TEST_F(ExecutorTest, CachedBoxesGiveWayWhenTheSandboxHasNoMore) {
  sandbox_.max_boxes = 2;
  for (int i = 0; i < 5; ++i) {
    RunRequest request = Compiled();
    request.files[0].content = std::to_string(i);
    const RunResult result = Execute(request);
    EXPECT_EQ(result.verdict, Verdict::kAccepted) << result.message;
  }
  sandbox_.max_boxes = 0;
  EXPECT_EQ(Execute(SimpleRequest()).verdict, Verdict::kInternalError);
  EXPECT_EQ(sandbox_.boxes(), 0U);
}

TEST_F(ExecutorTest, CancelledRunHasNoVerdict) {
  sandbox_.program = [&](FakeBox&, const StageSpec&, const std::stop_token& stop) {
    control_.Stop(StopReason::kCancelled);
    EXPECT_TRUE(stop.stop_requested());
    StageOutcome outcome;
    outcome.killed = StageOutcome::Killed::kCancelled;
    return outcome;
  };
  const RunResult result = Execute(SimpleRequest());
  EXPECT_EQ(result.verdict, Verdict::kNone);
  EXPECT_TRUE(result.cancelled);
  EXPECT_FALSE(result.deadline_exceeded);
  EXPECT_EQ(result.message, "stopped: it was cancelled");
}

TEST_F(ExecutorTest, DeadlineAmongTheTestsLeavesNoVerdictOfHalfOfThem) {
  sandbox_.program = [&](FakeBox&, const StageSpec& spec, const std::stop_token&) {
    if (spec.stdin_data == "2") control_.Stop(StopReason::kDeadline);
    return Exit(1);
  };
  RunRequest request = SimpleRequest();
  request.tests = {Case("a", "1", "x"), Case("b", "2", "x"), Case("c", "3", "x")};
  const RunResult result = Execute(request);
  EXPECT_EQ(result.verdict, Verdict::kNone);
  EXPECT_TRUE(result.deadline_exceeded);
  EXPECT_FALSE(result.cancelled);
  EXPECT_EQ(sandbox_.specs().size(), 2U);
}

TEST_F(ExecutorTest, CollectsOutputFilesWithinTheBound) {
  sandbox_.program = [](FakeBox& box, const StageSpec&, const std::stop_token&) {
    box.files["a"] = {"a", "\xff\xfe", false};
    box.files["big"] = {"big", std::string(3 << 20, 'x'), false};
    box.files["late"] = {"late", "1", false};
    return Exit(0);
  };
  RunRequest request = SimpleRequest();
  request.output_files = {"a", "missing", "big", "late"};
  const RunResult result = Execute(request);
  ASSERT_EQ(result.output_files.size(), 3U);
  EXPECT_EQ(result.output_files[0].content, "\xff\xfe");
  EXPECT_TRUE(result.output_files[1].truncated);
  size_t total = 0;
  for (const auto& file : result.output_files) total += file.content.size();
  EXPECT_LE(total, size_t{1} << 20);
  EXPECT_EQ(result.verdict, Verdict::kAccepted);
  EXPECT_THAT(result.message, HasSubstr("output file \"missing\": there is no such file"));
}

TEST_F(ExecutorTest, OverheadIsWhatWasNotTheProgramsOwn) {
  sandbox_.program = [&](FakeBox&, const StageSpec&, const std::stop_token&) {
    clock_.Advance(std::chrono::milliseconds(120));
    StageOutcome outcome = Exit(0);
    outcome.wall_time_micros = 100'000;
    return outcome;
  };
  const RunResult result = Execute(SimpleRequest());
  EXPECT_EQ(result.overhead_millis, 20);
  EXPECT_EQ(result.finished_unix_millis - result.started_unix_millis, 120);
}

TEST_F(ExecutorTest, TheBoxHasRoomForTheLargestStage) {
  RunRequest request = Compiled();
  request.run.limits.Set(api::Limit::kMaxDisk, 10);
  request.compile->limits.Set(api::Limit::kMaxDisk, 30);
  EXPECT_EQ(Execute(request).verdict, Verdict::kAccepted);
  EXPECT_EQ(sandbox_.last_max_disk(), 30);
  request.compile->limits.Set(api::Limit::kMemory, 1 << 30);
  EXPECT_EQ(LargestMemoryLimit(request), 1 << 30);
}

TEST(CompileCache, EvictsTheLeastRecentlyUsed) {
  FakeSandbox sandbox;
  const auto box = [&] {
    return std::make_shared<CompiledBox>(*sandbox.NewBox({}, 1), std::nullopt, api::StageResult());
  };
  CompileCache cache(2, 100);
  cache.Insert("a", box(), 10);
  cache.Insert("b", box(), 10);
  EXPECT_NE(cache.Find("a"), nullptr);
  cache.Insert("c", box(), 10);
  EXPECT_EQ(cache.Find("b"), nullptr);
  EXPECT_NE(cache.Find("a"), nullptr);
  EXPECT_EQ(cache.stats().bytes, 20);
  cache.Insert("d", box(), 95);  // by bytes
  EXPECT_EQ(cache.stats().entries, 1);
  EXPECT_EQ(cache.stats().bytes, 95);
  cache.Insert("e", box(), 101);  // alone too large
  EXPECT_EQ(cache.Find("e"), nullptr);
  EXPECT_NE(cache.Find("d"), nullptr);
  const auto used = cache.Find("d");
  EXPECT_TRUE(cache.EvictOne());
  EXPECT_FALSE(cache.EvictOne());
  EXPECT_EQ(sandbox.boxes(), 1U);  // still used
  EXPECT_TRUE(used->Clone().ok());
}

TEST(StageVariables, LaterWinButTheBoxsOwnStay) {
  const auto variables =
      StageVariables({{"PATH", "/p"}, {"TMPDIR", "/build"}, {"HOME", "/homeless"}, {"A", "1"}},
                     {{"A", "2"}, {"A", "3"}, {"B", ""}});
  EXPECT_THAT(variables, ElementsAre("A=3", "B=", "HOME=/tmp", "LANG=C.UTF-8", "PATH=/p",
                                     "PWD=/box", "TMPDIR=/tmp"));
  EXPECT_THAT(StageVariables({{"LANG", "de"}}, {}), Contains("LANG=de"));
}

}  // namespace
}  // namespace envicutor::agent
