#include "operator/controllers/ttl.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <thread>

#include "common/base/clock.h"
#include "common/base/file.h"
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

// 20,000 that are due would be as many requests and lines in the log.
TEST_F(TtlTest, AnApiServerThatIsAwayIsAskedOnceInAWhile) {
  for (int i = 0; i < 20; ++i) Finished("s" + std::to_string(i));
  clock_.Advance(std::chrono::seconds(100));
  for (const Status& away : {Unavailable("away"), ResourceExhausted("too many requests")}) {
    client_.requests["delete"] = 0;
    client_.fault = [&](const std::string&) { return away; };
    const WallTime again = clock_.WallNow() + std::chrono::seconds(5);
    EXPECT_EQ(ttl_.Sweep(10), again);
    clock_.Advance(std::chrono::seconds(4));
    EXPECT_EQ(ttl_.Sweep(10), again);
    EXPECT_EQ(client_.requests["delete"], 1);
    clock_.Advance(std::chrono::seconds(1));
  }
  client_.fault = nullptr;
  EXPECT_EQ(ttl_.Sweep(30), std::nullopt);
  EXPECT_EQ(Left(), 0U);
}

TEST_F(TtlTest, AClockThatIsSetBackDoesNotMakeThatWhileLonger) {
  Finished("s", {{"ttlSecondsAfterFinished", 0}});
  clock_.Advance(std::chrono::hours(1));
  client_.fault = [](const std::string&) { return Unavailable("away"); };
  ttl_.Sweep(10);
  client_.fault = nullptr;
  clock_.Advance(std::chrono::hours(-1));
  Finished("now", {{"ttlSecondsAfterFinished", 0}});
  ttl_.Sweep(10);
  EXPECT_EQ(Left(), 1U);
}

TEST_F(TtlTest, OneThatMayNotBeDeletedHoldsUpNoOther) {
  for (int i = 0; i < 3; ++i) Finished("s" + std::to_string(i));
  clock_.Advance(std::chrono::seconds(100));
  client_.fault = [this](const std::string&) {
    return client_.requests["delete"] == 1 ? Status(Code::kPermissionDenied, "a webhook's")
                                           : OkStatus();
  };
  EXPECT_EQ(ttl_.Sweep(10), clock_.WallNow() + std::chrono::seconds(5));
  EXPECT_EQ(Left(), 1U);
}

TEST_F(TtlTest, NothingIsKeptOfWhatWasDeletedAndNothingTwiceOfWhatWasNot) {
  const Json submission = Finished("s");
  ttl_.Finished(submission);
  EXPECT_EQ(ttl_.size(), 1U) << "it is known";
  clock_.Advance(std::chrono::seconds(100));
  EXPECT_EQ(ttl_.Sweep(10), std::nullopt);
  ttl_.Finished(submission);
  EXPECT_EQ(ttl_.size(), 1U) << "it was forgotten";
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

// An API server whose deletes are slow: each waits until so many are on their way at a time.
class SlowDeletes final : public kube::Client {
 public:
  Result<Json> Get(const kube::ResourceType&, const std::string&, const std::string&) override {
    return nothing_else_;
  }
  Result<kube::List> ListAll(const kube::ResourceType&, const std::string&,
                             const kube::ListOptions&) override {
    return nothing_else_;
  }
  Result<Json> Create(const kube::ResourceType&, const std::string&, const Json&) override {
    return nothing_else_;
  }
  Result<Json> Update(const kube::ResourceType&, const Json&, const std::string&) override {
    return nothing_else_;
  }
  Result<Json> Patch(const kube::ResourceType&, const std::string&, const std::string&,
                     kube::PatchType, const Json&, const std::string&) override {
    return nothing_else_;
  }
  Status Watch(const kube::ResourceType&, const std::string&, const kube::WatchOptions&,
               const std::function<bool(kube::WatchEvent)>&, std::stop_token) override {
    return nothing_else_;
  }
  Result<std::string> GetRaw(const std::string&) override { return nothing_else_; }
  Status Delete(const kube::ResourceType&, const std::string&, const std::string&,
                const DeleteOptions&) override {
    std::unique_lock lock(mutex_);
    most_ = std::max(most_, ++now_);
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_; });
    --now_;
    ++done_;
    changed_.notify_all();
    return answer_;
  }
  bool WaitForAtOnce(int count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(30), [&] { return now_ >= count; });
  }
  bool WaitForDone(int count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(30), [&] { return done_ >= count; });
  }
  // Those that wait go on, and so do all after them.
  void Open(const Status& answer = OkStatus()) {
    const std::lock_guard lock(mutex_);
    open_ = true;
    answer_ = answer;
    changed_.notify_all();
  }
  void Close() {
    const std::lock_guard lock(mutex_);
    open_ = false;
  }
  int done() {
    const std::lock_guard lock(mutex_);
    return done_;
  }
  int most() {
    const std::lock_guard lock(mutex_);
    return most_;
  }

 private:
  const Status nothing_else_{Code::kUnimplemented, "only deletes"};

  std::mutex mutex_;
  std::condition_variable changed_;
  int now_ = 0;
  int done_ = 0;
  int most_ = 0;
  bool open_ = false;
  Status answer_;
};

