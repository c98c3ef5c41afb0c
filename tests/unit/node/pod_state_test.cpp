#include "standalone/node/pod_state.h"

#include <gtest/gtest.h>

#include "common/kube/resource.h"

namespace envicutor::standalone {
namespace {

class PodStateTest : public ::testing::Test {
 protected:
  PodStateTest() {
    pod_.container = "agent";
    pod_.image = "i";
    state_.pod_started = clock_.WallNow();
  }
  Json Status(const Json& previous = Json()) {
    return MakePodStatus(pod_, state_, {"127.77.0.2", "127.0.0.1", "local"}, previous,
                         clock_.WallNow());
  }
  FakeClock clock_;
  PodSpec pod_;
  PodState state_;
};

TEST_F(PodStateTest, WaitingIsPendingWithItsReason) {
  state_.waiting_reason = "ErrImagePull";
  state_.waiting_message = "no";
  const Json status = Status();
  EXPECT_EQ(status["phase"], "Pending");
  EXPECT_EQ(status["containerStatuses"][0]["state"]["waiting"]["reason"], "ErrImagePull");
  EXPECT_EQ(status["podIP"], "127.77.0.2");
}

TEST_F(PodStateTest, ReadyOnlyWhileRunning) {
  state_.step = PodState::Step::kRunning;
  state_.ready = true;
  const Json first = Status();
  EXPECT_EQ(kube::ConditionStatus({{"status", first}}, "Ready"), "True");
  clock_.Advance(std::chrono::seconds(5));
  // Nothing changed: the same status, so that nothing is written.
  EXPECT_EQ(Status(first), first);
  state_.final_phase = "Failed";
  const Json over = Status(first);
  EXPECT_EQ(kube::ConditionStatus({{"status", over}}, "Ready"), "False");
  EXPECT_EQ(over["phase"], "Failed");
}

TEST_F(PodStateTest, ARestartedContainerShowsItsLastEnd) {
  state_.step = PodState::Step::kRunning;
  state_.restart_count = 1;
  state_.last_end = ContainerEnd{.exit_code = 137,
                                 .signal = 9,
                                 .reason = "OOMKilled",
                                 .message = "m",
                                 .started = clock_.WallNow(),
                                 .finished = clock_.WallNow(),
                                 .container_id = "c"};
  const Json container = Status()["containerStatuses"][0];
  EXPECT_EQ(container["lastState"]["terminated"]["reason"], "OOMKilled");
  EXPECT_EQ(container["lastState"]["terminated"]["exitCode"], 137);
  EXPECT_EQ(container["restartCount"], 1);
  EXPECT_TRUE(container["state"].contains("running"));
}

TEST_F(PodStateTest, SurvivesARestartOfTheNode) {
  state_.step = PodState::Step::kRunning;
  state_.restart_count = 3;
  state_.container_id = "c";
  state_.container_started = clock_.WallNow();
  const auto left = PodStateFromJson(PodStateToJson(state_, 7));
  ASSERT_TRUE(left.ok());
  EXPECT_EQ(left->second, 7);
  EXPECT_EQ(left->first.step, PodState::Step::kRunning);
  EXPECT_EQ(left->first.restart_count, 3);
  EXPECT_EQ(left->first.pod_started, state_.pod_started);
  EXPECT_FALSE(PodStateFromJson(Json::object()).ok());
}

TEST(RestartPolicyTest, AsKubernetes) {
  EXPECT_TRUE(ShouldRestart(RestartPolicy::kAlways, 0));
  EXPECT_FALSE(ShouldRestart(RestartPolicy::kOnFailure, 0));
  EXPECT_TRUE(ShouldRestart(RestartPolicy::kOnFailure, 1));
  EXPECT_FALSE(ShouldRestart(RestartPolicy::kNever, 1));
}

}  // namespace
}  // namespace envicutor::standalone
