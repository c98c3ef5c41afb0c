#include "operator/scheduler/scheduler.h"

#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <random>
#include <set>

namespace envicutor::op {
namespace {

constexpr int64_t kMi = 1 << 20;

QueuedRun Make(std::string id, std::string ns = "a", int64_t priority = 0, int64_t memory = kMi) {
  return {std::move(id), std::move(ns), priority, memory};
}

std::vector<std::string> Drain(RunQueue& queue) {
  std::vector<std::string> order;
  while (queue.Next() != nullptr) order.push_back(queue.Pop().id);
  return order;
}

TEST(RunQueue, PriorityThenNamespacesInTurnThenFirstCome) {
  RunQueue queue;
  for (const char* id : {"a1", "a2", "a3", "a4"}) queue.Push(Make(id, "a"));
  for (const char* id : {"b1", "b2"}) queue.Push(Make(id, "b"));
  queue.Push(Make("urgent", "a", 5));
  queue.Push(Make("later", "b", -1));
  EXPECT_EQ(Drain(queue),
            (std::vector<std::string>{"urgent", "a1", "b1", "a2", "b2", "a3", "a4", "later"}));
}

TEST(RunQueue, TenThousandOfOneDoNotDelayAnothersFirst) {
  RunQueue queue;
  for (int i = 0; i < 10'000; ++i) queue.Push(Make("a" + std::to_string(i), "a"));
  for (int i = 0; i < 100; ++i) queue.Pop();
  queue.Push(Make("b", "b"));
  EXPECT_EQ(queue.PositionOf("b").value(), 0);
  EXPECT_EQ(queue.Pop().id, "b");
}

TEST(RunQueue, WeightsShare) {
  RunQueue queue({{"heavy", 3}});
  for (int i = 0; i < 400; ++i) {
    queue.Push(Make("h" + std::to_string(i), "heavy"));
    queue.Push(Make("l" + std::to_string(i), "light"));
  }
  std::map<std::string, int> served;
  for (int i = 0; i < 200; ++i) ++served[queue.Pop().ns];
  EXPECT_NEAR(served["heavy"], 150, 2);
}

TEST(RunQueue, RemovedAndReturnedRunsKeepTheOrder) {
  RunQueue queue;
  for (const char* id : {"1", "2", "3", "4"}) queue.Push(Make(id));
  EXPECT_FALSE(queue.Push(Make("2")));
  EXPECT_TRUE(queue.Remove("3"));
  EXPECT_FALSE(queue.Remove("3"));
  QueuedRun first = queue.Pop();
  queue.PushFront(std::move(first));
  EXPECT_EQ(Drain(queue), (std::vector<std::string>{"1", "2", "4"}));
}

// Any mix of pushes, pops, removals and returns: nothing is lost or doubled, counts agree, and
// among what waits of one namespace and priority the order is that of arrival.
TEST(RunQueue, RandomOperationsKeepEverything) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    std::mt19937_64 random(seed);
    RunQueue queue;
    std::map<std::string, QueuedRun> waiting;
    std::map<std::pair<std::string, int64_t>, int> last;
    int next = 0;
    for (int step = 0; step < 300; ++step) {
      const auto dice = random() % 10;
      if (dice < 5) {
        QueuedRun run =
            Make(std::to_string(next++), std::string(1, static_cast<char>('a' + random() % 4)),
                 static_cast<int64_t>(random() % 3));
        waiting[run.id] = run;
        ASSERT_TRUE(queue.Push(run));
      } else if (dice < 8 && !waiting.empty()) {
        const int64_t top =
            std::max_element(waiting.begin(), waiting.end(), [](const auto& a, const auto& b) {
              return a.second.priority < b.second.priority;
            })->second.priority;
        const QueuedRun run = queue.Pop();
        ASSERT_EQ(waiting.erase(run.id), 1U) << "seed " << seed;
        ASSERT_EQ(run.priority, top) << "seed " << seed;
        int& before = last[{run.ns, run.priority}];
        ASSERT_GE(std::stoi(run.id), before) << "seed " << seed;
        before = std::stoi(run.id);
        if (random() % 4 == 0) {
          waiting[run.id] = run;
          queue.PushFront(run);
        }
      } else if (!waiting.empty()) {
        const auto it = std::next(waiting.begin(), static_cast<int>(random() % waiting.size()));
        ASSERT_TRUE(queue.Remove(it->first));
        waiting.erase(it);
      }
      ASSERT_EQ(queue.size(), waiting.size()) << "seed " << seed;
      for (const auto& [id, run] : waiting) {
        const auto position = queue.PositionOf(id);
        ASSERT_TRUE(position.has_value());
        ASSERT_LT(*position, static_cast<int64_t>(waiting.size()));
      }
      if (queue.Next() != nullptr) {
        ASSERT_EQ(queue.PositionOf(queue.Next()->id), 0) << "seed " << seed;
      }
    }
  }
}

TEST(PlanStarts, SlotsAndMemoryBothCount) {
  RunQueue queue;
  queue.Push(Make("big", "a", 0, 100 * kMi));
  queue.Push(Make("small1", "a", 0, 10 * kMi));
  queue.Push(Make("small2", "a", 0, 10 * kMi));
  std::vector<ExecutorRoom> rooms = {{2, 105 * kMi, 128 * kMi}};
  const Schedule schedule = PlanStarts(&queue, &rooms);
  ASSERT_EQ(schedule.starts.size(), 1U);
  EXPECT_EQ(schedule.starts[0].run.id, "big");
  EXPECT_EQ(queue.size(), 2U);  // small1 has a slot but no memory
}

TEST(PlanStarts, LargeRunIsNotStarvedBySmallOnes) {
  RunQueue queue;
  queue.Push(Make("big", "a", 0, 100 * kMi));
  for (int i = 0; i < 10; ++i) queue.Push(Make("s" + std::to_string(i), "a", 0, 10 * kMi));
  std::vector<ExecutorRoom> rooms = {{3, 50 * kMi, 128 * kMi}, {2, 64 * kMi, 64 * kMi}};
  const Schedule schedule = PlanStarts(&queue, &rooms);
  ASSERT_EQ(schedule.starts.size(), 2U);  // on the small executor only; the large one is kept
  for (const Assignment& start : schedule.starts) EXPECT_EQ(start.executor, 1U);
  EXPECT_EQ(queue.Next()->id, "big");
}

TEST(PlanStarts, TooLargeForAllDoesNotBlock) {
  RunQueue queue;
  queue.Push(Make("huge", "a", 9, 1000 * kMi));
  queue.Push(Make("small", "a", 0, kMi));
  std::vector<ExecutorRoom> rooms = {{1, 100 * kMi, 100 * kMi}};
  const Schedule schedule = PlanStarts(&queue, &rooms);
  ASSERT_EQ(schedule.too_large.size(), 1U);
  ASSERT_EQ(schedule.starts.size(), 1U);
  EXPECT_EQ(schedule.starts[0].run.id, "small");
}

TEST(PlanStarts, NoExecutorsLeaveTheQueueAlone) {
  RunQueue queue;
  queue.Push(Make("a"));
  std::vector<ExecutorRoom> rooms;
  EXPECT_TRUE(PlanStarts(&queue, &rooms).starts.empty());
  EXPECT_EQ(queue.size(), 1U);
}

// Work conservation and bounds for any queue and executors.
TEST(PlanStarts, NeverOverbooksAndNeverLoses) {
  for (uint64_t seed = 1; seed <= 500; ++seed) {
    std::mt19937_64 random(seed);
    RunQueue queue;
    const size_t count = random() % 50;
    for (size_t i = 0; i < count; ++i) {
      queue.Push(Make(std::to_string(i), std::string(1, static_cast<char>('a' + random() % 3)),
                      static_cast<int64_t>(random() % 2),
                      static_cast<int64_t>(random() % 200) * kMi));
    }
    std::vector<ExecutorRoom> rooms;
    for (size_t i = 0; i < random() % 6; ++i) {
      const auto memory = static_cast<int64_t>(random() % 256) * kMi;
      rooms.push_back({static_cast<int64_t>(random() % 4), memory / 2, memory});
    }
    const std::vector<ExecutorRoom> before = rooms;
    const Schedule schedule = PlanStarts(&queue, &rooms);
    for (const ExecutorRoom& room : rooms) {
      ASSERT_GE(room.free_slots, 0) << "seed " << seed;
      ASSERT_GE(room.free_memory_bytes, 0) << "seed " << seed;
    }
    ASSERT_EQ(queue.size() + schedule.starts.size() + schedule.too_large.size(), count)
        << "seed " << seed;
    if (schedule.starts.empty() && queue.size() > 0) {
      for (const ExecutorRoom& room : before) {
        ASSERT_FALSE(room.free_slots > 0 && room.free_memory_bytes >= queue.Next()->memory_bytes)
            << "seed " << seed << ": the next run had room";
      }
    }
  }
}

// 100,000 queued: one start costs microseconds, not a pass over the queue. The bound is a thousand
// times what it takes, so that only a change of the algorithm breaks it.
TEST(PlanStarts, HundredThousandQueued) {
  RunQueue queue;
  for (int i = 0; i < 100'000; ++i) {
    queue.Push(Make(std::to_string(i), "ns" + std::to_string(i % 1000), i % 3));
  }
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 1000; ++i) {
    std::vector<ExecutorRoom> rooms = {{1, kMi, kMi}};
    ASSERT_EQ(PlanStarts(&queue, &rooms).starts.size(), 1U);
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
}

}  // namespace
}  // namespace envicutor::op
