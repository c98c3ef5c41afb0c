#include "operator/controllers/submission_story.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace envicutor::op {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class Recorded final : public kube::EventRecorder {
 public:
  void Record(const Json&, const std::string& type, const std::string& reason,
              const std::string& message) override {
    events.push_back(type + " " + reason + ": " + message);
  }
  std::vector<std::string> events;
};

class SubmissionStoryTest : public ::testing::Test {
 protected:
  static Outcome Ended(Phase phase, const std::string& reason = "") {
    Outcome outcome;
    outcome.phase = phase;
    outcome.reason = reason;
    outcome.message = "the message";
    if (phase == Phase::kCompleted) outcome.verdict = api::Verdict::kAccepted;
    return outcome;
  }
  const Json submission_ = {{"metadata", {{"namespace", "n"}, {"name", "s"}, {"uid", "u"}}}};
  FakeClock clock_;
  Recorded recorded_;
  SubmissionStory story_{&recorded_, clock_};
};

TEST_F(SubmissionStoryTest, AShortOneHasNone) {
  story_.Ended(submission_, "", Ended(Phase::kCompleted));
  story_.Ended(submission_, "", Ended(Phase::kCancelled));
  EXPECT_THAT(recorded_.events, IsEmpty());
}

TEST_F(SubmissionStoryTest, ALongOneIsToldFromStartToEnd) {
  EXPECT_TRUE(story_.Waits(submission_, "", "RuntimeNotReady", "it is built"));
  EXPECT_FALSE(story_.Waits(submission_, "RuntimeNotReady", "RuntimeNotReady", "still"));
  EXPECT_FALSE(story_.Waits(submission_, "RuntimeNotReady", "QueuedBehind", "7 ahead"));
  EXPECT_TRUE(story_.Runs(submission_, 1, {"pod-0", "node-0"}));
  story_.Retries(submission_, 1, "pod-0 is gone");
  story_.Ended(submission_, "Retrying", Ended(Phase::kCompleted));
  EXPECT_THAT(recorded_.events,
              ElementsAre("Normal RuntimeNotReady: it is built",
                          "Normal Started: attempt 1 on executor pod-0 of node node-0",
                          "Warning Retrying: attempt 1 was lost: pod-0 is gone",
                          "Normal Completed: Accepted: the message"));
}

TEST_F(SubmissionStoryTest, AFailureIsAlwaysTold) {
  story_.Ended(submission_, "", Ended(Phase::kFailed, "Rejected"));
  EXPECT_THAT(recorded_.events, ElementsAre("Warning Rejected: the message"));
}

TEST_F(SubmissionStoryTest, NormalEventsHaveARateAndFailuresComeThrough) {
  for (int i = 0; i < 1000; ++i) story_.Runs(submission_, 1, {});
  EXPECT_LE(recorded_.events.size(), 101U);
  const size_t burst = recorded_.events.size();
  clock_.Advance(std::chrono::seconds(1));
  for (int i = 0; i < 1000; ++i) story_.Runs(submission_, 1, {});
  EXPECT_LE(recorded_.events.size(), burst + 11);
  EXPECT_GT(recorded_.events.size(), burst);
  story_.Ended(submission_, "", Ended(Phase::kFailed, "ExecutorLost"));
  EXPECT_EQ(recorded_.events.back(), "Warning ExecutorLost: the message");
}

}  // namespace
}  // namespace envicutor::op
