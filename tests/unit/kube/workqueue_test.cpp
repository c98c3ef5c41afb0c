#include "common/kube/workqueue.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <map>
#include <mutex>
#include <thread>

#include "common/metrics/registry.h"

namespace envicutor::kube {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class WorkQueueTest : public testing::Test {
 protected:
  std::unique_ptr<WorkQueue> Make(WorkQueueOptions options = {}) {
    options.clock = &clock_;
    return NewWorkQueue("test", options);
  }
  FakeClock clock_;
};

TEST_F(WorkQueueTest, DeduplicatesWhileKeysWait) {
  const auto queue = Make();
  queue->Add("a");
  queue->Add("b");
  queue->Add("a");
  EXPECT_EQ(2U, queue->Length());
  EXPECT_EQ("a", queue->TryGet());
  EXPECT_EQ("b", queue->TryGet());
  EXPECT_EQ(std::nullopt, queue->TryGet());
}

TEST_F(WorkQueueTest, KeyAddedDuringItsWorkComesBackAfterwardsOnce) {
  const auto queue = Make();
  queue->Add("a");
  EXPECT_EQ("a", queue->TryGet());
  queue->Add("a");
  queue->Add("a");
  EXPECT_EQ(std::nullopt, queue->TryGet()) << "never two workers on one key";
  queue->Done("a");
  EXPECT_EQ("a", queue->TryGet());
  queue->Done("a");
  EXPECT_EQ(std::nullopt, queue->TryGet());
}

TEST_F(WorkQueueTest, KnowsWhatTheWorkerOnAKeyAskedForIt) {
  using Again = WorkQueue::Again;
  const auto queue = Make();
  queue->Add("a");
  queue->Add("b");
  EXPECT_EQ(Again::kNo, queue->AskedAgain("a")) << "not in work";
  EXPECT_EQ("a", queue->TryGet());
  EXPECT_EQ(Again::kNo, queue->AskedAgain("a"));
  std::thread([&] { queue->Add("a"); }).join();
  EXPECT_EQ(Again::kNo, queue->AskedAgain("a")) << "an event's wish is not the worker's";
  queue->AddAfter("b", seconds(1));
  EXPECT_EQ(Again::kNo, queue->AskedAgain("a")) << "another key";
  queue->AddAfter("a", seconds(1));
  EXPECT_EQ(Again::kLater, queue->AskedAgain("a"));
  queue->Undelay("a");
  EXPECT_EQ(Again::kNo, queue->AskedAgain("a")) << "taken back";
  queue->AddAfter("a", seconds(1));
  queue->Add("a");
  queue->AddAfter("a", seconds(2));
  EXPECT_EQ(Again::kAtOnce, queue->AskedAgain("a")) << "the sooner counts";
  queue->Done("a");
  EXPECT_EQ("b", queue->TryGet());
  EXPECT_EQ("a", queue->TryGet());
  EXPECT_EQ(Again::kNo, queue->AskedAgain("a")) << "of an earlier work";
}

TEST_F(WorkQueueTest, DelayedKeysComeInTimeAndTheEarliestTimeCounts) {
  const auto queue = Make();
  queue->AddAfter("a", seconds(10));
  queue->AddAfter("a", seconds(5));
  queue->AddAfter("a", seconds(20));
  EXPECT_EQ(clock_.Now() + seconds(5), queue->NextReady());
  EXPECT_EQ(0U, queue->Length());
  clock_.Advance(seconds(5) - milliseconds(1));
  EXPECT_EQ(std::nullopt, queue->TryGet());
  clock_.Advance(milliseconds(1));
  EXPECT_EQ("a", queue->TryGet());
  queue->Done("a");
  clock_.Advance(seconds(60));
  EXPECT_EQ(std::nullopt, queue->TryGet());
}

TEST_F(WorkQueueTest, FailuresBackOffPerKeyUpToTheMaximumAndForgetStartsAnew) {
  const auto queue = Make();
  const auto next_delay = [&](const std::string& key) {
    queue->AddRateLimited(key);
    const auto at = queue->NextReady();
    const Duration delay = *at - clock_.Now();
    clock_.Advance(delay);
    EXPECT_EQ(key, queue->TryGet());
    queue->Done(key);
    return delay;
  };
  EXPECT_EQ(milliseconds(5), next_delay("a"));
  EXPECT_EQ(milliseconds(10), next_delay("a"));
  EXPECT_EQ(milliseconds(20), next_delay("a"));
  EXPECT_EQ(milliseconds(5), next_delay("b")) << "each key has its own";
  for (int i = 0; i < 100; ++i) (void)next_delay("a");
  EXPECT_EQ(seconds(60), next_delay("a"));
  queue->Forget("a");
  EXPECT_EQ(milliseconds(5), next_delay("a"));
}

TEST_F(WorkQueueTest, AllFailuresTogetherKeepToTheRate) {
  WorkQueueOptions options;
  options.rate_per_second = 10;
  options.burst = 2;
  const auto queue = Make(options);
  for (int i = 0; i < 12; ++i) queue->AddRateLimited("k" + std::to_string(i));
  int got = 0;
  const auto drain = [&] {
    while (queue->TryGet()) ++got;
  };
  clock_.Advance(milliseconds(5));
  drain();
  EXPECT_EQ(2, got) << "the burst";
  clock_.Advance(milliseconds(500));
  drain();
  EXPECT_EQ(7, got);
  clock_.Advance(milliseconds(500));
  drain();
  EXPECT_EQ(12, got);
}

TEST_F(WorkQueueTest, ShutDownWakesBlockedWorkersAndTakesNothingMore) {
  const auto queue = NewWorkQueue("test");
  std::atomic<int> ended{0};
  std::vector<std::jthread> workers;
  for (int i = 0; i < 3; ++i) {
    workers.emplace_back([&] {
      EXPECT_EQ(std::nullopt, queue->Get());
      ++ended;
    });
  }
  queue->ShutDown();
  workers.clear();
  EXPECT_EQ(3, ended);
  queue->Add("a");
  EXPECT_EQ(0U, queue->Length());
  EXPECT_EQ(std::nullopt, queue->Get());
}

TEST_F(WorkQueueTest, BlockedGetWakesForADelayedKey) {
  const auto queue = NewWorkQueue("test");
  std::jthread worker([&] { EXPECT_EQ("a", queue->Get()); });
  queue->AddAfter("a", milliseconds(1));
}

TEST_F(WorkQueueTest, AGetThatWaitsAlreadyWakesForADelayedKey) {
  const auto queue = NewWorkQueue("test");
  std::atomic<pid_t> waiter = 0;
  std::jthread worker([&] {
    waiter = ::gettid();
    EXPECT_EQ("a", queue->Get());
  });
  // It waits when it sleeps: there is nothing else on its way to sleep on for long.
  for (char state = 'R'; state != 'S';) {
    std::this_thread::yield();
    std::ifstream stat("/proc/self/task/" + std::to_string(waiter.load()) + "/stat");
    std::string skipped;
    stat >> skipped >> skipped >> state;
  }
  queue->AddAfter("a", milliseconds(1));
}

TEST_F(WorkQueueTest, ManyWorkersNeverShareAKeyAndLoseNone) {
  const auto queue = NewWorkQueue("test");
  constexpr int kKeys = 20;
  std::mutex mutex;
  std::map<std::string, int> active;
  std::map<std::string, int> version;  // what the producers wrote last
  std::map<std::string, int> seen;     // what the workers saw last
  std::vector<std::jthread> workers;
  for (int i = 0; i < 4; ++i) {
    workers.emplace_back([&] {
      while (const auto key = queue->Get()) {
        {
          const std::scoped_lock lock(mutex);
          EXPECT_EQ(1, ++active[*key]);
          seen[*key] = version[*key];
        }
        std::this_thread::yield();
        {
          const std::scoped_lock lock(mutex);
          --active[*key];
        }
        queue->Done(*key);
      }
    });
  }
  {
    std::vector<std::jthread> producers;
    for (int p = 0; p < 3; ++p) {
      producers.emplace_back([&] {
        for (int i = 0; i < 3000; ++i) {
          const std::string key = "k" + std::to_string(i % kKeys);
          {
            const std::scoped_lock lock(mutex);
            ++version[key];
          }
          if (i % 3 == 0) {
            queue->AddAfter(key, std::chrono::microseconds(50));
          } else {
            queue->Add(key);
          }
        }
      });
    }
  }
  // Everything written must be seen without another Add.
  for (;;) {
    {
      const std::scoped_lock lock(mutex);
      if (seen == version) break;
    }
    std::this_thread::yield();
  }
  queue->ShutDown();
}

TEST_F(WorkQueueTest, KeepsClientGosMetrics) {
  metrics::Registry registry;
  WorkQueueOptions options;
  options.registry = &registry;
  const auto queue = Make(options);
  queue->Add("a");
  queue->Add("b");
  queue->AddRateLimited("c");
  clock_.Advance(seconds(3));
  EXPECT_EQ("a", queue->TryGet());
  clock_.Advance(seconds(4));
  const std::string text = registry.Render();
  for (const char* line :
       {"workqueue_depth{name=\"test\"} 2", "workqueue_adds_total{name=\"test\"} 3",
        "workqueue_retries_total{name=\"test\"} 1",
        "workqueue_queue_duration_seconds_sum{name=\"test\"} 3",
        "workqueue_unfinished_work_seconds{name=\"test\"} 4",
        "workqueue_longest_running_processor_seconds{name=\"test\"} 4"}) {
    EXPECT_NE(std::string::npos, text.find(line)) << line << "\n" << text;
  }
  queue->Done("a");
  EXPECT_NE(std::string::npos,
            registry.Render().find("workqueue_work_duration_seconds_sum{name=\"test\"} 4"));
}

TEST_F(WorkQueueTest, UndelayTakesADelayedKeyBack) {
  const auto queue = Make();
  queue->AddAfter("a", seconds(1));
  queue->AddAfter("b", seconds(1));
  queue->Undelay("a");
  queue->Undelay("never added");
  clock_.Advance(seconds(2));
  EXPECT_EQ("b", queue->TryGet());
  EXPECT_EQ(std::nullopt, queue->TryGet());
}

// Idle workers share one wait for delayed keys: none may be left sleeping when there is work.
TEST(WorkQueueThreads, EveryKeyIsFoundWhoeverKeepsTheTime) {
  constexpr int kKeys = 2000;
  const auto queue = NewWorkQueue("test");
  std::atomic<int> found{0};
  std::vector<std::jthread> workers;
  for (int i = 0; i < 4; ++i) {
    workers.emplace_back([&] {
      while (const auto key = queue->Get()) {
        queue->Done(*key);
        if (++found == 2 * kKeys) queue->ShutDown();
      }
    });
  }
  for (int i = 0; i < kKeys; ++i) {
    queue->Add("now-" + std::to_string(i));
    queue->AddAfter("later-" + std::to_string(i), milliseconds(i % 7));
  }
  workers.clear();  // hangs when a key was lost
  EXPECT_EQ(2 * kKeys, found);
}

}  // namespace
}  // namespace envicutor::kube
