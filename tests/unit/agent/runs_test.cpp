#include "executor-agent/server/runs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <future>
#include <set>
#include <thread>

#include "common/base/json.h"
#include "tests/unit/agent/fake_sandbox.h"

namespace envicutor::agent {
namespace {

using ::testing::HasSubstr;

// Runs that go on until the test lets them end.
class Gate {
 public:
  api::RunResult Run(const api::RunRequest& request, const RunControl& control) {
    std::unique_lock lock(mutex_);
    ++started_;
    changed_.notify_all();
    // One that was told to stop leaves the opening to others, even when both come at once.
    const bool released = changed_.wait(lock, control.token(), [this] { return open_ > 0; }) &&
                          !control.token().stop_requested();
    if (released) --open_;
    api::RunResult result;
    result.uid = request.uid;
    result.attempt = request.attempt;
    if (released) {
      result.verdict = api::Verdict::kAccepted;
    } else {
      result.cancelled = control.reason() == StopReason::kCancelled;
      result.deadline_exceeded = control.reason() == StopReason::kDeadline;
    }
    return result;
  }
  void Open(int runs) {
    const std::lock_guard lock(mutex_);
    open_ += runs;
    changed_.notify_all();
  }
  void AwaitStarted(int runs) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return started_ >= runs; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable_any changed_;
  int open_ = 0;
  int started_ = 0;
};

class RunsTest : public ::testing::Test {
 protected:
  RunsTest() { Start(); }
  ~RunsTest() override {
    gate_.Open(1000);
    runs_.reset();
    timers_.Stop();
  }

  void Start() {
    runs_.reset();
    log_.reset();
    journal_.reset();
    journal_ = *Journal::Open({.dir = dir_.path()});
    log_ = std::make_unique<ResultLog>("instance", clock_, timers_);
    runs_ = std::make_unique<Runs>(
        Runs::Options{2, int64_t{4} << 20},
        [this](const api::RunRequest& request, const RunControl& control,
               const std::function<void(std::string_view)>& on_stage) {
          on_stage("run");
          return gate_.Run(request, control);
        },
        *journal_, *log_, timers_, clock_, metrics_);
  }

  TakeOutcome Take(const std::string& uid, int64_t attempt = 1) {
    return runs_->Take(SimpleRequest(uid, attempt)).outcome;
  }

  // The results there are once there are `count`.
  std::vector<api::RunResult> AwaitResults(size_t count) {
    uint64_t after = 0;
    std::vector<api::RunResult> results;
    while (results.size() < count) {
      std::promise<std::string> promise;
      static_cast<void>(log_->Poll(after, 100, std::chrono::seconds(10),
                                   [&](std::string body) { promise.set_value(std::move(body)); }));
      const Json body = Json::parse(promise.get_future().get());
      after = body["next"].get<uint64_t>();
      for (const Json& result : body["results"]) results.push_back(*api::RunResultFromJson(result));
    }
    return results;
  }

