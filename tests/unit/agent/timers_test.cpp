#include "executor-agent/server/timers.h"

#include <gtest/gtest.h>

#include <future>
#include <vector>

namespace envicutor::agent {
namespace {

TEST(Timers, RunInTheOrderOfTheirTimes) {
  SystemClock clock;
  Timers timers(clock);
  std::promise<void> done;
  std::vector<int> order;  // on the timers' thread only, read after `done`
  const SteadyTime now = clock.Now();
  static_cast<void>(timers.At(now + std::chrono::milliseconds(20), [&] {
    order.push_back(3);
    done.set_value();
  }));
  static_cast<void>(timers.At(now + std::chrono::milliseconds(10), [&] { order.push_back(2); }));
  static_cast<void>(timers.At(now - std::chrono::hours(1), [&] { order.push_back(1); }));
  done.get_future().get();
  EXPECT_EQ(order, (std::vector<int>{1, 2, 3}));
}

TEST(Timers, ACancelledOneDoesNotRun) {
  SystemClock clock;
  Timers timers(clock);
  std::promise<void> done;
  bool ran = false;
  const Timers::Id id = timers.At(clock.Now() + std::chrono::milliseconds(10), [&] { ran = true; });
  timers.Cancel(id);
  timers.Cancel(0);
  timers.Cancel(id);
  static_cast<void>(
      timers.At(clock.Now() + std::chrono::milliseconds(12), [&] { done.set_value(); }));
  done.get_future().get();
  EXPECT_FALSE(ran);
}

TEST(Timers, StopWaitsForNobodyInTheQueue) {
  SystemClock clock;
  auto held = std::make_shared<int>(1);
  {
    Timers timers(clock);
    static_cast<void>(timers.At(clock.Now() + std::chrono::hours(1), [held] {}));
    timers.Stop();
    timers.Stop();
  }
  EXPECT_EQ(held.use_count(), 1);
}

}  // namespace
}  // namespace envicutor::agent
