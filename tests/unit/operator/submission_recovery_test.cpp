// What the submission controller does when executors, environments, the API server or it itself
// fail.
#include "tests/unit/operator/submission_controller_fixture.h"

namespace envicutor::op {
namespace {

using testing::Accepted;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::Submission;

// Another operator took its run for nobody's and stopped it, or its executor shut down.
TEST_F(SubmissionControllerTest, ARunThatWasStoppedUnaskedIsAnAttemptLost) {
  CreatePython("s", {{"maxAttempts", 10}});
  api::RunResult stopped;
  stopped.uid = "uid-default-s";
  stopped.cancelled = true;
  Done(stopped);
  EXPECT_EQ(StatusOf("s")["phase"], "Pending");
  EXPECT_EQ(StatusOf("s")["attempt"], 2);
  EXPECT_THAT(runner_.acknowledged, ElementsAre("uid-default-s"));
  ASSERT_EQ(runner_.submitted.size(), 2U);
  EXPECT_EQ(runner_.submitted[1].request.attempt, 2);
  // One that was adopted may be of a later attempt than the one asked for.
  stopped.attempt = 5;
  Done(stopped);
  ASSERT_EQ(runner_.submitted.size(), 3U);
  EXPECT_EQ(runner_.submitted[2].request.attempt, 6);
}

TEST_F(SubmissionControllerTest, ACancelThatNobodyAskedForIsAnAttemptLost) {
  CreatePython("s", {{"maxAttempts", 2}});
  Done(Status(Code::kCancelled, "cancelled before it started"));
  ASSERT_EQ(runner_.submitted.size(), 2U);
  EXPECT_EQ(StatusOf("s")["attempt"], 2);
  Done(Status(Code::kCancelled, "cancelled before it started"));
  EXPECT_EQ(runner_.submitted.size(), 2U);
  EXPECT_EQ(StatusOf("s")["phase"], "Failed");
  EXPECT_EQ(StatusOf("s")["reason"], "ExecutorLost");
}

// An executor that restarts or takes a later attempt says "lost" of a run that was to end anyway.
TEST_F(SubmissionControllerTest, ACancelledRunWhoseExecutorIsLostIsCancelled) {
  for (const char* name : {"last", "first"}) {
    CreatePython(name, {{"maxAttempts", name == std::string("last") ? 1 : 3}});
    Json asked = Object(name);
    asked["spec"]["cancel"] = true;
    client_.Put(kube::kSubmissions, asked);
    Settle();
    const int writes = client_.requests["update"];
    Done(Unavailable("executor pod-0 restarted and lost the run"));
    EXPECT_EQ(StatusOf(name)["phase"], "Cancelled") << StatusOf(name);
    EXPECT_EQ(StatusOf(name)["reason"], "Cancelled");
    EXPECT_THAT(GetString(StatusOf(name), "message"), HasSubstr("restarted and lost the run"));
    EXPECT_EQ(client_.requests["update"], writes + 1) << "never said to be tried again";
  }
  EXPECT_EQ(runner_.submitted.size(), 2U);
}

TEST_F(SubmissionControllerTest, ARunStoppedForItsDeadlineWhoseExecutorIsLostIsLate) {
  CreatePython("s", {{"activeDeadlineSeconds", 5}});
  Advance(std::chrono::milliseconds(5100));
  ASSERT_THAT(runner_.cancelled, ElementsAre("uid-default-s"));
  Done(Unavailable("executor pod-0 restarted and lost the run"));
  EXPECT_EQ(StatusOf("s")["phase"], "Failed");
  EXPECT_EQ(StatusOf("s")["reason"], "DeadlineExceeded");
  EXPECT_EQ(StatusOf("s")["attempt"], 1) << "never said to be tried again";
}

TEST_F(SubmissionControllerTest, ALostExecutorIsCountedBeforeTheNextAttempt) {
  CreatePython("s");
  for (int64_t attempt = 2; attempt <= 3; ++attempt) {
    Done(Unavailable("executor pod-0 was deleted"));
    EXPECT_EQ(StatusOf("s")["attempt"], attempt);
    EXPECT_EQ(StatusOf("s")["phase"], "Pending");
    ASSERT_EQ(runner_.submitted.size(), static_cast<size_t>(attempt));
    EXPECT_EQ(runner_.submitted.back().request.attempt, attempt);
  }
  Done(Unavailable("executor pod-0 was deleted"));
  EXPECT_EQ(StatusOf("s")["phase"], "Failed");
  EXPECT_EQ(StatusOf("s")["reason"], "ExecutorLost");
  EXPECT_EQ(StatusOf("s")["attempt"], 3);
}

api::RunResult NoEnvironment(const std::string& uid = "uid-default-s") {
  api::RunResult result;
  result.uid = uid;
  result.verdict = api::Verdict::kEnvironmentError;
  result.environment_unavailable = true;
  result.message = "refused, not signed by a trusted key: /nix/store/x";
  return result;
}

TEST_F(SubmissionControllerTest, AnEnvironmentThatCannotBeHadIsTriedAgainThenRuns) {
  catalog_.runtimes["python3"].runtime.environment_store_path = "/nix/store/x";
  CreatePython("s");
  EXPECT_EQ(runner_.submitted.back().request.environment_store_path, "/nix/store/x");
  Done(NoEnvironment());
  EXPECT_EQ(StatusOf("s")["phase"], "Pending");
  EXPECT_EQ(StatusOf("s")["reason"], "RuntimeNotReady");
  EXPECT_THAT(GetString(StatusOf("s"), "message"), HasSubstr("not signed by a trusted key"));
  EXPECT_THAT(runner_.acknowledged, ElementsAre("uid-default-s"));
  ASSERT_EQ(runner_.submitted.size(), 1U) << "not at once: the cache is not hammered";
  // Others go on meanwhile.
  CreatePython("other");
  ASSERT_EQ(runner_.submitted.size(), 2U);
  Done(Accepted("uid-default-other"));
  EXPECT_EQ(StatusOf("other")["phase"], "Completed");
  Advance(std::chrono::seconds(2));
  ASSERT_EQ(runner_.submitted.size(), 3U);
  EXPECT_EQ(runner_.submitted.back().request.attempt, 2);
  Done(Accepted("uid-default-s", 2));
  EXPECT_EQ(StatusOf("s")["verdict"], "Accepted");
}

TEST_F(SubmissionControllerTest, AnEnvironmentThatNeverComesIsSaidAfterBoundedTries) {
  CreatePython("s");
  for (int i = 0; i < 6; ++i) {
    EXPECT_EQ(GetString(StatusOf("s"), "phase", "Pending"), "Pending");
    Done(NoEnvironment());
    Advance(std::chrono::seconds(16));
  }
  EXPECT_EQ(runner_.submitted.size(), 6U);
  EXPECT_EQ(StatusOf("s")["phase"], "Failed");
  EXPECT_EQ(StatusOf("s")["reason"], "EnvironmentUnavailable");
  EXPECT_THAT(GetString(StatusOf("s"), "message"), HasSubstr("tried 6 times"));
}

// It was counted once for each write that failed: "tried 7 times" after the first.
TEST_F(SubmissionControllerTest, AMissingEnvironmentIsCountedOnceHoweverOftenItsWriteFails) {
  CreatePython("s");
  int failures = 10;
  client_.fault = [&](const std::string& verb) {
    return verb == "update" && failures-- > 0 ? Unavailable("connection refused") : OkStatus();
  };
  Done(NoEnvironment());
  Advance(std::chrono::seconds(30));
  ASSERT_LT(failures, 0) << "the write was tried until it went through";
  EXPECT_EQ(StatusOf("s")["phase"], "Pending") << StatusOf("s");
  EXPECT_EQ(StatusOf("s")["attempt"], 2);
  ASSERT_EQ(runner_.submitted.size(), 2U);
  EXPECT_EQ(runner_.submitted.back().request.attempt, 2);
}

TEST_F(SubmissionControllerTest, LostExecutorsAndMissingEnvironmentsAreCountedApart) {
  CreatePython("s");
  for (int i = 0; i < 3; ++i) {
    Done(NoEnvironment());
    Advance(std::chrono::seconds(16));
  }
  Done(Unavailable("executor pod-0 was deleted"));
  EXPECT_EQ(StatusOf("s")["phase"], "Pending") << "its first of three";
  ASSERT_EQ(runner_.submitted.size(), 5U);
}

// The next operator took attempts without environment for lost ones: "attempt 4 of 3".
TEST_F(SubmissionControllerTest, WhatAttemptsCountIsKnownToTheNextOperator) {
  CreatePython("before");
  for (int i = 0; i < 3; ++i) {
    Done(NoEnvironment("uid-default-before"));
    Advance(std::chrono::seconds(16));
  }
  // Progress keeps it.
  runner_.submitted.back().events.on_dispatched({"pod-0", "node-0"});
  Advance(std::chrono::seconds(5));
  ASSERT_EQ(StatusOf("before")["phase"], "Running");
  EXPECT_EQ(StatusOf("before")["uncountedAttempts"], 3);
  Json next = Submission("s", {{"runtimeRef", {{"name", "python3"}}}, {"source", ""}});
  next["status"] = StatusOf("before");
  ASSERT_EQ(next["status"]["attempt"], 4);
  Create(next);
  Settle();
  for (int64_t lost = 1; lost <= 2; ++lost) {
    ASSERT_EQ(runner_.submitted.back().request.uid, "uid-default-s");
    Done(Unavailable("executor pod-0 was deleted"));
    ASSERT_EQ(StatusOf("s")["phase"], "Pending")
        << "its " << lost << ". of three: " << StatusOf("s");
    EXPECT_EQ(StatusOf("s")["attempt"], 4 + lost);
    EXPECT_EQ(StatusOf("s")["uncountedAttempts"], 3);
  }
  Done(Unavailable("executor pod-0 was deleted"));
  EXPECT_EQ(StatusOf("s")["reason"], "ExecutorLost");
  EXPECT_EQ(StatusOf("s")["attempt"], 6);
  EXPECT_THAT(GetString(StatusOf("s"), "message"),
              HasSubstr("attempt 3 of 3; 3 more had no environment"));
  EXPECT_FALSE(StatusOf("s").contains("uncountedAttempts"));
}

TEST_F(SubmissionControllerTest, AnUncountedAttemptWhoseAnswerIsLostIsWrittenOnce) {
  CreatePython("s");
  int losses = 3;
  client_.lose_answer = [&](const std::string& verb) { return verb == "update" && losses-- > 0; };
  Done(NoEnvironment());
  Advance(std::chrono::seconds(30));
  EXPECT_EQ(StatusOf("s")["attempt"], 2) << StatusOf("s");
  EXPECT_EQ(StatusOf("s")["uncountedAttempts"], 1);
}

// Whoever can write a status: no number there gives attempts without end.
TEST_F(SubmissionControllerTest, UncountedAttemptsAreFewerThanAttempts) {
  Json submission = Submission("s", {{"runtimeRef", {{"name", "python3"}}}, {"maxAttempts", 1}});
  submission["status"] = {{"phase", "Pending"}, {"attempt", 2}, {"uncountedAttempts", 1'000'000}};
  Create(submission);
  Settle();
  Done(Unavailable("executor pod-0 was deleted"));
  EXPECT_EQ(StatusOf("s")["reason"], "ExecutorLost");
}

TEST_F(SubmissionControllerTest, ADeadlineHoldsWhileItsEnvironmentIsWaitedFor) {
  CreatePython("s", {{"activeDeadlineSeconds", 5}});
  Done(NoEnvironment());
  Advance(std::chrono::seconds(2));
  Done(NoEnvironment());
  Advance(std::chrono::seconds(6));
  EXPECT_EQ(StatusOf("s")["reason"], "DeadlineExceeded");
}

TEST_F(SubmissionControllerTest, AStaleCacheMeetsAConflictAndWins) {
  CreatePython("s");
  deliver_ = false;
  Json changed = Object("s");
  changed["metadata"]["labels"] = {{"touched", "yes"}};
  client_.Put(kube::kSubmissions, changed);
  Done(Accepted("uid-default-s"));
  EXPECT_EQ(StatusOf("s")["phase"], "Completed");
  EXPECT_EQ(Object("s")["metadata"]["labels"]["touched"], "yes");
}

// Events may be late: what was written is known from the answer.
TEST_F(SubmissionControllerTest, ItsOwnWritesAreInTheCacheBeforeTheirEvents) {
  CreatePython("s", {{"ttlSecondsAfterFinished", 7}});
  deliver_ = false;
  runner_.submitted[0].events.on_dispatched({"pod-0", "node-0"});
  Advance(std::chrono::milliseconds(1100));
  ASSERT_EQ(StatusOf("s")["phase"], "Running");
  EXPECT_EQ(*informer_.Get("default/s"), Object("s"));
  Done(Accepted("uid-default-s"));
  EXPECT_EQ(client_.requests["update"], 2) << "no conflict with the version before";
  const kube::ObjectPtr cached = informer_.Get("default/s");
  EXPECT_EQ(kube::ResourceVersionOf(*cached), kube::ResourceVersionOf(Object("s")));
  EXPECT_EQ(GetString(At(*cached, {"status"}), "phase"), "Completed");
  clock_.Advance(std::chrono::seconds(8));
  ttl_.Sweep(1);
  EXPECT_EQ(client_.requests["delete"], 1);
}

TEST_F(SubmissionControllerTest, AResultIsNotGivenToAnotherOfTheSameName) {
  CreatePython("s");
  deliver_ = false;
  Json another = Object("s");
  another["metadata"]["uid"] = "another";
  client_.objects.clear();
  client_.Put(kube::kSubmissions, another);
  Done(Accepted("uid-default-s"));
  EXPECT_FALSE(StatusOf("s").contains("phase")) << StatusOf("s");
  EXPECT_EQ(controller_.live(), 0U);
}

TEST_F(SubmissionControllerTest, AnAttemptThatAnotherOperatorCountedIsNotCountedBack) {
  CreatePython("s", {{"maxAttempts", 10}});
  deliver_ = false;
  Json counted = Object("s");
  counted["status"] = {{"phase", "Pending"}, {"attempt", 4}};
  client_.Put(kube::kSubmissions, counted);
  Done(Unavailable("executor pod-0 was deleted"));
  EXPECT_EQ(StatusOf("s")["attempt"], 4);
  ASSERT_EQ(runner_.submitted.size(), 2U);
  EXPECT_EQ(runner_.submitted[1].request.attempt, 4);
}

TEST_F(SubmissionControllerTest, AResultByAnotherHandIsSeenAfterWritesThatFailed) {
  CreatePython("s");
  client_.fault = [](const std::string&) { return Unavailable("connection refused"); };
  Done(Accepted("uid-default-s"));
  Advance(std::chrono::seconds(20));  // the next try is seconds away
  client_.fault = nullptr;
  Json object = Object("s");
  object["status"] = {{"phase", "Completed"}, {"completionTime", FormatRfc3339(clock_.WallNow())}};
  client_.Put(kube::kSubmissions, object);
  Settle();
  EXPECT_EQ(controller_.live(), 0U);
  EXPECT_THAT(client_.violations, IsEmpty());
}

TEST_F(SubmissionControllerTest, AnAnswerThatWasLostIsNotWrittenTwice) {
  CreatePython("s");
  deliver_ = false;
  int losses = 1;
  client_.lose_answer = [&](const std::string&) { return losses-- > 0; };
  Done(Accepted("uid-default-s"));
  Advance(std::chrono::seconds(1));
  EXPECT_EQ(StatusOf("s")["phase"], "Completed");
  EXPECT_THAT(client_.violations, IsEmpty());
  EXPECT_EQ(controller_.live(), 0U);
  EXPECT_THAT(runner_.acknowledged, Contains("uid-default-s"));
}

TEST_F(SubmissionControllerTest, AnApiServerThatIsAwayLosesNothing) {
  CreatePython("s");
  client_.fault = [](const std::string&) { return Unavailable("connection refused"); };
  Done(Accepted("uid-default-s"));
  EXPECT_THAT(runner_.acknowledged, IsEmpty());
  client_.fault = nullptr;
  Advance(std::chrono::seconds(1));
  EXPECT_EQ(StatusOf("s")["phase"], "Completed");
  EXPECT_THAT(runner_.acknowledged, ElementsAre("uid-default-s"));
}

TEST_F(SubmissionControllerTest, ARefusedResultStillEndsTheSubmission) {
  CreatePython("s");
  int refusals = 1;
  client_.fault = [&](const std::string& verb) {
    return verb == "update" && refusals-- > 0 ? InvalidArgument("status.stages: Invalid value")
                                              : OkStatus();
  };
  Done(Accepted("uid-default-s"));
  EXPECT_EQ(StatusOf("s")["phase"], "Failed");
  EXPECT_EQ(StatusOf("s")["verdict"], "InternalError");
  EXPECT_THAT(StatusOf("s")["message"].get<std::string>(),
              HasSubstr("status.stages: Invalid value"));
}

TEST_F(SubmissionControllerTest, WhatFinishedBeforeThisOperatorIsDeletedInTimeAndIsNoWork) {
  Json submission = Submission("s", {{"ttlSecondsAfterFinished", 7}});
  submission["status"] = {{"phase", "Failed"}, {"completionTime", FormatRfc3339(clock_.WallNow())}};
  Create(submission);
  EXPECT_FALSE(queue_->TryGet().has_value());
  clock_.Advance(std::chrono::seconds(8));
  ttl_.Sweep(1);
  EXPECT_EQ(client_.requests["delete"], 1);
}

TEST_F(SubmissionControllerTest, ANewOperatorGoesOnWithTheCountedAttempt) {
  Json submission = Submission("s", {{"runtimeRef", {{"name", "python3"}}}, {"source", ""}});
  submission["status"] = {{"phase", "Running"}, {"attempt", 2}};
  Create(submission);
  Settle();
  ASSERT_EQ(runner_.submitted.size(), 1U);
  EXPECT_EQ(runner_.submitted[0].request.attempt, 2);
}

}  // namespace
}  // namespace envicutor::op
