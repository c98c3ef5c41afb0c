#include "operator/pools/pool_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/kube/resource.h"
#include "operator/pools/executor_pod.h"
#include "tests/unit/operator/submissions.h"

namespace envicutor::op {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class PoolPlanTest : public ::testing::Test {
 protected:
  PoolPlanTest() {
    spec_.name = "p";
    spec_.min_replicas = 1;
    spec_.max_replicas = 4;
    spec_.slots_per_executor = 2;
    spec_.idle = std::chrono::seconds(60);
    spec_.template_hash = "t1";
  }
  // One round; what is created appears, what is removed goes.
  PoolPlan Round() {
    const PoolPlan plan = PlanPool(spec_, pods_, load_, now_, &state_);
    for (const std::string& name : plan.create) AddPod(name);
    for (const std::string& name : plan.remove)
      std::erase_if(pods_, [&](auto& p) { return p.name == name; });
    return plan;
  }
  void AddPod(const std::string& name) {
    PoolPod pod;
    pod.name = name;
    pod.template_hash = spec_.template_hash;
    pod.ready = true;
    pods_.push_back(pod);
  }
  void Load(int64_t queued, std::vector<std::pair<std::string, int64_t>> busy) {
    load_ = {};
    load_.queued = queued;
    for (const auto& [pod, count] : busy) {
      load_.agents.push_back({pod, true, false, 2, count});
      load_.busy += count;
      load_.slots += 2;
    }
  }

