// Agents that do not answer, as a handler that waits, and what becomes of the others' requests.
#include "operator/dispatch/request_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <utility>

namespace envicutor::op {
namespace {

constexpr std::chrono::seconds kSoon{20};

class RequestPoolTest : public ::testing::Test {
 protected:
  ~RequestPoolTest() override { Thaw(); }

  void Start(const RequestPoolOptions& options = {}) {
    pool_ = std::make_unique<RequestPool>(
        clock_, options,
        [this](const Effect& request, bool doubtful) { return Handle(request, doubtful); });
    pool_->Start();
  }
  void Post(const std::string& agent, int count = 1) {
    for (int i = 0; i < count; ++i) {
      Effect effect;
      effect.kind = Effect::Kind::kAck;
      effect.agent = agent;
      pool_->Post(std::move(effect));
    }
  }
  template <typename F>
  bool WaitFor(F&& holds) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kSoon, holds);
  }
  void Freeze(const std::string& agent) {
    const std::lock_guard lock(mutex_);
    frozen_.insert(agent);
  }
  // They are answered, as after a time-out when `answer` says so.
  void Thaw(RequestPool::Answer answer = RequestPool::Answer::kGiven) {
    const std::lock_guard lock(mutex_);
    late_ = answer;
    frozen_.clear();
    changed_.notify_all();
  }

  const SystemClock clock_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::set<std::string> frozen_;
  RequestPool::Answer late_ = RequestPool::Answer::kGiven;
  std::map<std::string, int> under_way_;
  std::map<std::string, int> most_;  // under way at a time
  std::map<std::string, int> done_;
  int doubtful_ = 0;
  std::unique_ptr<RequestPool> pool_;  // last: its threads use the rest

 private:
  RequestPool::Answer Handle(const Effect& request, bool doubtful) {
    std::unique_lock lock(mutex_);
    int& now = under_way_[request.agent];
    most_[request.agent] = std::max(most_[request.agent], ++now);
    if (doubtful) ++doubtful_;
    changed_.notify_all();
    const bool froze = frozen_.contains(request.agent);
    changed_.wait(lock, [&] { return !frozen_.contains(request.agent); });
    --now;
    ++done_[request.agent];
    changed_.notify_all();
    return froze ? late_ : RequestPool::Answer::kGiven;
  }
};

TEST_F(RequestPoolTest, OneAgentAloneHasSeveralUnderWay) {
  Start();
  Freeze("a");
  Post("a", 20);
  EXPECT_TRUE(WaitFor([&] { return under_way_["a"] == RequestPoolOptions().in_flight; }));
  Thaw();
  EXPECT_TRUE(WaitFor([&] { return done_["a"] == 20; }));
  EXPECT_EQ(most_["a"], RequestPoolOptions().in_flight);
}

TEST_F(RequestPoolTest, AHundredFrozenAgentsHoldUpNoOther) {
  constexpr int kFrozen = 100;
  constexpr int kEach = 12;
  constexpr int kHealthy = 500;
  Start();
  for (int i = 0; i < kFrozen; ++i) Freeze("frozen-" + std::to_string(i));
  for (int i = 0; i < kFrozen; ++i) Post("frozen-" + std::to_string(i), kEach);
  for (int i = 0; i < kHealthy; ++i) Post("healthy-" + std::to_string(i % 5));
  const auto healthy = [&] {
    int done = 0;
    for (int i = 0; i < 5; ++i) done += done_["healthy-" + std::to_string(i)];
    return done;
  };
  EXPECT_TRUE(WaitFor([&] { return healthy() == kHealthy; }));
  {
    const std::lock_guard lock(mutex_);
    int frozen = 0;
    for (const auto& [agent, count] : under_way_) frozen += count;
    EXPECT_LE(frozen, RequestPoolOptions().most_threads);
    EXPECT_FALSE(std::any_of(done_.begin(), done_.end(), [](const auto& entry) {
      return entry.first.starts_with("frozen") && entry.second > 0;
    }));
  }
  EXPECT_LE(pool_->threads(), RequestPoolOptions().most_threads);
  // When they answer, all is done and the threads that were added go.
  Thaw();
  EXPECT_TRUE(WaitFor([&] {
    int done = 0;
    for (const auto& [agent, count] : done_) done += count;
    return done == kHealthy + kFrozen * kEach;
  }));
  const auto end = std::chrono::steady_clock::now() + kSoon;
  while (pool_->threads() > RequestPoolOptions().threads &&
         std::chrono::steady_clock::now() < end) {
    std::this_thread::yield();
  }
  EXPECT_EQ(pool_->threads(), RequestPoolOptions().threads);
}

TEST_F(RequestPoolTest, OneThatLeftARequestWithoutAnAnswerGetsOneAtATime) {
  Start();
  Freeze("a");
  Post("a", 3);
  ASSERT_TRUE(WaitFor([&] { return under_way_["a"] == 3; }));
  Thaw(RequestPool::Answer::kNone);
  ASSERT_TRUE(WaitFor([&] { return done_["a"] == 3; }));
  ASSERT_TRUE(WaitFor([&] { return std::exchange(most_["a"], 0) != 0; }));
  Freeze("a");
  Post("a", 5);
  ASSERT_TRUE(WaitFor([&] { return under_way_["a"] == 1; }));
  // Another's go all the same, and after an answer several of its own.
  Post("b", 50);
  ASSERT_TRUE(WaitFor([&] { return done_["b"] == 50; }));
  {
    const std::lock_guard lock(mutex_);
    EXPECT_EQ(most_["a"], 1);
    EXPECT_EQ(doubtful_, 1);
  }
  Thaw();
  ASSERT_TRUE(WaitFor([&] { return done_["a"] == 8; }));
  Freeze("a");
  Post("a", 3);
  EXPECT_TRUE(WaitFor([&] { return under_way_["a"] == 3; }));
}

TEST_F(RequestPoolTest, EventsDoNotWaitForRequests) {
  RequestPoolOptions options;
  options.most_threads = options.threads = 2;
  Start(options);
  for (const char* agent : {"a", "b"}) {
    Freeze(agent);
    Post(agent);
  }
  ASSERT_TRUE(WaitFor([&] { return under_way_["a"] + under_way_["b"] == 2; }));
  bool called = false;
  Effect effect;
  effect.call = [&] {
    const std::lock_guard lock(mutex_);
    called = true;
    changed_.notify_all();
  };
  pool_->Post(std::move(effect));
  EXPECT_TRUE(WaitFor([&] { return called; }));
}

TEST_F(RequestPoolTest, NothingIsKeptOfAgentsThatAreGone) {
  Start();
  Post("idle");
  ASSERT_TRUE(WaitFor([&] { return done_["idle"] == 1; }));
  Freeze("busy");
  Freeze("unknown");
  Post("busy", 2);
  Post("unknown");
  ASSERT_TRUE(WaitFor([&] { return under_way_["busy"] == 2 && under_way_["unknown"] == 1; }));
  pool_->Forget("idle");
  pool_->Forget("busy");
  Thaw(RequestPool::Answer::kGone);
  const auto end = std::chrono::steady_clock::now() + kSoon;
  while (pool_->lanes() > 0 && std::chrono::steady_clock::now() < end) std::this_thread::yield();
  EXPECT_EQ(pool_->lanes(), 0U);
}

}  // namespace
}  // namespace envicutor::op
