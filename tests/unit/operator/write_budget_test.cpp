#include "operator/controllers/write_budget.h"

#include <gtest/gtest.h>

namespace envicutor::op {
namespace {

using std::chrono::milliseconds;

constexpr SteadyTime kNow{std::chrono::hours(1)};

int TakenWithin(WriteBudget& budget, SteadyTime from, Duration time) {
  int taken = 0;
  for (SteadyTime at = from; at < from + time; at += milliseconds(1))
    taken += budget.Take(at) ? 1 : 0;
  return taken;
}

TEST(WriteBudget, ABurstAndThenARate) {
  WriteBudget budget(milliseconds(10), 5);
  int at_once = 0;
  while (budget.Take(kNow)) ++at_once;
  EXPECT_EQ(at_once, 6);
  EXPECT_EQ(TakenWithin(budget, kNow, milliseconds(1000)), 99);
}

TEST(WriteBudget, ReservedTimesAreTheCallersAlone) {
  WriteBudget budget(milliseconds(10), 0);
  EXPECT_EQ(budget.Reserve(kNow), kNow);
  EXPECT_EQ(budget.Reserve(kNow), kNow + milliseconds(10));
  EXPECT_EQ(budget.Reserve(kNow), kNow + milliseconds(20));
}

TEST(WriteBudget, ASlowServerGetsFewerOfThem) {
  WriteBudget budget(milliseconds(10), 0);
  for (int i = 0; i < 200; ++i) budget.Observe(milliseconds(100));
  const int taken = TakenWithin(budget, kNow, milliseconds(2000));
  EXPECT_GE(taken, 19);
  EXPECT_LE(taken, 21);
  for (int i = 0; i < 200; ++i) budget.Observe(milliseconds(1));
  EXPECT_GE(TakenWithin(budget, kNow + std::chrono::seconds(5), milliseconds(1000)), 99);
}

TEST(WriteBudget, OneThatHangsDoesNotSilenceTheRest) {
  WriteBudget budget(milliseconds(10), 0);
  for (int i = 0; i < 1000; ++i) budget.Observe(std::chrono::minutes(10));
  EXPECT_GE(TakenWithin(budget, kNow, std::chrono::seconds(10)), 5);
}

}  // namespace
}  // namespace envicutor::op
