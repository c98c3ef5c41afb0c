// Small parts of the node: placing pods, logs, probes, plans, memory of a machine.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdlib>
#include <filesystem>

#include "common/base/file.h"
#include "common/base/unique_fd.h"
#include "standalone/node/binder.h"
#include "standalone/node/host.h"
#include "standalone/node/log_file.h"
#include "standalone/node/node_context.h"
#include "standalone/node/plan.h"
#include "standalone/node/probe.h"

namespace envicutor::standalone {
namespace {

using ::testing::HasSubstr;

Json PodOf(const std::string& memory, const std::string& node = "", const Json& selector = {}) {
  Json pod = {
      {"metadata", {{"name", "p"}, {"labels", {{"app.kubernetes.io/component", "executor"}}}}},
      {"spec",
       {{"containers", Json::array({{{"resources", {{"limits", {{"memory", memory}}}}}}})}}}};
  if (!node.empty()) pod["spec"]["nodeName"] = node;
  if (!selector.is_null()) pod["spec"]["nodeSelector"] = selector;
  return pod;
}

TEST(BinderTest, TakesOnlyOurKindsOfPods) {
  Json pod = PodOf("1Gi");
  EXPECT_TRUE(WantsPlacement(pod));
  EXPECT_FALSE(WantsPlacement(PodOf("1Gi", "local")));
  pod["metadata"]["labels"]["app.kubernetes.io/component"] = "web";
  EXPECT_FALSE(WantsPlacement(pod));
  Json leaving = PodOf("1Gi");
  leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z";
  EXPECT_FALSE(WantsPlacement(leaving));
}

TEST(BinderTest, FitsByMemorySelectorAndCount) {
  NodeCapacity capacity{
      .memory_bytes = 4LL << 30, .cpu_millis = 2000, .pods = 2, .labels = {{"zone", "a"}}};
  const Json bound = PodOf("3Gi", "local");
  EXPECT_TRUE(Place(PodOf("1Gi"), {&bound}, capacity).fits);
  EXPECT_THAT(Place(PodOf("2Gi"), {&bound}, capacity).message, HasSubstr("Insufficient memory"));
  EXPECT_TRUE(Place(PodOf("1Gi", "", {{"zone", "a"}}), {}, capacity).fits);
  EXPECT_THAT(Place(PodOf("1Gi", "", {{"zone", "b"}}), {}, capacity).message,
              HasSubstr("selector"));
  const Json small = PodOf("1Mi", "local");
  EXPECT_THAT(Place(PodOf("1Mi"), {&small, &small}, capacity).message, HasSubstr("Too many pods"));
}

class LogTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "/envicutor-log-XXXXXX";
    dir_ = ::mkdtemp(pattern.data());
    path_ = dir_ + "/c.log";
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }
  FakeClock clock_;
  std::string dir_;
  std::string path_;
};

TEST_F(LogTest, TailSinceAndTimestamps) {
  LogWriter log(path_, clock_, true);
  log.Write("one\ntw");
  clock_.Advance(std::chrono::seconds(10));
  log.Write("o\nthree\nhalf");
  EXPECT_EQ(*ReadLog(path_, {}), "one\ntwo\nthree\n");
  EXPECT_EQ(*ReadLog(path_, {.tail_lines = 1, .since = {}, .limit_bytes = {}}), "three\n");
  EXPECT_EQ(*ReadLog(path_, {.tail_lines = 0, .since = {}, .limit_bytes = {}}), "");
  EXPECT_EQ(*ReadLog(path_, {.tail_lines = {}, .since = clock_.WallNow(), .limit_bytes = {}}),
            "two\nthree\n");
  EXPECT_THAT(
      *ReadLog(path_, {.tail_lines = 1, .since = {}, .limit_bytes = {}, .timestamps = true}),
      HasSubstr("2026-01-01T00:00:10.000000000Z three"));
  log.Flush();
  EXPECT_THAT(*ReadLog(path_, {}), HasSubstr("half\n"));
}

TEST_F(LogTest, IsBoundedAndFollowedOverRotation) {
  LogWriter log(path_, clock_, false, 1000);
  LogFollower follower(path_, true);
  follower.SeekToEnd();
  size_t followed = 0;
  for (int i = 0; i < 100; ++i) {
    log.Write(std::string(49, 'x') + "\n");
    followed += follower.Next().size();
  }
  EXPECT_EQ(followed, 5000U);
  EXPECT_LE(std::filesystem::file_size(path_), 1000U);
  EXPECT_LE(std::filesystem::file_size(path_ + ".1"), 1000U);
}

