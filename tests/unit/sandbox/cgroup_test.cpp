// Reading of control files, and where our part of the tree is.
#include <gtest/gtest.h>

#include "executor-agent/cgroup/delegation.h"
#include "executor-agent/cgroup/group.h"

namespace envicutor::cgroup {
namespace {

TEST(FlatKeyed, FindsTheKeyOfItsLine) {
  const std::string text = "oom 3\noom_kill 12\noom_group_kill 0\n";
  EXPECT_EQ(FlatKeyed(text, "oom"), 3);
  EXPECT_EQ(FlatKeyed(text, "oom_kill"), 12);
  EXPECT_EQ(FlatKeyed(text, "oom_group_kill"), 0);
}

TEST(FlatKeyed, IsMinusOneForWhatIsNotThere) {
  EXPECT_EQ(FlatKeyed("usage_usec 5\n", "usage"), -1);
  EXPECT_EQ(FlatKeyed("", "usage"), -1);
  EXPECT_EQ(FlatKeyed("usage max\n", "usage"), -1);
  EXPECT_EQ(FlatKeyed("usage", "usage"), -1);
}

TEST(HasWord, ComparesWholeWords) {
  EXPECT_TRUE(HasWord("cpu io memory pids\n", "memory"));
  EXPECT_TRUE(HasWord("pids\n", "pids"));
  EXPECT_FALSE(HasWord("cpuset cpu\n", "cpus"));
  EXPECT_FALSE(HasWord("\n", "cpu"));
  EXPECT_FALSE(HasWord("", "cpu"));
}

constexpr char kPure[] =
    "24 1 0:22 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";

TEST(FindPlace, OnAPureMachine) {
  const auto place = FindPlace(kPure, "0::/system.slice/agent.service\n");
  ASSERT_TRUE(place.ok());
  EXPECT_EQ(place->mount_point, "/sys/fs/cgroup");
  EXPECT_EQ(place->path, "/system.slice/agent.service");
}

TEST(FindPlace, OnAHybridMachine) {
  const auto place = FindPlace(
      "30 25 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
      "31 25 0:27 / /sys/fs/cgroup/uni\\040fied rw - cgroup2 cgroup2 rw\n",
      "4:memory:/x\n0::/\n");
  ASSERT_TRUE(place.ok());
  EXPECT_EQ(place->mount_point, "/sys/fs/cgroup/uni fied");
  EXPECT_EQ(place->path, "/");
}

TEST(FindPlace, ABindOfAPartOfTheTree) {
  const std::string mounts = "24 1 0:22 /kubepods/pod1 /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
  const auto place = FindPlace(mounts, "0::/kubepods/pod1/agent\n");
  ASSERT_TRUE(place.ok());
  EXPECT_EQ(place->path, "/agent");
  EXPECT_EQ(FindPlace(mounts, "0::/kubepods/pod1\n")->path, "/");
  EXPECT_FALSE(FindPlace(mounts, "0::/kubepods/pod10\n").ok());
}

TEST(FindPlace, NeverOutsideOfOurNamespace) {
  EXPECT_FALSE(FindPlace(kPure, "0::/../other\n").ok());
}

TEST(FindPlace, SaysWhatIsMissing) {
  EXPECT_NE(FindPlace(kPure, "1:name=systemd:/\n").status().message().find("no cgroup v2 group"),
            std::string::npos);
  EXPECT_NE(FindPlace("", "0::/\n").status().message().find("mounted"), std::string::npos);
}

}  // namespace
}  // namespace envicutor::cgroup
