#include "tests/unit/operator/submission_controller_fixture.h"

namespace envicutor::op {
namespace {

using testing::Accepted;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::PythonRuntime;
using testing::Submission;

// The queue's bounds are for new ones alone.
TEST_F(SubmissionControllerTest, TheRunnerKnowsWhatWasAdmittedBefore) {
  CreatePython("new");
  EXPECT_FALSE(runner_.submitted.back().events.admitted);
  Json known = testing::Submission("known", {{"runtimeRef", {{"name", "python3"}}}});
  known["status"]["conditions"] = {{{"type", "Admitted"}, {"status", "True"}}};
  Create(known);
  Settle();
  EXPECT_TRUE(runner_.submitted.back().events.admitted);
}

TEST_F(SubmissionControllerTest, AShortSubmissionCostsOneStatusWrite) {
  CreatePython("s");
  ASSERT_EQ(runner_.submitted.size(), 1U);
  EXPECT_EQ(runner_.submitted[0].pool, "default");
  EXPECT_EQ(runner_.submitted[0].ns, "default");
  runner_.submitted[0].events.on_dispatched({"pod-0", "node-0"});
  Done(Accepted("uid-default-s"));
  EXPECT_EQ(StatusOf("s")["phase"], "Completed");
  EXPECT_EQ(StatusOf("s")["verdict"], "Accepted");
  EXPECT_EQ(client_.requests["update"], 1);
  EXPECT_EQ(client_.requests["get"], 0);
  EXPECT_THAT(runner_.acknowledged, ElementsAre("uid-default-s"));
  EXPECT_EQ(controller_.live(), 0U);
  Advance(std::chrono::seconds(10));
  EXPECT_EQ(client_.requests["update"], 1);
}

TEST_F(SubmissionControllerTest, ItsOwnResultIsNoNews) {
  CreatePython("s");
  runner_.submitted[0].events.on_done(Accepted("uid-default-s"), {"pod-0", "node-0"});
  const std::optional<std::string> key = queue_->TryGet();
  ASSERT_TRUE(key.has_value());
  EXPECT_TRUE(controller_.Reconcile(*key).ok());  // its event comes before the answer
  queue_->Done(*key);
  EXPECT_EQ(StatusOf("s")["phase"], "Completed");
  EXPECT_FALSE(queue_->TryGet().has_value());
  EXPECT_EQ(ttl_.size(), 1U);
  // Nor is that it was deleted when its time was over.
  clock_.Advance(std::chrono::hours(1));
  ttl_.Sweep(1);
  EXPECT_EQ(client_.requests["delete"], 1);
  EXPECT_FALSE(queue_->TryGet().has_value());
}

TEST_F(SubmissionControllerTest, AResultByAnotherHandEndsTheRunAndKeepsItsTimeToLive) {
  CreatePython("s", {{"ttlSecondsAfterFinished", 7}});
  Json object = Object("s");
  object["status"] = {{"phase", "Completed"}, {"completionTime", FormatRfc3339(clock_.WallNow())}};
  client_.Put(kube::kSubmissions, object);
  Settle();
  EXPECT_THAT(runner_.cancelled, ElementsAre("uid-default-s"));
  EXPECT_EQ(controller_.live(), 0U);
  clock_.Advance(std::chrono::seconds(6));
  ttl_.Sweep(1);
  EXPECT_EQ(client_.requests["delete"], 0);
  clock_.Advance(std::chrono::seconds(2));
  ttl_.Sweep(1);
  EXPECT_EQ(client_.requests["delete"], 1);
}

TEST_F(SubmissionControllerTest, ALongRunIsShownAndItsWritesAreFew) {
  CreatePython("s");
  runner_.submitted[0].events.on_dispatched({"pod-0", "node-0"});
  runner_.submitted[0].events.on_progress("compile");
  Advance(std::chrono::milliseconds(900));
  EXPECT_EQ(client_.requests["update"], 0);
  Advance(std::chrono::milliseconds(200));
  EXPECT_EQ(StatusOf("s")["phase"], "Running");
  EXPECT_EQ(StatusOf("s")["message"], "it is in the compile stage");
  EXPECT_EQ(StatusOf("s")["executor"]["pod"], "pod-0");
  runner_.submitted[0].events.on_progress("run");
  Advance(std::chrono::seconds(10));
  EXPECT_EQ(StatusOf("s")["message"], "it is in the run stage");
  EXPECT_EQ(client_.requests["update"], 2);
  Done(Accepted("uid-default-s"));
  EXPECT_EQ(StatusOf("s")["phase"], "Completed");
}

TEST_F(SubmissionControllerTest, WaitingNamesItsReasonAfterASecond) {
  runner_.wait = RunWait{false, 4, "4 ahead of it in pool default"};
  CreatePython("s");
  Advance(std::chrono::milliseconds(1200));
  EXPECT_EQ(StatusOf("s")["phase"], "Pending");
  EXPECT_EQ(StatusOf("s")["reason"], "QueuedBehind");
  EXPECT_EQ(kube::ConditionStatus(Object("s"), "Admitted"), "True");
  runner_.wait = RunWait{true, 0, "pool default has no executor that is ready"};
  Advance(std::chrono::seconds(10));
  EXPECT_EQ(StatusOf("s")["reason"], "NoCapacity");
}

TEST_F(SubmissionControllerTest, EveryViolationInOneMessage) {
  CreatePython("s", {{"run", {{"limits", {{"wallTime", "120s"}, {"memory", "99Gi"}}}}}});
  EXPECT_EQ(StatusOf("s")["phase"], "Failed");
  EXPECT_EQ(StatusOf("s")["reason"], "Rejected");
  EXPECT_THAT(StatusOf("s")["message"].get<std::string>(),
              ::testing::AllOf(HasSubstr("run.limits.wallTime: 120s is more than the maximum 60s"),
                               HasSubstr("run.limits.memory: 99Gi is more than the maximum 2Gi")));
  EXPECT_EQ(kube::ConditionStatus(Object("s"), "Admitted"), "False");
  EXPECT_THAT(runner_.submitted, IsEmpty());
}

TEST_F(SubmissionControllerTest, TheRuntimeMayComeLater) {
  Create(Submission("s", {{"runtimeRef", {{"name", "late"}}}, {"source", ""}}));
  Settle();
  Advance(std::chrono::seconds(5));
  EXPECT_EQ(StatusOf("s")["phase"], "Pending");
  EXPECT_EQ(StatusOf("s")["reason"], "RuntimeNotFound");
  catalog_.runtimes["late"].state = RuntimeLookup::State::kNotReady;
  catalog_.runtimes["late"].message = "Runtime late is Building";
  catalog_.changed("late");
  Advance(std::chrono::seconds(60));
  EXPECT_EQ(StatusOf("s")["reason"], "RuntimeNotReady");
  EXPECT_EQ(StatusOf("s")["message"], "Runtime late is Building");
  catalog_.Serve("late", PythonRuntime());
  catalog_.changed("late");
  Settle();
  EXPECT_EQ(runner_.submitted.size(), 1U);
}

TEST_F(SubmissionControllerTest, ARuntimeThatNeverComesFailsAfterThirtySeconds) {
  Create(Submission("s", {{"runtimeRef", {{"name", "never"}}}, {"source", ""}}));
  Settle();
  Advance(std::chrono::milliseconds(29'500));
  EXPECT_EQ(StatusOf("s")["phase"], "Pending");
  Advance(std::chrono::seconds(1));
  EXPECT_EQ(StatusOf("s")["phase"], "Failed");
  EXPECT_EQ(StatusOf("s")["reason"], "RuntimeNotFound");
  EXPECT_FALSE(StatusOf("s").contains("attempt"));
  EXPECT_EQ(kube::ConditionStatus(Object("s"), "Admitted"), "False");
}

TEST_F(SubmissionControllerTest, CancelBeforeAndWhileItRuns) {
  Create(Submission("early", {{"runtimeRef", {{"name", "never"}}}, {"cancel", true}}));
  Settle();
  EXPECT_EQ(StatusOf("early")["phase"], "Cancelled");
  CreatePython("s");
  Json changed = Object("s");
  changed["spec"]["cancel"] = true;
  client_.Put(kube::kSubmissions, changed);
  Settle();
  EXPECT_THAT(runner_.cancelled, Contains("uid-default-s"));
  api::RunResult result = Accepted("uid-default-s");
  result.cancelled = true;
  result.verdict = api::Verdict::kNone;
  Done(result);
  EXPECT_EQ(StatusOf("s")["phase"], "Cancelled");
  EXPECT_EQ(kube::ConditionStatus(Object("s"), "Finished"), "True");
}

TEST_F(SubmissionControllerTest, DeadlineHoldsWhileItWaits) {
  runner_.wait = RunWait{false, 3000, "3000 ahead"};
  CreatePython("s", {{"activeDeadlineSeconds", 5}});
  Advance(std::chrono::milliseconds(5'200));
  EXPECT_THAT(runner_.cancelled, ElementsAre("uid-default-s"));
  Done(Status(Code::kCancelled, "cancelled before it started"));
  EXPECT_EQ(StatusOf("s")["phase"], "Failed");
  EXPECT_EQ(StatusOf("s")["reason"], "DeadlineExceeded");
}

TEST_F(SubmissionControllerTest, ADeadlineCountsFromCreationNotFromItsWholeSecond) {
  clock_.Advance(std::chrono::milliseconds(900));  // creationTimestamp says second 0
  CreatePython("s", {{"activeDeadlineSeconds", 1}});
  ASSERT_EQ(runner_.submitted.size(), 1U);
  EXPECT_EQ(runner_.submitted[0].request.deadline_unix_millis, 1'767'225'601'900);
  Advance(std::chrono::milliseconds(900));
  EXPECT_THAT(runner_.cancelled, IsEmpty());
  Advance(std::chrono::milliseconds(200));
  EXPECT_THAT(runner_.cancelled, ElementsAre("uid-default-s"));
}

TEST_F(SubmissionControllerTest, DeadlineHoldsThoughTheExecutorIsSilent) {
  CreatePython("s", {{"activeDeadlineSeconds", 5}});
  runner_.submitted[0].events.on_dispatched({"pod-0", "node-0"});
  Advance(std::chrono::seconds(10));
  EXPECT_EQ(StatusOf("s")["phase"], "Failed");
  EXPECT_EQ(StatusOf("s")["reason"], "DeadlineExceeded");
}

TEST_F(SubmissionControllerTest, DeletionStopsTheRunAndDropsItsResult) {
  CreatePython("s");
  ASSERT_TRUE(client_.Delete(kube::kSubmissions, "default", "s", {}).ok());
  Settle();
  EXPECT_THAT(runner_.cancelled, ElementsAre("uid-default-s"));
  runner_.acknowledged.clear();
  Done(Accepted("uid-default-s"));
  EXPECT_THAT(runner_.acknowledged, ElementsAre("uid-default-s"));
  EXPECT_EQ(client_.requests["update"], 0);
}

TEST_F(SubmissionControllerTest, AProgramsOwnFailureIsNotTriedAgain) {
  CreatePython("s");
  api::RunResult result = Accepted("uid-default-s");
  result.verdict = api::Verdict::kRuntimeError;
  result.run = testing::Stage("", 3);
  Done(result);
  EXPECT_EQ(StatusOf("s")["phase"], "Completed");
  EXPECT_EQ(StatusOf("s")["verdict"], "RuntimeError");
  EXPECT_EQ(runner_.submitted.size(), 1U);
}

TEST_F(SubmissionControllerTest, FullQueueAndUnreadableRequests) {
  CreatePython("full");
  Done(ResourceExhausted("the queue holds 100000 submissions, its maximum"));
  EXPECT_EQ(StatusOf("full")["reason"], "QueueFull");
  EXPECT_EQ(kube::ConditionStatus(Object("full"), "Admitted"), "True");
  CreatePython("bad");
  Done(InvalidArgument("the agent answered 400"));
  EXPECT_EQ(StatusOf("bad")["reason"], "Rejected");
}

TEST_F(SubmissionControllerTest, InlineEnvironmentIsBuiltThenRun) {
  Create(Submission("s", {{"environment", {{"packages", {"bash"}}, {"cache", false}}},
                          {"run", {{"script", "true"}}}}));
  Settle();
  Advance(std::chrono::seconds(2));
  EXPECT_EQ(StatusOf("s")["phase"], "Pending");
  EXPECT_EQ(StatusOf("s")["reason"], "RuntimeNotReady");
  const std::string hash = builds_.HashOf(builds_.asked[0]);
  builds_.states[hash].phase = BuildState::Phase::kReady;
  builds_.states[hash].stage = testing::Stage("built");
  builds_.changed(hash);
  Settle();
  ASSERT_EQ(runner_.submitted.size(), 1U);
  EXPECT_EQ(runner_.submitted[0].request.environment_hash, hash);
  Done(Accepted("uid-default-s"));
  EXPECT_EQ(StatusOf("s")["stages"]["environment"]["stdout"], "built");
  EXPECT_THAT(builds_.discarded, ElementsAre(hash));
}

TEST_F(SubmissionControllerTest, AFailedBuildIsTheUsersUnlessItIsOurs) {
  const auto create = [&](const std::string& name) {
    Create(
        Submission(name, {{"environment", {{"packages", {name}}}}, {"run", {{"script", "true"}}}}));
    Settle();
    BuildState& state = builds_.states[builds_.HashOf(builds_.asked.back())];
    state.phase = BuildState::Phase::kFailed;
    state.message = "attribute missing";
    return &state;
  };
  create("theirs");
  builds_.changed(builds_.HashOf(builds_.asked.back()));
  Settle();
  EXPECT_EQ(StatusOf("theirs")["phase"], "Completed");
  EXPECT_EQ(StatusOf("theirs")["verdict"], "EnvironmentError");
  EXPECT_EQ(StatusOf("theirs")["stages"]["environment"]["exitStatus"], "RE");
  create("ours")->infrastructure = true;
  builds_.changed(builds_.HashOf(builds_.asked.back()));
  Settle();
  EXPECT_EQ(StatusOf("ours")["phase"], "Failed");
  EXPECT_EQ(StatusOf("ours")["reason"], "EnvironmentUnavailable");
}

TEST_F(SubmissionControllerTest, OnlyLabelledConfigMapsAreRead) {
  Json map = {{"kind", "ConfigMap"},
              {"metadata", {{"name", "in"}, {"namespace", "default"}}},
              {"data", {{"k", "from the map"}}}};
  client_.Put(kube::kConfigMaps, map);
  const Json from = {
      {"run", {{"stdinFrom", {{"configMapKeyRef", {{"name", "in"}, {"key", "k"}}}}}}}};
  CreatePython("s", from);
  EXPECT_THAT(runner_.submitted, IsEmpty());
  Advance(std::chrono::seconds(2));
  EXPECT_THAT(StatusOf("s")["message"].get<std::string>(),
              HasSubstr("not labelled envicutor.io/input=true"));
  map["metadata"]["labels"] = {{"envicutor.io/input", "true"}};
  client_.Put(kube::kConfigMaps, map);
  Advance(std::chrono::seconds(2));
  ASSERT_EQ(runner_.submitted.size(), 1U);
  EXPECT_EQ(runner_.submitted[0].request.run.stdin_data, "from the map");
}

TEST_F(SubmissionControllerTest, AnInputThatNeverComesIsRejected) {
  CreatePython("s",
               {{"run", {{"stdinFrom", {{"configMapKeyRef", {{"name", "in"}, {"key", "k"}}}}}}}});
  Advance(std::chrono::seconds(32));
  EXPECT_EQ(StatusOf("s")["phase"], "Failed");
  EXPECT_EQ(StatusOf("s")["reason"], "Rejected");
}

TEST_F(SubmissionControllerTest, FinishedOnesAreDeletedAfterTheirTime) {
  CreatePython("soon", {{"ttlSecondsAfterFinished", 5}});
  Done(Accepted("uid-default-soon"));
  CreatePython("later");
  Done(Accepted("uid-default-later"));
  EXPECT_EQ(ttl_.size(), 2U);
  EXPECT_TRUE(ttl_.Sweep(10).has_value());
  EXPECT_EQ(client_.objects.size(), 2U);
  clock_.Advance(std::chrono::seconds(6));
  EXPECT_TRUE(ttl_.Sweep(10).has_value());
  EXPECT_EQ(client_.objects.count("submissions/default/soon"), 0U);
  EXPECT_EQ(client_.objects.count("submissions/default/later"), 1U);
}

}  // namespace
}  // namespace envicutor::op
