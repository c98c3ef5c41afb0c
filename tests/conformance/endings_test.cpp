// How a program can end, and what is said about it.
#include <csignal>
#include <thread>

#include "tests/conformance/fixture.h"

namespace envicutor::agent {
namespace {

using api::Limit;

TEST_P(Conformance, ExitCodesPassThroughVerbatim) {
  const auto box = NewBox();
  for (const int code : {0, 1, 2, 126, 127, 128, 137, 139, 255}) {
    EXPECT_TRUE(Exited(ProbeIn(*box, {"exit", std::to_string(code)}), code));
  }
}

TEST_P(Conformance, SignalsAreReportedAsSignals) {
  const auto box = NewBox();
  for (const int signal : {SIGTERM, SIGSEGV, SIGFPE, SIGPIPE, SIGKILL, SIGHUP, SIGXFSZ, SIGUSR1}) {
    EXPECT_TRUE(Signaled(ProbeIn(*box, {"signal", std::to_string(signal)}), signal)) << signal;
  }
  EXPECT_TRUE(Signaled(ProbeIn(*box, {"abort"}), SIGABRT));
}

TEST_P(Conformance, AProgramThatCannotBeExecutedIsTheUsersError) {
  const auto box = NewBox();
  StageOutcome missing = box->Run(Spec({"/nix/store/tools/nothing"}), {});
  EXPECT_TRUE(Exited(missing, 127));
  EXPECT_NE(missing.stderr_data.find("No such file"), std::string::npos) << missing.stderr_data;
  ASSERT_TRUE(box->WriteFile({"plain", "no program", false}).ok());
  EXPECT_TRUE(Exited(box->Run(Spec({"/box/plain"}), {}), 126));
}

TEST_P(Conformance, ArgumentsAndEnvironmentArriveAsTheyAre) {
  const auto box = NewBox();
  StageSpec spec = Spec({kShell, "-c", "printf '%s|' \"$@\"", "sh", "a b", "", "\xff\n*"});
  spec.env = {"ONE=1", "TWO=two words\nand lines"};
  const StageOutcome outcome = box->Run(spec, {});
  EXPECT_TRUE(Exited(outcome, 0));
  EXPECT_EQ(outcome.stdout_data, "a b||\xff\n*|");
  spec.argv = {"/nix/store/tools/env"};
  EXPECT_EQ(box->Run(spec, {}).stdout_data, "ONE=1\nTWO=two words\nand lines\n");
}

TEST_P(Conformance, ManyArgumentsAreGivenWhole) {
  const auto box = NewBox();
  StageSpec spec = Spec({kShell, "-c", "echo $#", "sh"});
  for (int i = 0; i < 2000; ++i) spec.argv.push_back(std::string(100, 'a'));
  EXPECT_EQ(box->Run(spec, {}).stdout_data, "2000\n");
  spec.argv.push_back(std::string(1, '\0'));
  EXPECT_TRUE(Exited(box->Run(spec, {}), 126));
}

TEST_P(Conformance, StdinReachesTheProgram) {
  input = "Hello\n";
  EXPECT_EQ(Shell("cat").stdout_data, "Hello\n");
  input.clear();
  EXPECT_EQ(Shell("cat; echo end").stdout_data, "end\n");
}

TEST_P(Conformance, StdinThatIsNotReadIsFine) {
  input = std::string(4 * kMiB, 'x');
  EXPECT_TRUE(Exited(Probe({"exit", "3"}), 3));
}

TEST_P(Conformance, HugeInputAndOutputAtOnceDoNotDeadlock) {
  Limit(Limit::kMaxStdout, 64 * kMiB);
  input.resize(8 * kMiB);
  for (size_t i = 0; i < input.size(); ++i) input[i] = static_cast<char>(i * 31 + i / 251);
  StageOutcome echo = Probe({"echo"});
  EXPECT_TRUE(Exited(echo, 0));
  EXPECT_TRUE(echo.stdout_data == input);
  StageOutcome first = Probe({"write-then-read", std::to_string(2 * kMiB)});
  EXPECT_TRUE(Exited(first, 0));
  EXPECT_EQ(first.stdout_bytes, 2 * kMiB);
}

TEST_P(Conformance, BinaryOutputIsKept) {
  const StageOutcome outcome = Probe({"binary"});
  ASSERT_EQ(outcome.stdout_data.size(), 256U);
  EXPECT_EQ(outcome.stdout_data[0], '\0');
  EXPECT_EQ(outcome.stdout_data[255], '\xff');
}

TEST_P(Conformance, StderrIsSeparateOrMergedInOrder) {
  StageOutcome outcome = Shell("echo 1; echo 2 >&2; echo 3");
  EXPECT_EQ(outcome.stdout_data, "1\n3\n");
  EXPECT_EQ(outcome.stderr_data, "2\n");
  merge = true;
  outcome = Shell("echo 1; echo 2 >&2; echo 3");
  EXPECT_EQ(outcome.stdout_data, "1\n2\n3\n");
  EXPECT_EQ(outcome.stderr_data, "");
}

TEST_P(Conformance, ClosedOutputsAreNotTheEnd) {
  const StageOutcome outcome = Probe({"close-outputs", "300"});
  EXPECT_TRUE(Exited(outcome, 3));
  EXPECT_EQ(outcome.stdout_data, "x\n");
  EXPECT_GE(outcome.wall_time_micros, 290'000);
}

TEST_P(Conformance, DaemonsDieWithTheStage) {
  const auto box = NewBox();
  const StageOutcome outcome = ProbeIn(*box, {"daemon"});
  EXPECT_TRUE(Exited(outcome, 0));
  EXPECT_EQ(outcome.stdout_data, "left\n");
  EXPECT_LT(outcome.wall_time_micros, 5'000'000);
  EXPECT_EQ(ShellIn(*box, "ps | grep -c '[p]robe'").stdout_data, "0\n");
}

TEST_P(Conformance, AStoppedProgramEndsAtItsWallTime) {
  Limit(Limit::kWallTime, 500);
  const StageOutcome outcome = Probe({"stop"});
  EXPECT_TRUE(KilledBy(outcome, Killed::kWallTime, "wallTime"));
  EXPECT_LT(outcome.wall_time_micros, 2'000'000);
}

TEST_P(Conformance, IgnoredSignalsDoNotHelp) {
  Limit(Limit::kWallTime, 300);
  EXPECT_TRUE(KilledBy(Probe({"ignore-signals"}), Killed::kWallTime, "wallTime"));
}

TEST_P(Conformance, CancellingEndsARunAtOnce) {
  const auto box = NewBox();
  std::stop_source source;
  const auto begin = std::chrono::steady_clock::now();
  std::jthread canceller([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    source.request_stop();
  });
  const StageOutcome outcome = ProbeIn(*box, {"sleep", "15000"}, source.get_token());
  EXPECT_TRUE(KilledBy(outcome, Killed::kCancelled, ""));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
  // Before it began, too.
  EXPECT_TRUE(
      KilledBy(ProbeIn(*box, {"sleep", "15000"}, source.get_token()), Killed::kCancelled, ""));
}

TEST_P(Conformance, RunawayRecursionIsASegmentationFaultOrTheMemoryLimit) {
  EXPECT_TRUE(Signaled(Probe({"recurse"}), SIGSEGV));
}

}  // namespace
}  // namespace envicutor::agent
