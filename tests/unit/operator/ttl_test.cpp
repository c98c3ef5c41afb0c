#include "operator/controllers/ttl.h"

#include <gtest/gtest.h>

#include "common/base/clock.h"
#include "tests/unit/operator/fakes.h"
#include "tests/unit/operator/submissions.h"

namespace envicutor::op {
namespace {

using testing::FakeClient;

class TtlTest : public ::testing::Test {
 protected:
  Json Finished(const std::string& name, Json spec = Json::object()) {
    Json submission = testing::Submission(name, std::move(spec));
    submission["status"] = {{"phase", "Completed"},
                            {"completionTime", FormatRfc3339(clock_.WallNow())}};
    client_.Put(kube::kSubmissions, submission);
    ttl_.Finished(submission);
    return submission;
  }
  size_t Left() { return client_.objects.size(); }

  FakeClock clock_;
  FakeClient client_;
  TtlCollector ttl_{client_, clock_, 100};
};

TEST_F(TtlTest, DeletedWhenItsTimeIsOverAndNotBefore) {
  Finished("own", {{"ttlSecondsAfterFinished", 10}});
  Finished("default");
  EXPECT_EQ(ttl_.Sweep(10), clock_.WallNow() + std::chrono::seconds(10));
  clock_.Advance(std::chrono::seconds(10));
  EXPECT_EQ(ttl_.Sweep(10), clock_.WallNow() + std::chrono::seconds(90));
  EXPECT_EQ(Left(), 1U);
  clock_.Advance(std::chrono::seconds(90));
  EXPECT_EQ(ttl_.Sweep(10), std::nullopt);
  EXPECT_EQ(Left(), 0U);
}

TEST_F(TtlTest, ASweepDeletesABatchAndSaysThatMoreIsDue) {
  for (int i = 0; i < 25; ++i) Finished("s" + std::to_string(i));
  clock_.Advance(std::chrono::seconds(100));
  for (const size_t left : {15U, 5U}) {
    EXPECT_LE(ttl_.Sweep(10).value(), clock_.WallNow());
    EXPECT_EQ(Left(), left);
  }
  EXPECT_EQ(client_.requests["delete"], 20);
}

// 100 a second finish and 50 are deleted: that must not go on for ever.
TEST_F(TtlTest, WhatFallsBehindGoesFasterUpToABound) {
  const int usual = ttl_.BatchSize();
  Finished("s");
  clock_.Advance(std::chrono::seconds(100));
  EXPECT_EQ(usual, ttl_.BatchSize()) << "due now, not late";
  EXPECT_EQ(ttl_.HelpersBatchSize(), 0);
  clock_.Advance(std::chrono::milliseconds(2500));
  EXPECT_EQ(6 * usual, ttl_.BatchSize());
  EXPECT_EQ(ttl_.HelpersBatchSize(), ttl_.BatchSize());
  clock_.Advance(std::chrono::hours(24));
  EXPECT_EQ(40 * usual, ttl_.BatchSize());
}

TEST_F(TtlTest, ARefusedDeletionIsTriedAgainLater) {
  Finished("s");
  clock_.Advance(std::chrono::seconds(100));
  client_.fault = [](const std::string&) { return Unavailable("away"); };
  EXPECT_GT(ttl_.Sweep(10).value(), clock_.WallNow());
  client_.fault = nullptr;
  clock_.Advance(std::chrono::seconds(10));
  EXPECT_EQ(ttl_.Sweep(10), std::nullopt);
  EXPECT_EQ(Left(), 0U);
}

TEST_F(TtlTest, AnotherOfTheSameNameStays) {
  Json again = Finished("s");
  again["metadata"]["uid"] = "another";
  again["status"] = Json::object();
  client_.Put(kube::kSubmissions, again);
  clock_.Advance(std::chrono::seconds(100));
  EXPECT_EQ(ttl_.Sweep(10), std::nullopt);
  EXPECT_EQ(Left(), 1U);
}

TEST_F(TtlTest, AnotherDefaultCountsForThoseThatAreThere) {
  Finished("own", {{"ttlSecondsAfterFinished", 50}});
  Finished("default");
  const WallTime begin = clock_.WallNow();
  ttl_.SetDefault(20);
  EXPECT_EQ(ttl_.Sweep(10), begin + std::chrono::seconds(20));
  ttl_.SetDefault(1000);
  EXPECT_EQ(ttl_.Sweep(10), begin + std::chrono::seconds(50));
}

}  // namespace
}  // namespace envicutor::op