TEST_F(LogTest, ManyLinesAtOnceRotateWhereTheyMust) {
  LogWriter log(path_, clock_, false, 1000);
  std::string lines;
  for (int i = 100; i < 130; ++i) lines += std::to_string(i) + std::string(46, 'x') + "\n";
  log.Write(lines);  // 30 lines of 50 bytes: the 21st begins the second file
  EXPECT_EQ(std::filesystem::file_size(path_ + ".1"), 1000U);
  EXPECT_EQ(*ReadLog(path_, {}), lines);
  log.Write(std::string(2000, 'y') + "\nz\n");  // longer than a file: whole all the same
  EXPECT_EQ(*ReadLog(path_, {.tail_lines = 2, .since = {}, .limit_bytes = {}}),
            std::string(2000, 'y') + "\nz\n");
}

TEST(ProbeTest, ThresholdsDecide) {
  FakeClock clock;
  ProbeSpec spec;
  spec.failure_threshold = 2;
  spec.initial_delay = std::chrono::seconds(3);
  ProbeTracker probe(spec, false, clock.Now());
  EXPECT_EQ(probe.due(), clock.Now() + std::chrono::seconds(3));
  EXPECT_TRUE(probe.Record(true, clock.Now()));
  EXPECT_TRUE(probe.Record(false, clock.Now()));
  EXPECT_FALSE(probe.Record(false, clock.Now()));
  EXPECT_TRUE(probe.Record(true, clock.Now()));
}

TEST(PlanTest, SurvivesItsJson) {
  LaunchPlan plan;
  plan.root_dir = "/r";
  plan.argv = {"a", "b c"};
  plan.env = {"X=1"};
  plan.mounts = {{.source = "/s", .target = "/t", .read_only = true}};
  plan.privileged = true;
  plan.machine = MachinePlan{
      .memory_bytes = 5, .group_memory_bytes = 4, .host_address = "h", .guest_address = "g"};
  const auto read = LaunchPlanFromJson(LaunchPlanToJson(plan));
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(LaunchPlanToJson(*read), LaunchPlanToJson(plan));
  EXPECT_FALSE(LaunchPlanFromJson("{}").ok());
  EXPECT_FALSE(LaunchPlanFromJson(R"({"argv":[1]})").ok());
}

TEST(HostTest, AMachineIsLargerThanItsPod) {
  EXPECT_GT(MachineMemoryBytes(1LL << 30), (1LL << 30) + (64LL << 20));
  EXPECT_GT(MachineMemoryBytes(0), 1LL << 30);
  EXPECT_FALSE(DecideMode("cloud").ok());
}

TEST(AddressPoolTest, KeepsWhatAPodHadIfItIsFree) {
  AddressPool pool;
  EXPECT_EQ(pool.Take(9), 9);
  EXPECT_EQ(pool.Take(9), 2);
  pool.Give(9);
  EXPECT_EQ(pool.Take(9), 9);
  EXPECT_EQ(AddressPool::Address(2), "127.77.0.2");
}

TEST(AddressPoolTest, TakesTheFirstThatIsUsable) {
  AddressPool pool;
  const auto from_five = [](int index) { return index >= 5; };
  EXPECT_EQ(pool.Take(0, from_five), 5);
  EXPECT_EQ(pool.Take(0, from_five), 6);
  EXPECT_EQ(pool.Take(), 2);  // what was not usable for one is not taken
  EXPECT_EQ(pool.Take(0, [](int) { return false; }), std::nullopt);
}

TEST(PortsTest, AListenersPortIsNotFreeOnItsAddressOnly) {
  const UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  ::inet_pton(AF_INET, "127.77.9.8", &address.sin_addr);
  socklen_t length = sizeof(address);
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), length), 0);
  ASSERT_EQ(::listen(listener.get(), 1), 0);
  ::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &length);
  const int port = ntohs(address.sin_port);
  const Status taken = CheckPortsFree("127.77.9.8", {port});
  EXPECT_EQ(taken.code(), Code::kUnavailable);
  EXPECT_THAT(taken.message(), HasSubstr("port " + std::to_string(port) + " of 127.77.9.8"));
  EXPECT_TRUE(CheckPortsFree("127.77.9.7", {port}).ok());
  EXPECT_TRUE(CheckPortsFree("127.77.9.8", {}).ok());
  EXPECT_EQ(CheckPortsFree("nowhere", {port}).code(), Code::kInvalidArgument);
}

}  // namespace
}  // namespace envicutor::standalone
