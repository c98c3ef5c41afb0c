#include "operator/scheduler/scheduler.h"

#include <gtest/gtest.h>
#include <time.h>

#include <algorithm>
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

TEST(RunQueue, NewWeightsCountFromTheNextStart) {
  RunQueue queue;
  for (int i = 0; i < 400; ++i) {
    queue.Push(Make("h" + std::to_string(i), "heavy"));
    queue.Push(Make("l" + std::to_string(i), "light"));
  }
  for (int i = 0; i < 100; ++i) queue.Pop();
  queue.SetWeights({{"heavy", 3}});
  std::map<std::string, int> served;
  for (int i = 0; i < 200; ++i) ++served[queue.Pop().ns];
  EXPECT_NEAR(served["heavy"], 150, 2);
}

TEST(RunQueue, AFullNamespaceIsGonePastUntilItIsReleased) {
  const auto in_flight = std::make_shared<InFlight>();
  in_flight->SetLimits({2, {{"free", 0}}});
  RunQueue queue({}, in_flight);
  for (int i = 0; i < 4; ++i) queue.Push(Make("a" + std::to_string(i), "a", 1));
  for (int i = 0; i < 4; ++i) queue.Push(Make("f" + std::to_string(i), "free"));
  EXPECT_EQ(Drain(queue), (std::vector<std::string>{"a0", "a1", "f0", "f1", "f2", "f3"}));
  EXPECT_EQ(queue.size(), 2U);
  EXPECT_FALSE(in_flight->End("free"));
  EXPECT_TRUE(in_flight->End("a"));
  EXPECT_FALSE(in_flight->End("a"));  // it had room already
  in_flight->Start("a");
  EXPECT_TRUE(queue.Release("a"));
  EXPECT_FALSE(queue.Release("a"));
  EXPECT_EQ(Drain(queue), (std::vector<std::string>{"a2"}));
  in_flight->SetLimits({});
  queue.ReleaseAll();
  EXPECT_EQ(Drain(queue), (std::vector<std::string>{"a3"}));
}

TEST(RunQueue, AHeldRunCanBeRemoved) {
  const auto in_flight = std::make_shared<InFlight>();
  in_flight->SetLimits({1, {}});
  RunQueue queue({}, in_flight);
  for (const char* id : {"1", "2"}) queue.Push(Make(id));
  queue.Pop();
  EXPECT_EQ(queue.Next(), nullptr);
  EXPECT_TRUE(queue.Remove("2"));
  queue.Push(Make("3"));
  EXPECT_EQ(queue.Next(), nullptr);
  EXPECT_TRUE(in_flight->End("a"));
  EXPECT_TRUE(queue.Release("a"));
  EXPECT_EQ(queue.Pop().id, "3");
}

// Whatever the limits and the order of starts and ends: never more in flight than a namespace may,
// and nothing waits while its namespace and an executor have room.
TEST(PlanStarts, LimitsInFlightHoldAndStarveNobody) {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    std::mt19937_64 random(seed);
    const auto in_flight = std::make_shared<InFlight>();
    InFlightLimits limits{static_cast<int64_t>(random() % 4), {{"b", 1}}};
    in_flight->SetLimits(limits);
    RunQueue queue({{"a", 2}}, in_flight);
    std::vector<QueuedRun> running;
    size_t pushed = 0;
    for (int step = 0; step < 200; ++step) {
      if (random() % 2 == 0) {
        queue.Push(Make(std::to_string(pushed++),
                        std::string(1, static_cast<char>('a' + random() % 3)),
                        static_cast<int64_t>(random() % 2)));
      }
      if (!running.empty() && random() % 3 == 0) {
        const size_t at = random() % running.size();
        if (in_flight->End(running[at].ns)) queue.Release(running[at].ns);
        running.erase(running.begin() + static_cast<std::ptrdiff_t>(at));
      }
      const auto slots = static_cast<int64_t>(6 - running.size());
      std::vector<ExecutorRoom> rooms = {{slots, 100 * kMi, 100 * kMi}};
      for (Assignment& start : PlanStarts(&queue, &rooms).starts) {
        running.push_back(std::move(start.run));
      }
      std::map<std::string, int64_t> counts;
      for (const QueuedRun& run : running) ++counts[run.ns];
      for (const auto& [ns, count] : counts) {
        ASSERT_EQ(in_flight->CountOf(ns), count) << "seed " << seed;
        if (in_flight->LimitOf(ns) > 0) {
          ASSERT_LE(count, in_flight->LimitOf(ns)) << "seed " << seed;
        }
      }
      if (running.size() < 6) {
        ASSERT_EQ(queue.Next(), nullptr) << "seed " << seed;
      }
      for (const char* ns : {"a", "b", "c"}) {
        if (running.size() < 6 && queue.CountOf(ns) > 0) {
          ASSERT_TRUE(in_flight->Full(ns)) << "seed " << seed << ": " << ns << " waits with room";
        }
      }
    }
  }
}

// Shares follow the weights, whatever else is in the queue; no namespace waits for more than a
// round.
TEST(PlanStarts, SharesFollowTheWeights) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    std::mt19937_64 random(seed);
    std::map<std::string, double> weights;
    const size_t count = 2 + random() % 6;
    double sum = 0;
    for (size_t i = 0; i < count; ++i) {
      sum += weights["n" + std::to_string(i)] = static_cast<double>(1 + random() % 8);
    }
    RunQueue queue(weights);
    for (const auto& [ns, weight] : weights) {
      for (int i = 0; i < 1000; ++i) queue.Push(Make(ns + "-" + std::to_string(i), ns));
    }
    std::map<std::string, int> served;
    constexpr int kStarts = 500;
    for (int i = 0; i < kStarts; ++i) ++served[queue.Pop().ns];
    for (const auto& [ns, weight] : weights) {
      ASSERT_NEAR(served[ns], kStarts * weight / sum, 2) << "seed " << seed << " " << ns;
    }
  }
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

// CPU time of this thread for 1,000 starts with so many queued: the least of three.
double StartsCost(int queued) {
  double least = 1e9;
  for (int repeat = 0; repeat < 3; ++repeat) {
    RunQueue queue;
    for (int i = 0; i < queued; ++i) {
      queue.Push(Make(std::to_string(i), "ns" + std::to_string(i % 1000), i % 3));
    }
    const auto cpu = [] {
      timespec time{};
      ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
      return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
    };
    const double before = cpu();
    for (int i = 0; i < 1000; ++i) {
      std::vector<ExecutorRoom> rooms = {{1, kMi, kMi}};
      EXPECT_EQ(PlanStarts(&queue, &rooms).starts.size(), 1U);
    }
    least = std::min(least, cpu() - before);
  }
  return least;
}

// A start does not look at the whole queue: a pass over it would cost fifty times as much.
TEST(PlanStarts, HundredThousandQueuedCostWhatTwoThousandDo) {
  const double small = StartsCost(2'000);
  const double large = StartsCost(100'000);
  EXPECT_LT(large, 15 * small) << large / small << " times";
}

}  // namespace
}  // namespace envicutor::op