class TtlThreadsTest : public ::testing::Test {
 protected:
  void Finished(int count) {
    for (int i = 0; i < count; ++i) {
      Json submission = testing::Submission("s" + std::to_string(made_++), Json::object());
      submission["status"] = {{"phase", "Completed"},
                              {"completionTime", FormatRfc3339(clock_.WallNow())}};
      ttl_.Finished(submission);
    }
  }

  // Whether every thread of this process but this one comes to rest.
  static bool OthersSleep() {
    const auto sleep = [] {
      const std::string self = std::to_string(gettid());
      for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
        if (task.path().filename() == self) continue;
        const Result<std::string> stat = ReadFile(task.path() / "stat");
        if (stat.ok() && stat->find(") S ") == std::string::npos) return false;
      }
      return true;
    };
    for (int looks = 0; looks < 1'000'000; ++looks) {
      if (sleep()) return true;
      std::this_thread::yield();
    }
    return false;
  }

  FakeClock clock_;
  SlowDeletes client_;
  TtlCollector ttl_{client_, clock_, 100};
  int made_ = 0;
};

TEST_F(TtlThreadsTest, TwelveAtATimeOnceTheFirstIsLate) {
  Finished(40);
  clock_.Advance(std::chrono::seconds(110));
  ttl_.Start();
  EXPECT_TRUE(client_.WaitForAtOnce(12));
  client_.Open();
  EXPECT_TRUE(client_.WaitForDone(40));
  EXPECT_EQ(client_.most(), 12);
}

// All of them sleep, as nothing is there; then one comes, and the rest before it is due.
TEST_F(TtlThreadsTest, WhoSleptUntilTheFirstCameHelpsWhenItIsLate) {
  ttl_.Start();
  ASSERT_TRUE(OthersSleep());
  for (int i = 0; i < 40; ++i) {
    Json submission =
        testing::Submission("s" + std::to_string(i), {{"ttlSecondsAfterFinished", i == 0 ? 1 : 2}});
    submission["status"] = {{"phase", "Failed"},
                            {"completionTime", FormatRfc3339(clock_.WallNow())}};
    ttl_.Finished(submission);
  }
  clock_.Advance(std::chrono::seconds(10));
  EXPECT_TRUE(client_.WaitForAtOnce(12));
  client_.Open();
  EXPECT_TRUE(client_.WaitForDone(40));
}

// The same when that first one was refused: they slept without a time, as there was nothing.
TEST_F(TtlThreadsTest, WhoSleptUntilTheFirstIsTriedAgainHelpsToo) {
  ttl_.Start();
  const auto finished = [this](const std::string& name, int seconds) {
    Json submission = testing::Submission(name, {{"ttlSecondsAfterFinished", seconds}});
    submission["status"] = {{"phase", "Failed"},
                            {"completionTime", FormatRfc3339(clock_.WallNow())}};
    ttl_.Finished(submission);
  };
  ASSERT_TRUE(OthersSleep());
  finished("refused", 0);
  ASSERT_TRUE(client_.WaitForAtOnce(1));
  ASSERT_TRUE(OthersSleep());
  client_.Open(Unavailable("away"));
  for (int looks = 0; ttl_.size() == 0 && looks < 1'000'000; ++looks) std::this_thread::yield();
  ASSERT_EQ(ttl_.size(), 1U);
  client_.Close();
  for (int i = 0; i < 40; ++i) finished("s" + std::to_string(i), 6);
  clock_.Advance(std::chrono::seconds(20));
  EXPECT_TRUE(client_.WaitForAtOnce(12));
  client_.Open();
  EXPECT_TRUE(client_.WaitForDone(42));
}

TEST_F(TtlThreadsTest, AnApiServerThatIsAwayGetsOneFromEachAndTheLogOneLine) {
  ::testing::internal::CaptureStderr();
  Finished(100);
  clock_.Advance(std::chrono::seconds(110));
  ttl_.Start();
  EXPECT_TRUE(client_.WaitForAtOnce(12));
  client_.Open(Unavailable("away"));
  EXPECT_TRUE(client_.WaitForDone(12));
  EXPECT_TRUE(OthersSleep());
  const std::string said = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 1) << said;
  EXPECT_EQ(client_.done(), 12);
  EXPECT_EQ(ttl_.size(), 100U);
}

TEST_F(TtlThreadsTest, FourAtATimeAreEnoughForWhatIsOnTime) {
  Finished(12);
  clock_.Advance(std::chrono::seconds(100));
  ttl_.Start();
  EXPECT_TRUE(client_.WaitForAtOnce(4));
  client_.Open();
  EXPECT_TRUE(client_.WaitForDone(12));
  EXPECT_EQ(client_.most(), 4);
}

TEST_F(TtlThreadsTest, OneThatIsDueSoonerIsNotSleptThrough) {
  client_.Open();
  Finished(1);
  ttl_.Start();
  for (int i = 1; i <= 3; ++i) {
    Json sooner = testing::Submission("now" + std::to_string(i), {{"ttlSecondsAfterFinished", 0}});
    sooner["status"] = {{"phase", "Failed"}, {"completionTime", FormatRfc3339(clock_.WallNow())}};
    ttl_.Finished(sooner);
    EXPECT_TRUE(client_.WaitForDone(i));
  }
  EXPECT_EQ(ttl_.size(), 1U);
}

}  // namespace
}  // namespace envicutor::op
