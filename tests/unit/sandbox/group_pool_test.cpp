// Which groups the pool hands out again. Needs root and a cgroup v2 file system of any kind.
#include "executor-agent/cgroup/pool.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/inotify.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <ctime>
#include <deque>
#include <set>

#include "common/base/file.h"
#include "executor-agent/cgroup/delegation.h"

namespace envicutor::cgroup {
namespace {

constexpr int kDestroyMillis = 10'000;
constexpr int64_t kBurnMicros = 20'000;

// A child in a group. Its end is waited for.
class Child {
 public:
  explicit Child(bool burn) {
    std::array<int, 2> ends{};
    EXPECT_EQ(::pipe(ends.data()), 0);
    pid_ = ::fork();
    if (pid_ == 0) {
      char go = 0;
      ::close(ends[1]);
      if (::read(ends[0], &go, 1) != 1) ::_exit(1);
      timespec used{};
      while (burn && used.tv_nsec < kBurnMicros * 1000) {
        ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
      }
      if (!burn) ::pause();
      ::_exit(0);
    }
    ::close(ends[0]);
    go_ = UniqueFd(ends[1]);
  }
  ~Child() { End(); }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  void RunIn(const StageGroup& group) {
    EXPECT_TRUE(group.group.Write(kProcs, std::to_string(pid_)).ok());
    EXPECT_EQ(::write(go_.get(), "g", 1), 1);
  }
  int Wait() {
    int status = -1;
    EXPECT_EQ(::waitpid(pid_, &status, 0), pid_);
    pid_ = -1;
    return status;
  }
  void End() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    (void)Wait();
  }

 private:
  pid_t pid_ = -1;
  UniqueFd go_;
};

class GroupPoolTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto mounts = ReadFile("/proc/self/mountinfo");
    const auto self = ReadFile("/proc/self/cgroup");
    ASSERT_TRUE(mounts.ok() && self.ok());
    const auto place = FindPlace(*mounts, *self);
    if (!place.ok()) GTEST_SKIP() << place.status().message();
    auto base = Group::Open(place->mount_point + place->path + "/");
    if (!base.ok()) GTEST_SKIP() << base.status().message();
    base_ = std::move(*base);
    auto made = base_.MakeChild(name_);
    if (!made.ok()) GTEST_SKIP() << made.status().message();
    parent_ = std::move(*made);
    if (!parent_.Read(kCpuStat).ok()) GTEST_SKIP() << "no cpu.stat here";
  }
  void TearDown() override {
    if (base_.valid()) {
      EXPECT_TRUE(Destroy(base_, name_, kDestroyMillis).ok());
    }
  }
  void WaitForChildren(size_t most) {
    constexpr int kPatienceMillis = 30'000;
    const UniqueFd removals(::inotify_init1(IN_CLOEXEC));
    const std::string path = "/proc/self/fd/" + std::to_string(parent_.fd());
    ASSERT_GE(::inotify_add_watch(removals.get(), path.c_str(), IN_DELETE | IN_ONLYDIR), 0);
    while (parent_.Children()->size() > most) {
      pollfd wait{removals.get(), POLLIN, 0};
      ASSERT_EQ(::poll(&wait, 1, kPatienceMillis), 1) << "groups are not removed";
      std::array<char, 4096> events;
      ASSERT_GT(::read(removals.get(), events.data(), events.size()), 0);
    }
  }

  const std::string name_ = "envicutor-pool-test-" + std::to_string(::getpid());
  Group base_;
  Group parent_;
};

TEST_F(GroupPoolTest, AnEmptyGroupIsTakenAgainAndCountsFromThere) {
  GroupPool pool(parent_, 2, /*has_memory=*/false);
  auto first = pool.Take();
  ASSERT_TRUE(first.ok()) << first.status().message();
  const std::string name = first->name;
  Child child(/*burn=*/true);
  child.RunIn(*first);
  EXPECT_EQ(child.Wait(), 0);
  EXPECT_GE(first->CpuMicros(), kBurnMicros / 2);
  pool.GiveBack(std::move(*first), true);
  const auto second = pool.Take();
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(second->name, name);
  EXPECT_EQ(second->CpuMicros(), 0) << "another stage's time is not this one's";
}

TEST_F(GroupPoolTest, NoGroupThatIsNotEmpty) {
  GroupPool pool(parent_, 2, false);
  auto first = pool.Take();
  ASSERT_TRUE(first.ok());
  const std::string name = first->name;
  Child child(/*burn=*/false);
  child.RunIn(*first);
  pool.GiveBack(std::move(*first), true);
  std::set<std::string> others;
  std::deque<StageGroup> taken;
  for (int i = 0; i < 4; ++i) {
    auto other = pool.Take();
    ASSERT_TRUE(other.ok());
    EXPECT_TRUE(others.insert(other->name).second);
    taken.push_back(std::move(*other));
  }
  EXPECT_EQ(others.count(name), 0U);
  child.End();
  const auto again = pool.Take();
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->name, name) << "empty by now";
  for (StageGroup& group : taken) pool.GiveBack(std::move(group), true);
}

TEST_F(GroupPoolTest, WhatDidNotEndByItselfIsKilledAndRemoved) {
  GroupPool pool(parent_, 1, false);
  auto group = pool.Take();
  ASSERT_TRUE(group.ok());
  const std::string name = group->name;
  Child child(/*burn=*/false);
  child.RunIn(*group);
  pool.GiveBack(std::move(*group), false);
  EXPECT_TRUE(WIFSIGNALED(child.Wait()));
  const auto next = pool.Take();
  ASSERT_TRUE(next.ok());
  EXPECT_NE(next->name, name);
}

TEST_F(GroupPoolTest, WithMemoryEachIsUsedOnce) {
  GroupPool pool(parent_, 2, /*has_memory=*/true);
  std::set<std::string> names;
  for (int i = 0; i < 6; ++i) {
    auto group = pool.Take();
    ASSERT_TRUE(group.ok());
    EXPECT_TRUE(names.insert(group->name).second);
    pool.GiveBack(std::move(*group), true);
  }
}

TEST_F(GroupPoolTest, KeepsABoundedNumber) {
  constexpr size_t kReady = 2;
  GroupPool pool(parent_, kReady, false);
  std::deque<StageGroup> taken;
  for (int i = 0; i < 12; ++i) {
    auto group = pool.Take();
    ASSERT_TRUE(group.ok());
    taken.push_back(std::move(*group));
  }
  for (StageGroup& group : taken) pool.GiveBack(std::move(group), true);
  WaitForChildren(3 * kReady);
}

}  // namespace
}  // namespace envicutor::cgroup
