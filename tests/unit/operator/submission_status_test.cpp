#include "operator/controllers/submission_status.h"

#include <gtest/gtest.h>

#include "common/base/encoding.h"
#include "common/kube/resource.h"
#include "operator/controllers/size_budget.h"
#include "tests/unit/operator/submissions.h"

namespace envicutor::op {
namespace {

using testing::Accepted;
using testing::Stage;
using testing::Submission;

const WallTime kNow = FakeClock().WallNow();

Outcome OutcomeOf(api::RunResult result) {
  Outcome outcome;
  outcome.verdict = result.verdict;
  outcome.result = std::move(result);
  return outcome;
}

Json Applied(const Json& submission, const Json& update) {
  Json object = submission;
  object["status"] = update["status"];
  return object;
}

// A kube-apiserver takes what is not said for removed by us (tests/real: ownership_test.py).
TEST(OutcomeUpdate, SaysAllOfTheMetadataButWhoOwnsIt) {
  Json submission = Submission("s", {{"source", ""}});
  Json& metadata = submission["metadata"];
  metadata["labels"] = {{"a", "b"}};
  metadata["annotations"] = {{"c", "d"}};
  metadata["finalizers"] = {"example.com/held"};
  metadata["ownerReferences"] = Json::array({{{"uid", "u"}}});
  const Json all = metadata;
  metadata["managedFields"] = Json::array({{{"manager", "gitops"}}});
  EXPECT_EQ(OutcomeUpdate(submission, OutcomeOf(Accepted("u")), kNow)["metadata"], all);
}

TEST(OutcomeUpdate, AcceptedSubmission) {
  const Json submission = Submission("s", {{"source", ""}});
  Outcome outcome = OutcomeOf(Accepted("u"));
  outcome.placement = RunPlacement{"executor-default-0", "node-1"};
  outcome.queue_millis = 3;
  const Json update = OutcomeUpdate(submission, outcome, kNow);
  EXPECT_EQ(update["apiVersion"], submission["apiVersion"]);
  EXPECT_EQ(update["kind"], "Submission");
  EXPECT_EQ(update["metadata"], submission["metadata"]);
  const Json object = Applied(submission, update);
  const Json& status = object["status"];
  EXPECT_EQ(status["phase"], "Completed");
  EXPECT_EQ(status["verdict"], "Accepted");
  EXPECT_FALSE(status.contains("reason"));
  EXPECT_EQ(status["stages"]["run"]["stdout"], "hello\n");
  EXPECT_EQ(status["stages"]["run"]["exitCode"], 0);
  EXPECT_FALSE(status["stages"].contains("compile"));
  EXPECT_EQ(status["executor"], (Json{{"pod", "executor-default-0"}, {"node", "node-1"}}));
  EXPECT_EQ(status["completionTime"], "2026-01-01T00:00:00Z");
  EXPECT_EQ(status["startTime"], "2026-01-01T00:00:00Z");
  EXPECT_EQ(status["attempt"], 1);
  EXPECT_EQ(kube::ConditionStatus(object, "Admitted"), "True");
  EXPECT_EQ(kube::ConditionStatus(object, "Finished"), "True");
  EXPECT_EQ(kube::ConditionStatus(object, "Succeeded"), "True");
}

TEST(OutcomeUpdate, SucceededIsTrueForAcceptedOnlyAndNamesTheVerdict) {
  api::RunResult result = Accepted("u");
  result.verdict = api::Verdict::kTimeLimitExceeded;
  result.run->exit_status = api::ExitStatus::kTimeLimit;
  result.run->limit = "wallTime";
  const Json object =
      Applied(Submission("s", {}), OutcomeUpdate(Submission("s", {}), OutcomeOf(result), kNow));
  EXPECT_EQ(kube::ConditionStatus(object, "Succeeded"), "False");
  EXPECT_EQ(object["status"]["message"], "the run stage exceeded its time limit (wallTime)");
  for (const Json& condition : object["status"]["conditions"]) {
    if (condition["type"] != "Succeeded") continue;
    EXPECT_EQ(condition["reason"], "TimeLimitExceeded");
  }
}

TEST(OutcomeUpdate, RejectedIsNotAdmitted) {
  Outcome outcome;
  outcome.phase = Phase::kFailed;
  outcome.reason = "Rejected";
  outcome.message = "run.limits.wallTime: 120s is more than the maximum 60s";
  outcome.admitted = false;
  outcome.attempt = 0;
  const Json object =
      Applied(Submission("s", {}), OutcomeUpdate(Submission("s", {}), outcome, kNow));
  EXPECT_EQ(object["status"]["phase"], "Failed");
  EXPECT_EQ(object["status"]["reason"], "Rejected");
  EXPECT_EQ(kube::ConditionStatus(object, "Admitted"), "False");
  EXPECT_EQ(kube::ConditionStatus(object, "Finished"), "True");
  EXPECT_EQ(kube::ConditionStatus(object, "Succeeded"), "False");
  EXPECT_FALSE(object["status"].contains("attempt"));
  EXPECT_FALSE(object["status"].contains("verdict"));
}

TEST(OutcomeUpdate, WhatProgressWroteIsRemoved) {
  Json submission = Submission("s", {});
  Progress progress;
  progress.reason = "QueuedBehind";
  progress.message = "5 ahead of it";
  progress.admitted = true;
  submission = Applied(submission, ProgressUpdate(submission, progress, kNow));
  EXPECT_EQ(submission["status"]["reason"], "QueuedBehind");
  EXPECT_EQ(kube::ConditionStatus(submission, "Finished"), "False");
  submission = Applied(submission, OutcomeUpdate(submission, OutcomeOf(Accepted("u")), kNow));
  EXPECT_FALSE(submission["status"].contains("reason"));
  EXPECT_EQ(submission["status"]["conditions"].size(), 3U);
}

TEST(OutcomeUpdate, BytesThatAreNotUtf8TravelAsBase64) {
  const Json object =
      Applied(Submission("s", {}),
              OutcomeUpdate(Submission("s", {}), OutcomeOf(Accepted("u", 1, "\xff\xfe")), kNow));
  EXPECT_EQ(object["status"]["stages"]["run"]["stdout"], Base64Encode("\xff\xfe"));
  EXPECT_EQ(object["status"]["stages"]["run"]["stdoutEncoding"], "base64");
}

TEST(OutcomeUpdate, TestsStandForTheRun) {
  api::RunResult result;
  result.verdict = api::Verdict::kWrongAnswer;
  result.tests = {{"1", api::Verdict::kAccepted, Stage("one")},
                  {"2", api::Verdict::kWrongAnswer, Stage("two")},
                  {"3", api::Verdict::kNone, std::nullopt}};
  const Json object =
      Applied(Submission("s", {}), OutcomeUpdate(Submission("s", {}), OutcomeOf(result), kNow));
  const Json& status = object["status"];
  EXPECT_EQ(status["stages"]["run"]["stdout"], "two");
  ASSERT_EQ(status["tests"].size(), 3U);
  EXPECT_EQ(status["tests"][1]["verdict"], "WrongAnswer");
  EXPECT_FALSE(status["tests"][2].contains("run"));
  EXPECT_EQ(status["message"], "1 of 3 tests accepted");
}

TEST(OutcomeUpdate, LargeOutputsAreCutToTheBudgetAndSaySo) {
  api::RunResult result = Accepted("u");
  for (int i = 0; i < 40; ++i) {
    result.tests.push_back(
        {std::to_string(i), api::Verdict::kAccepted, Stage(std::string(100'000, '<'))});
  }
  result.run.reset();
  result.output_files.push_back({"small", "kept", false});
  const Json submission = Submission("s", {{"source", std::string(300'000, 'x')}});
  const Json object = Applied(submission, OutcomeUpdate(submission, OutcomeOf(result), kNow));
  EXPECT_LT(StoredObjectSize(object), kObjectBudgetBytes);
  EXPECT_GT(StoredObjectSize(object), kObjectBudgetBytes / 2);
  EXPECT_EQ(object["status"]["tests"][7]["run"]["stdoutTruncated"], true);
  EXPECT_EQ(object["status"]["tests"][7]["run"]["stdoutBytes"], 100'000);
  EXPECT_EQ(object["status"]["outputFiles"][0]["content"], "kept");
  EXPECT_EQ(object["status"]["outputFiles"][0]["truncated"], false);
}

TEST(OutcomeUpdate, AResultFitsBesideTheLargestSpec) {
  const Json submission = Submission("s", {{"source", std::string(1 << 20, 'x')}});
  const Json object = Applied(
      submission,
      OutcomeUpdate(submission, OutcomeOf(Accepted("u", 1, std::string(1 << 20, 'y'))), kNow));
  EXPECT_LT(StoredObjectSize(object), 1'500'000U);
  EXPECT_GT(object["status"]["stages"]["run"]["stdout"].get<std::string>().size(), 200'000U);
}

TEST(FitOutputs, SmallOnesStayWholeAndCutsAreBetweenCharacters) {
  std::string small = "small";
  std::string large;
  while (large.size() < 3000) large += "\xc3\xa4";
  bool small_cut = false;
  bool large_cut = false;
  FitOutputs({{&small, &small_cut}, {&large, &large_cut}}, 1001);
  EXPECT_FALSE(small_cut);
  EXPECT_TRUE(large_cut);
  EXPECT_TRUE(IsUtf8(large));
  EXPECT_LE(StoredSize(small) + StoredSize(large), 1001U);
  EXPECT_GT(large.size(), 900U);
}

TEST(FitOutputs, EscapesAndBase64AreCounted) {
  EXPECT_EQ(StoredSize(std::string_view("a\n<\x01")), 1U + 2 + 6 + 6);
  EXPECT_EQ(StoredSize(std::string_view("\xff\xff\xff\xff")), 8U);
  std::string binary(3000, '\xff');
  bool cut = false;
  FitOutputs({{&binary, &cut}}, 400);
  EXPECT_TRUE(cut);
  EXPECT_EQ(binary.size(), 300U);
}

TEST(SkimFinished, IsWhatTheOperatorStillNeeds) {
  Json submission = Submission("s", {{"source", "metadata"}, {"ttlSecondsAfterFinished", 7}});
  EXPECT_FALSE(SkimFinished(DumpJson(submission)).has_value());
  submission["status"] = {{"phase", "Running"}};
  EXPECT_FALSE(SkimFinished(DumpJson(submission)).has_value());
  for (const char* phase : {"Completed", "Failed", "Cancelled"}) {
    submission["status"] = {{"phase", phase}, {"completionTime", "2026-01-01T00:00:09Z"}};
    const auto few = SkimFinished(DumpJson(submission));
    ASSERT_TRUE(few.has_value());
    EXPECT_EQ(*few, (Json{{"metadata",
                           {{"name", "s"},
                            {"namespace", "default"},
                            {"uid", "uid-default-s"},
                            {"resourceVersion", "1"}}},
                          {"spec", {{"ttlSecondsAfterFinished", 7}}},
                          {"status", submission["status"]}}));
    EXPECT_EQ(*few, FinishedMembers(submission, submission["status"], "1"));
    EXPECT_TRUE(IsTerminal(*few));
  }
  submission["spec"].erase("ttlSecondsAfterFinished");
  EXPECT_EQ(SkimFinished(DumpJson(submission)),
            FinishedMembers(submission, submission["status"], "1"));
}

}  // namespace
}  // namespace envicutor::op