  PoolSpec spec_;
  std::vector<PoolPod> pods_;
  PoolLoad load_;
  PoolState state_;
  SteadyTime now_ = SteadyTime(std::chrono::hours(1));
};

TEST_F(PoolPlanTest, MinimumIsCreatedOnceThoughTheCacheIsBehind) {
  spec_.min_replicas = 2;
  EXPECT_THAT(PlanPool(spec_, {}, load_, now_, &state_).create,
              ElementsAre("executor-p-0", "executor-p-1"));
  EXPECT_THAT(PlanPool(spec_, {}, load_, now_, &state_).create, IsEmpty());
  // A pod that never showed up is made again in the end.
  now_ += std::chrono::seconds(31);
  EXPECT_THAT(PlanPool(spec_, {}, load_, now_, &state_).create,
              ElementsAre("executor-p-0", "executor-p-1"));
}

TEST_F(PoolPlanTest, GrowsWithTheQueueAtOnceUpToTheMaximum) {
  Round();
  Load(3, {{"executor-p-0", 2}});
  EXPECT_THAT(Round().create, ElementsAre("executor-p-1", "executor-p-2"));
  Load(100, {{"executor-p-0", 2}, {"executor-p-1", 2}, {"executor-p-2", 2}});
  EXPECT_THAT(Round().create, ElementsAre("executor-p-3"));
  EXPECT_THAT(Round().create, IsEmpty());
}

TEST_F(PoolPlanTest, ShrinksAfterIdleSecondsDrainingFirst) {
  for (const char* name : {"executor-p-0", "executor-p-1", "executor-p-2"}) AddPod(name);
  Load(0, {{"executor-p-0", 0}, {"executor-p-1", 0}, {"executor-p-2", 1}});
  EXPECT_THAT(Round().drain, IsEmpty());
  now_ += std::chrono::seconds(61);
  PoolPlan plan = Round();
  EXPECT_THAT(plan.drain, ElementsAre("executor-p-1", "executor-p-0"));  // 2 is busy
  EXPECT_THAT(plan.remove, IsEmpty());
  // A run had been on its way: it is waited for.
  Load(0, {{"executor-p-0", 0}, {"executor-p-1", 1}, {"executor-p-2", 1}});
  EXPECT_THAT(Round().remove, ElementsAre("executor-p-0"));
  Load(0, {{"executor-p-1", 0}, {"executor-p-2", 1}});
  EXPECT_THAT(Round().remove, ElementsAre("executor-p-1"));
  EXPECT_THAT(Round().create, IsEmpty());
}

TEST_F(PoolPlanTest, LoweredMaximumNeedsNoIdleness) {
  for (int i = 0; i < 4; ++i) AddPod("executor-p-" + std::to_string(i));
  Load(0, {{"executor-p-0", 2}, {"executor-p-1", 2}, {"executor-p-2", 2}, {"executor-p-3", 2}});
  spec_.max_replicas = 2;
  EXPECT_THAT(Round().drain, ElementsAre("executor-p-3", "executor-p-2"));
}

TEST_F(PoolPlanTest, EndedPodsAreReplacedWithBackoff) {
  Round();
  Duration last{};
  for (int i = 0; i < 5; ++i) {
    pods_[0].ended = true;
    pods_[0].ready = false;
    PoolPlan plan = PlanPool(spec_, pods_, load_, now_, &state_);
    EXPECT_EQ(plan.remove.size(), 1U);
    EXPECT_THAT(plan.create, IsEmpty());
    ASSERT_TRUE(plan.again.has_value());
    const Duration wait = *plan.again - now_;
    EXPECT_GE(wait, last);
    last = wait;
    pods_.clear();
    now_ = *plan.again;
    EXPECT_EQ(PlanPool(spec_, pods_, load_, now_, &state_).create.size(), 1U);
    PoolPod pod;
    pod.name = "executor-p-0";
    pod.template_hash = "t1";
    pods_.push_back(pod);
    (void)PlanPool(spec_, pods_, load_, now_, &state_);
  }
  EXPECT_EQ(last, std::chrono::seconds(16));
}

// As a kubelet says it of the same pod: what people see, in condition and event, names the cause.
TEST_F(PoolPlanTest, EachTroubleIsNamed) {
  const auto trouble = [](Json status) {
    return PoolPodFromJson(
               {{"metadata", {{"name", "executor-p-0"}}}, {"status", std::move(status)}})
        .trouble;
  };
  EXPECT_EQ(
      trouble(
          {{"phase", "Pending"},
           {"containerStatuses",
            {{{"name", "agent"},
              {"state", {{"waiting", {{"reason", "ErrImagePull"}, {"message", "not found"}}}}}}}}}),
      "ErrImagePull: not found");
  EXPECT_EQ(
      trouble(
          {{"phase", "Running"},
           {"containerStatuses",
            {{{"name", "agent"},
              {"ready", false},
              {"state", {{"running", Json::object()}}},
              {"lastState", {{"terminated", {{"reason", "OOMKilled"}, {"exitCode", 137}}}}}}}}}),
      "the agent ended (OOMKilled, exit code 137) and is started again");
  EXPECT_EQ(trouble({{"phase", "Pending"},
                     {"conditions",
                      {{{"type", "PodScheduled"},
                        {"status", "False"},
                        {"reason", "Unschedulable"},
                        {"message", "0/3 nodes are available"}}}}}),
            "Unschedulable: 0/3 nodes are available");
  EXPECT_EQ(trouble({{"phase", "Failed"}, {"reason", "Evicted"}, {"message", "disk pressure"}}),
            "Evicted: disk pressure");
}

TEST_F(PoolPlanTest, AnEvictedPodIsLostAndReplaced) {
  Round();
  pods_[0].ended = true;
  pods_[0].trouble = "Evicted: disk pressure";
  const PoolPlan plan = PlanPool(spec_, pods_, load_, now_, &state_);
  EXPECT_THAT(plan.remove, ElementsAre("executor-p-0"));
  EXPECT_EQ(plan.lost.at("executor-p-0"), "it ended: Evicted: disk pressure");
  EXPECT_TRUE(PlanPool(spec_, pods_, load_, now_, &state_).lost.empty());  // said once
}

TEST_F(PoolPlanTest, AnExecutorWhoseNodeIsGoneIsReplaced) {
  Round();
  Load(0, {{"executor-p-0", 1}});
  EXPECT_THAT(Round().create, IsEmpty());
  load_.agents[0].ready = false;  // its node is gone; the API server says Running for minutes
  EXPECT_THAT(Round().remove, IsEmpty());
  now_ += std::chrono::seconds(29);
  EXPECT_THAT(Round().remove, IsEmpty());
  const Json pool = {{"metadata", {{"name", "p"}}}};
  EXPECT_THAT(
      PoolStatus(pool, spec_, pods_, load_, FakeClock().WallNow())["conditions"][0]["message"]
          .get<std::string>(),
      HasSubstr("executor-p-0 does not answer"));
  now_ += std::chrono::seconds(1);
  const PoolPlan plan = Round();
  EXPECT_THAT(plan.remove, ElementsAre("executor-p-0"));
  EXPECT_THAT(plan.lost.at("executor-p-0"), HasSubstr("has not answered"));
  load_.agents.clear();
  now_ += std::chrono::seconds(1);
  EXPECT_THAT(Round().create, ElementsAre("executor-p-0"));
}

TEST_F(PoolPlanTest, ABlinkOfSilenceReplacesNothing) {
  Round();
  Load(0, {{"executor-p-0", 1}});
  for (int i = 0; i < 5; ++i) {
    load_.agents[0].ready = false;
    Round();
    now_ += std::chrono::seconds(20);
    load_.agents[0].ready = true;
    EXPECT_THAT(Round().remove, IsEmpty());
  }
}

TEST_F(PoolPlanTest, PodsOfAnOldTemplateAreReplacedWhenTheyAreIdle) {
  AddPod("executor-p-0");
  spec_.template_hash = "t2";
  Load(0, {{"executor-p-0", 1}});
  PoolPlan plan = Round();
  EXPECT_THAT(plan.drain, ElementsAre("executor-p-0"));
  EXPECT_THAT(plan.remove, IsEmpty());
  EXPECT_THAT(plan.create, ElementsAre("executor-p-1"));
  Load(0, {{"executor-p-0", 0}, {"executor-p-1", 0}});
  EXPECT_THAT(Round().remove, ElementsAre("executor-p-0"));
}

TEST_F(PoolPlanTest, StatusSaysWhyItIsNotReady) {
  Json pool = {{"metadata", {{"name", "p"}, {"generation", 3}}}};
  PoolPod pod;
  pod.name = "executor-p-0";
  pod.trouble = "ErrImagePull: no such image";
  const Json status = PoolStatus(pool, spec_, {pod}, load_, FakeClock().WallNow());
  EXPECT_EQ(status["replicas"], 1);
  EXPECT_EQ(status["readyReplicas"], 0);
  EXPECT_EQ(status["observedGeneration"], 3);
  EXPECT_EQ(status["conditions"][0]["status"], "False");
  EXPECT_THAT(status["conditions"][0]["message"].get<std::string>(),
              HasSubstr("executor-p-0: ErrImagePull: no such image"));
}

TEST(ExecutorPod, IsTheOneOfTheArchitecture) {
  const Json pool = {{"metadata", {{"name", "default"}}},
                     {"spec",
                      {{"slotsPerExecutor", 3},
                       {"sandbox", "isolate"},
                       {"template",
                        {{"nodeSelector", {{"disk", "ssd"}}},
                         {"resources", {{"limits", {{"memory", "1Gi"}, {"cpu", "3"}}}}}}}}}};
  Options options = testing::TestOptions();
  options.executor.allow_degraded = true;
  const Json pod = ExecutorPod(pool, PoolSpecFromJson(pool), "executor-default-0", options);
  EXPECT_EQ(kube::NamespaceOf(pod), "envicutor-executors");
  EXPECT_EQ(pod["metadata"]["labels"]["envicutor.io/pool"], "default");
  const Json& container = pod["spec"]["containers"][0];
  EXPECT_EQ(container["name"], "agent");
  EXPECT_EQ(container["command"], Json::array({"envicutor-executor-agent"}));
  const std::vector<std::string> args = container["args"];
  EXPECT_THAT(args, ::testing::IsSupersetOf({std::string("$(POD_IP):8443"), std::string("isolate"),
                                             std::string("--allow-degraded"), std::string("3"),
                                             std::to_string((1024 - 128) << 20)}));
  EXPECT_EQ(container["env"].size(), 3U);
  EXPECT_EQ(container["env"][0]["valueFrom"]["fieldRef"]["fieldPath"], "status.podIP");
  EXPECT_EQ(container["resources"]["limits"]["memory"], "1Gi");
  EXPECT_EQ(container["resources"]["limits"]["cpu"], "3");
  EXPECT_EQ(container["securityContext"]["privileged"], true);
  EXPECT_EQ(container["readinessProbe"]["httpGet"]["path"], "/readyz");
  EXPECT_EQ(pod["spec"]["nodeSelector"]["disk"], "ssd");
  EXPECT_EQ(pod["spec"]["volumes"].size(), 3U);
  EXPECT_EQ(pod["spec"]["volumes"][2]["secret"]["secretName"], "envicutor-executor-tls");
  EXPECT_EQ(pod["spec"]["volumes"][0]["hostPath"]["path"], "/var/lib/envicutor/store");
}

TEST(ExecutorPod, ItsHashIsOfAllThatItIsMadeFrom) {
  Json pool = {{"metadata", {{"name", "default"}}}, {"spec", {{"slotsPerExecutor", 2}}}};
  Options options = testing::TestOptions();
  const auto hash = [&] { return TemplateHash(pool, PoolSpecFromJson(pool), options); };
  const std::string before = hash();
  pool["spec"]["minReplicas"] = 5;  // kubectl scale replaces nothing
  EXPECT_EQ(hash(), before);
  options.executor.image = "envicutor/executor-agent:next";
  const std::string upgraded = hash();
  EXPECT_NE(upgraded, before);
  pool["spec"]["template"] = {{"tolerations", {{{"operator", "Exists"}}}}};
  EXPECT_NE(hash(), upgraded);
}

}  // namespace
}  // namespace envicutor::op
