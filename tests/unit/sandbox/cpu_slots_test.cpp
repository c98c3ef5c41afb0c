#include "executor-agent/sandbox/cpu_slots.h"

#include <gtest/gtest.h>

#include <set>

namespace envicutor::agent {
namespace {

TEST(CpuSlots, PinsWhereTheCpusAreOurOwn) {
  // The whole machine, a CPU a slot.
  EXPECT_TRUE(ShouldPin(PinCpus::kAuto, 8, 8, 8));
  // A cpuset: some of the machine's CPUs, given to us.
  EXPECT_TRUE(ShouldPin(PinCpus::kAuto, 3, 4, 8));
  // All CPUs for a few slots: another agent may do the same.
  EXPECT_FALSE(ShouldPin(PinCpus::kAuto, 3, 8, 8));
  EXPECT_TRUE(ShouldPin(PinCpus::kOn, 3, 8, 8));
  EXPECT_FALSE(ShouldPin(PinCpus::kOff, 8, 8, 8));
}

TEST(CpuSlots, NeverPinsTwoSlotsToOneCpu) {
  EXPECT_FALSE(ShouldPin(PinCpus::kOn, 5, 4, 8));
  EXPECT_FALSE(ShouldPin(PinCpus::kAuto, 9, 8, 8));
}

TEST(CpuSlots, EachHasACpuOfItsOwn) {
  CpuSlots slots(PinCpus::kOn, 1);
  ASSERT_TRUE(slots.pins());
  std::set<int> seen;
  int cpu = slots.Take();
  while (cpu >= 0) {
    EXPECT_TRUE(seen.insert(cpu).second);
    cpu = slots.Take();
  }
  slots.GiveBack(-1);
  EXPECT_EQ(slots.Take(), -1);
  slots.GiveBack(*seen.begin());
  EXPECT_EQ(slots.Take(), *seen.begin());
}

TEST(CpuSlots, WithoutPinningThereIsNone) {
  CpuSlots slots(PinCpus::kOff, 1);
  EXPECT_FALSE(slots.pins());
  EXPECT_EQ(slots.Take(), -1);
}

}  // namespace
}  // namespace envicutor::agent
