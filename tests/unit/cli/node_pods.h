// The embedded API server, and a node on the host whose pods run shell scripts.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <condition_variable>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "common/base/file.h"
#include "common/kube/client.h"
#include "common/kube/config.h"
#include "common/kube/informer.h"
#include "common/kube/resource.h"
#include "standalone/apiserver/apiserver.h"
#include "standalone/cli/command.h"
#include "standalone/node/node.h"

namespace envicutor::standalone {

inline constexpr char kNs[] = "envicutor-executors";

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

  virtual void StopNode() { node_ = {}; }

  void TearDown() override {
    StopNode();
    informer_.reset();
    if (!dir_.empty()) std::filesystem::remove_all(dir_);
  }

  virtual void StartNode() {
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

}  // namespace envicutor::standalone