  TempDir dir_;
  SystemClock clock_;
  Timers timers_{clock_};
  metrics::AgentMetrics metrics_{nullptr};
  Gate gate_;
  std::unique_ptr<Journal> journal_;
  std::unique_ptr<ResultLog> log_;
  std::unique_ptr<Runs> runs_;
};

TEST_F(RunsTest, RunsAndKeepsTheResultUntilItIsAcknowledged) {
  EXPECT_EQ(Take("a"), TakeOutcome::kTaken);
  EXPECT_EQ(Take("a"), TakeOutcome::kSame);
  gate_.Open(1);
  const auto results = AwaitResults(1);
  EXPECT_EQ(results[0].uid, "a");
  EXPECT_EQ(results[0].verdict, api::Verdict::kAccepted);
  EXPECT_EQ(Take("a"), TakeOutcome::kSame);
  ASSERT_EQ(runs_->List().size(), 1U);
  EXPECT_TRUE(runs_->List()[0].done);
  runs_->Acknowledge({{"a", 1}});
  EXPECT_TRUE(runs_->List().empty());
  // A PUT that was sent twice must not run twice.
  EXPECT_EQ(Take("a"), TakeOutcome::kSuperseded);
  EXPECT_EQ(Take("a", 2), TakeOutcome::kTaken);
}

TEST_F(RunsTest, SlotsAndMemoryAreABound) {
  EXPECT_EQ(Take("a"), TakeOutcome::kTaken);
  EXPECT_EQ(Take("b"), TakeOutcome::kTaken);
  TakeAnswer answer = runs_->Take(SimpleRequest("c"));
  EXPECT_EQ(answer.outcome, TakeOutcome::kNoCapacity);
  EXPECT_THAT(answer.message, HasSubstr("2 slots"));
  gate_.Open(2);
  AwaitResults(2);
  // What the limits say counts, whatever the operator reserved.
  api::RunRequest request = SimpleRequest("d");
  request.memory_bytes = 0;
  request.run.limits.Set(api::Limit::kMemory, int64_t{3} << 20);
  EXPECT_EQ(runs_->Take(request).outcome, TakeOutcome::kTaken);
  request.uid = "e";
  answer = runs_->Take(request);
  EXPECT_EQ(answer.outcome, TakeOutcome::kNoCapacity);
  EXPECT_EQ(answer.message, "the run may need 3 MiB, 1 MiB of 4 MiB are free");
  EXPECT_EQ(runs_->load().busy_slots, 1);
  EXPECT_EQ(runs_->load().used_memory_bytes, int64_t{3} << 20);
}

TEST_F(RunsTest, AHigherAttemptEndsTheLowerWhoseResultNobodyGets) {
  EXPECT_EQ(Take("a", 1), TakeOutcome::kTaken);
  gate_.AwaitStarted(1);
  EXPECT_EQ(Take("a", 3), TakeOutcome::kTaken);
  gate_.AwaitStarted(2);
  EXPECT_EQ(Take("a", 2), TakeOutcome::kSuperseded);
  gate_.Open(1);
  const auto results = AwaitResults(1);
  EXPECT_EQ(results[0].attempt, 3);
  EXPECT_EQ(Take("a", 1), TakeOutcome::kSuperseded);
  EXPECT_EQ(log_->size(), 1U);
}

TEST_F(RunsTest, AHigherAttemptReplacesALowerOnesResult) {
  EXPECT_EQ(Take("a", 1), TakeOutcome::kTaken);
  gate_.Open(1);
  AwaitResults(1);
  EXPECT_EQ(Take("a", 2), TakeOutcome::kTaken);
  EXPECT_EQ(log_->size(), 0U);
  gate_.Open(1);
  EXPECT_EQ(AwaitResults(1)[0].attempt, 2);
}

TEST_F(RunsTest, CancelEndsInAResult) {
  EXPECT_EQ(Take("a"), TakeOutcome::kTaken);
  EXPECT_FALSE(runs_->Cancel({"a", 2}));
  EXPECT_FALSE(runs_->Cancel({"b", 1}));
  EXPECT_TRUE(runs_->Cancel({"a", 1}));
  const auto results = AwaitResults(1);
  EXPECT_TRUE(results[0].cancelled);
  EXPECT_EQ(results[0].verdict, api::Verdict::kNone);
  EXPECT_TRUE(runs_->Cancel({"a", 1}));  // done: nothing to do
}

TEST_F(RunsTest, TheDeadlineEndsARun) {
  api::RunRequest request = SimpleRequest("a");
  request.deadline_unix_millis = 1;  // long ago
  EXPECT_EQ(runs_->Take(request).outcome, TakeOutcome::kTaken);
  EXPECT_TRUE(AwaitResults(1)[0].deadline_exceeded);
}

TEST_F(RunsTest, ResultsSurviveARestartAndUnfinishedRunsDoNot) {
  EXPECT_EQ(Take("done"), TakeOutcome::kTaken);
  gate_.Open(1);
  AwaitResults(1);
  EXPECT_EQ(Take("acked"), TakeOutcome::kTaken);
  gate_.Open(1);
  AwaitResults(2);
  runs_->Acknowledge({{"acked", 1}});
  EXPECT_EQ(Take("running"), TakeOutcome::kTaken);
  gate_.AwaitStarted(3);
  Start();
  const auto views = runs_->List();
  ASSERT_EQ(views.size(), 1U);
  EXPECT_EQ(views[0].key.uid, "done");
  EXPECT_TRUE(views[0].done);
  EXPECT_EQ(AwaitResults(1)[0].uid, "done");
  ASSERT_EQ(journal_->recovery().lost.size(), 1U);
  EXPECT_EQ(journal_->recovery().lost[0].uid, "running");
  // The operator's next attempt is taken.
  EXPECT_EQ(Take("running", 2), TakeOutcome::kTaken);
}

TEST_F(RunsTest, DrainingRefusesAndWaitsForWhatRuns) {
  EXPECT_EQ(Take("a"), TakeOutcome::kTaken);
  gate_.AwaitStarted(1);
  runs_->BeginDrain();
  EXPECT_EQ(Take("b"), TakeOutcome::kDraining);
  EXPECT_EQ(Take("a"), TakeOutcome::kSame);
  EXPECT_TRUE(runs_->load().draining);
  gate_.Open(1);
  runs_->WaitDrained(std::chrono::hours(1), Duration::zero(), {});
  EXPECT_EQ(runs_->load().busy_slots, 0);
  EXPECT_EQ(log_->size(), 1U);
}

TEST_F(RunsTest, WhatOutlivesTheDrainIsLostNotCancelled) {
  EXPECT_EQ(Take("a"), TakeOutcome::kTaken);
  gate_.AwaitStarted(1);
  runs_->BeginDrain();
  runs_->WaitDrained(Duration::zero(), Duration::zero(), {});
  runs_->Stop();
  EXPECT_EQ(log_->size(), 0U);
  Start();
  ASSERT_EQ(journal_->recovery().lost.size(), 1U);
  EXPECT_EQ(journal_->recovery().lost[0].uid, "a");
}

TEST_F(RunsTest, ManyRunsFromManyThreadsEndOnceEach) {
  gate_.Open(1000);
  std::atomic<int> taken = 0;
  {
    std::vector<std::jthread> clients;
    for (int client = 0; client < 4; ++client) {
      clients.emplace_back([&, client] {
        for (int i = 0; i < 50; ++i) {
          const std::string uid = "run-" + std::to_string(client) + "-" + std::to_string(i);
          for (;;) {
            const TakeOutcome outcome = Take(uid);
            if (outcome == TakeOutcome::kTaken) {
              ++taken;
              break;
            }
            ASSERT_EQ(outcome, TakeOutcome::kNoCapacity);
            std::this_thread::yield();
          }
        }
      });
    }
  }
  EXPECT_EQ(taken, 200);
  std::set<std::string> uids;
  for (const auto& result : AwaitResults(200)) EXPECT_TRUE(uids.insert(result.uid).second);
  EXPECT_EQ(uids.size(), 200U);
}

}  // namespace
}  // namespace envicutor::agent
