// The node against the embedded API server: pods from creation to removal, on the host.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <condition_variable>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>

#include "common/base/file.h"
#include "common/http/client.h"
#include "common/kube/config.h"
#include "common/kube/informer.h"
#include "common/kube/resource.h"
#include "standalone/apiserver/apiserver.h"
#include "standalone/cli/command.h"
#include "standalone/node/node.h"

namespace envicutor::standalone {
namespace {

constexpr char kNs[] = "envicutor-executors";

class NodePodsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root: namespaces and mounts";
    std::string pattern = ::testing::TempDir() + "/envicutor-node-XXXXXX";
    dir_ = ::mkdtemp(pattern.data());
    ApiServerOptions options;
    options.allow_anonymous = true;
    auto server = StartApiServer(options);
    ASSERT_TRUE(server.ok()) << server.status().ToString();
    server_ = std::move(*server);
    kube::ClientConfig config;
    config.server = server_->url();
    ASSERT_TRUE(
        WriteFileAtomic(dir_ + "/kubeconfig", kube::WriteKubeconfig(config, "test"), 0600).ok());
    client_ = std::move(*kube::NewClient(config));
    std::filesystem::create_directories(dir_ + "/bin");
    std::filesystem::create_symlink(BinDir() + "/envicutor-pod-init",
                                    dir_ + "/bin/envicutor-pod-init");
    std::ofstream(dir_ + "/bin/run-script") << "#!/bin/sh\neval \"$1\"\n";
    std::filesystem::permissions(dir_ + "/bin/run-script", std::filesystem::perms::all);
    informer_ = kube::NewInformer(*client_, kube::kPods, {kNs, "", ""});
    informer_->AddHandler({[this](const auto&) { Changed(); },
                           [this](const auto&, const auto&) { Changed(); },
                           [this](const auto&) { Changed(); }});
    informer_->Start();
    StartNode();
  }

  void TearDown() override {
    node_ = {};
    informer_.reset();
    if (!dir_.empty()) std::filesystem::remove_all(dir_);
  }

  void StartNode() {
    node_ = std::jthread([this](std::stop_token stop) {
      NodeOptions options;
      options.kubeconfig = dir_ + "/kubeconfig";
      options.name = "local";
      options.mode = "host";
      options.data_dir = dir_ + "/data";
      options.bin_dir = dir_ + "/bin";
      const Status status = RunNode(options, stop);
      EXPECT_TRUE(status.ok()) << status.ToString();
    });
  }

  void Changed() {
    const std::lock_guard lock(mutex_);
    changed_.notify_all();
  }

  void Create(const std::string& name, const std::string& script, const std::string& restart,
              const Json& more = Json::object()) {
    Json container = {{"name", "main"}, {"image", "i"}, {"command", {"run-script", script}}};
    container.update(At(more, {"container"}).is_object() ? more["container"] : Json::object());
    Json spec = {{"restartPolicy", restart}, {"containers", Json::array({container})}};
    if (At(more, {"spec"}).is_object()) spec.update(more["spec"]);
    const Json pod = {{"apiVersion", "v1"},
                      {"kind", "Pod"},
                      {"metadata",
                       {{"name", name},
                        {"namespace", kNs},
                        {"labels", {{"app.kubernetes.io/component", "builder"}}}}},
                      {"spec", spec}};
    const auto created = client_->Create(kube::kPods, kNs, pod);
    ASSERT_TRUE(created.ok()) << created.status().ToString();
  }

  // The pod once `wanted` holds; null when that takes more than a minute. A null object: it is
  // gone.
  Json WaitFor(const std::string& name, const std::function<bool(const Json&)>& wanted) {
    std::unique_lock lock(mutex_);
    Json pod;
    const bool met = changed_.wait_for(lock, std::chrono::seconds(60), [&] {
      const kube::ObjectPtr object = informer_->Get(std::string(kNs) + "/" + name);
      pod = object ? *object : Json();
      return wanted(pod);
    });
    EXPECT_TRUE(met) << name << " is " << DumpJson(At(pod, {"status"}));
    return pod;
  }
  Json WaitForPhase(const std::string& name, const std::string& phase) {
    return WaitFor(
        name, [&](const Json& pod) { return GetString(At(pod, {"status"}), "phase") == phase; });
  }
  static Json Terminated(const Json& pod) {
    return pod["status"]["containerStatuses"][0]["state"]["terminated"];
  }

  std::string dir_;
  std::unique_ptr<ApiServer> server_;
  std::unique_ptr<kube::Client> client_;
  std::unique_ptr<kube::Informer> informer_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::jthread node_;
};

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
  node_ = {};
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
