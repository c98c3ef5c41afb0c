// The node against the embedded API server: pods from creation to removal, on the host.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/unit/cli/node_pods.h"

namespace envicutor::standalone {
namespace {

TEST_F(NodePodsTest, RunsAPodToItsEndWithExitCodeMessageAndLog) {
  Create("once", "echo out; echo err >&2; printf done > /dev/termination-log; exit 3", "Never");
  const Json pod = WaitForPhase("once", "Failed");
  EXPECT_EQ(pod["spec"]["nodeName"], "local");
  EXPECT_EQ(Terminated(pod)["exitCode"], 3);
  EXPECT_EQ(Terminated(pod)["message"], "done");
  const auto log = client_->GetRaw("/api/v1/namespaces/" + std::string(kNs) + "/pods/once/log");
  ASSERT_TRUE(log.ok()) << log.status().ToString();
  EXPECT_THAT(*log, ::testing::AllOf(::testing::HasSubstr("out\n"), ::testing::HasSubstr("err\n")));
}

TEST_F(NodePodsTest, DeletionTerminatesThenRemoves) {
  Create("long", "trap 'exit 0' TERM; while :; do sleep 0.02; done", "Always");
  WaitForPhase("long", "Running");
  ASSERT_TRUE(client_->Delete(kube::kPods, kNs, "long").ok());
  WaitFor("long", [](const Json& pod) { return pod.is_null(); });
  EXPECT_TRUE(std::filesystem::is_empty(dir_ + "/data/node/pods"));
}

TEST_F(NodePodsTest, RestartsByPolicyAndCounts) {
  Create("again", "exit 1", "OnFailure");
  const Json pod = WaitFor("again", [](const Json& object) {
    const Json& statuses = At(object, {"status", "containerStatuses"});
    return statuses.is_array() && !statuses.empty() && GetInt(statuses[0], "restartCount") >= 2;
  });
  EXPECT_EQ(pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"], 1);
}

TEST_F(NodePodsTest, VolumesEnvironmentAndReadiness) {
  ASSERT_TRUE(client_
                  ->Create(kube::kConfigMaps, kNs,
                           {{"apiVersion", "v1"},
                            {"kind", "ConfigMap"},
                            {"metadata", {{"name", "c"}, {"namespace", kNs}}},
                            {"data", {{"key", "from the map"}}}})
                  .ok());
  Create("volumes", "cat /config/key; echo \" $WHO\"; echo x > /state/y", "Never",
         {{"container",
           {{"volumeMounts", Json::array({{{"name", "config"}, {"mountPath", "/config"}},
                                          {{"name", "state"}, {"mountPath", "/state"}}})},
            {"env",
             Json::array({{{"name", "WHO"},
                           {"valueFrom", {{"fieldRef", {{"fieldPath", "metadata.name"}}}}}}})}}},
          {"spec",
           {{"volumes", Json::array({{{"name", "config"}, {"configMap", {{"name", "c"}}}},
                                     {{"name", "state"}, {"emptyDir", Json::object()}}})}}}});
  const Json pod = WaitForPhase("volumes", "Succeeded");
  const auto log = client_->GetRaw("/api/v1/namespaces/" + std::string(kNs) + "/pods/volumes/log");
  ASSERT_TRUE(log.ok());
  EXPECT_EQ(*log, "from the map volumes\n");
}

TEST_F(NodePodsTest, AnUnknownProgramIsAnImageThatCannotBePulled) {
  Create("foreign", "", "Always", {{"container", {{"command", {"nginx"}}}}});
  const Json pod = WaitFor("foreign", [](const Json& object) {
    const Json& statuses = At(object, {"status", "containerStatuses"});
    return statuses.is_array() && !statuses.empty() &&
           GetString(At(statuses[0], {"state", "waiting"}), "reason") == "ErrImagePull";
  });
  EXPECT_EQ(pod["status"]["phase"], "Pending");
}

TEST_F(NodePodsTest, TheDeadlineEndsAPod) {
  Create("late", "sleep 1000", "Always", {{"spec", {{"activeDeadlineSeconds", 1}}}});
  const Json pod = WaitForPhase("late", "Failed");
  EXPECT_EQ(pod["status"]["reason"], "DeadlineExceeded");
}

TEST_F(NodePodsTest, ANewNodeProcessTakesUpThePodsOfTheOldOne) {
  Create("kept", "trap 'exit 0' TERM; while :; do sleep 0.02; done", "Always");
  const Json before = WaitForPhase("kept", "Running");
  StopNode();
  StartNode();
  const Json after = WaitFor("kept", [&](const Json& pod) {
    const Json& statuses = At(pod, {"status", "containerStatuses"});
    return statuses.is_array() && !statuses.empty() && GetInt(statuses[0], "restartCount") == 1 &&
           At(statuses[0], {"state", "running"}).is_object();
  });
  EXPECT_EQ(kube::UidOf(after), kube::UidOf(before));
  EXPECT_EQ(after["status"]["podIP"], before["status"]["podIP"]);
}

}  // namespace
}  // namespace envicutor::standalone
