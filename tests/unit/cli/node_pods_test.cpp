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

TEST_F(NodePodsTest, LogsOfThisContainerAndOfTheOneBefore) {
  Create("talks",
         "date +%N; echo second-last; echo last; until [ -e /s/go ]; do sleep 0.02; done; exit 1",
         "Always",
         {{"container", {{"volumeMounts", Json::array({{{"name", "s"}, {"mountPath", "/s"}}})}}},
          {"spec",
           {{"volumes",
             Json::array({{{"name", "s"}, {"hostPath", {{"path", dir_ + "/shared"}}}}})}}}});
  const Json pod = WaitForPhase("talks", "Running");
  const std::string url = "/api/v1/namespaces/" + std::string(kNs) + "/pods/talks/log";
  std::string first;
  while (first.find("last\n") == std::string::npos) first = client_->GetRaw(url).value();
  EXPECT_EQ(client_->GetRaw(url + "?tailLines=1").value(), "last\n");
  EXPECT_EQ(client_->GetRaw(url + "?limitBytes=5").value(), first.substr(0, 5));
  EXPECT_EQ(client_->GetRaw(url + "?sinceTime=2100-01-01T00:00:00Z").value(), "");
  EXPECT_EQ(client_->GetRaw(url + "?sinceSeconds=3600").value(), first);
  EXPECT_THAT(client_->GetRaw(url + "?timestamps=true&tailLines=1").value(),
              ::testing::MatchesRegex("[0-9]{4}-[0-9-]+T[0-9:.]+Z last\n"));
  EXPECT_THAT(client_->GetRaw(url + "?previous=true").status().ToString(),
              ::testing::HasSubstr("previous terminated container"));
  std::ofstream(dir_ + "/shared/go").put('x');
  WaitFor("talks", [](const Json& object) {
    const Json& statuses = At(object, {"status", "containerStatuses"});
    return statuses.is_array() && !statuses.empty() && GetInt(statuses[0], "restartCount") >= 2;
  });
  EXPECT_THAT(client_->GetRaw(url + "?previous=true").value(), ::testing::EndsWith("last\n"));
  // Of one that says nothing itself, how it ended and where its words are.
  const Json waits = WaitFor("talks", [](const Json& object) {
    const Json& statuses = At(object, {"status", "containerStatuses"});
    return statuses.is_array() && !statuses.empty() &&
           GetString(At(statuses[0], {"state", "waiting"}), "reason") == "CrashLoopBackOff";
  });
  EXPECT_EQ(waits["status"]["containerStatuses"][0]["state"]["waiting"]["message"],
            "back-off restarting failed container: exit code 1, `kubectl -n " + std::string(kNs) +
                " logs talks --previous` says more");
}

TEST_F(NodePodsTest, AFollowedLogEndsWithThePod) {
  Create("follow", "echo one; until [ -e /s/go ]; do sleep 0.02; done; echo two", "Never",
         {{"container", {{"volumeMounts", Json::array({{{"name", "s"}, {"mountPath", "/s"}}})}}},
          {"spec",
           {{"volumes",
             Json::array({{{"name", "s"}, {"hostPath", {{"path", dir_ + "/shared"}}}}})}}}});
  WaitForPhase("follow", "Running");
  std::jthread later([this] { std::ofstream(dir_ + "/shared/go").put('x'); });
  EXPECT_EQ(
      client_->GetRaw("/api/v1/namespaces/" + std::string(kNs) + "/pods/follow/log?follow=true")
          .value(),
      "one\ntwo\n");
}

TEST_F(NodePodsTest, AContainerThatFailsItsLivenessProbeIsStartedAgain) {
  // Serves until the file is there, then lives on without an answer.
  Create(
      "sick",
      "python3 -m http.server 18099 --bind $POD_IP --directory /s & "
      "until [ -e /s/sick ]; do sleep 0.02; done; kill $!; rm /s/sick; exec sleep 1000",
      "Always",
      {{"container",
        {{"volumeMounts", Json::array({{{"name", "s"}, {"mountPath", "/s"}}})},
         {"env", Json::array({{{"name", "POD_IP"},
                               {"valueFrom", {{"fieldRef", {{"fieldPath", "status.podIP"}}}}}}})},
         {"readinessProbe", {{"httpGet", {{"path", "/"}, {"port", 18099}}}, {"periodSeconds", 1}}},
         {"livenessProbe",
          {{"httpGet", {{"path", "/"}, {"port", 18099}}},
           {"periodSeconds", 1},
           {"failureThreshold", 2},
           {"initialDelaySeconds", 3}}}}},
       {"spec",
        {{"terminationGracePeriodSeconds", 1},
         {"volumes",
          Json::array({{{"name", "s"}, {"hostPath", {{"path", dir_ + "/shared"}}}}})}}}});
  const auto ready = [](const Json& object, int64_t restarts) {
    const Json& statuses = At(object, {"status", "containerStatuses"});
    return statuses.is_array() && !statuses.empty() && GetBool(statuses[0], "ready") &&
           GetInt(statuses[0], "restartCount") == restarts;
  };
  WaitFor("sick", [&](const Json& object) { return ready(object, 0); });
  std::ofstream(dir_ + "/shared/sick").put('x');
  WaitFor("sick", [&](const Json& object) { return ready(object, 1); });
  const auto events = client_->GetRaw("/api/v1/namespaces/" + std::string(kNs) + "/events");
  EXPECT_THAT(events.value(), ::testing::HasSubstr("Liveness probe failed"));
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
