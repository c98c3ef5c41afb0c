// Our own Kubernetes client against our own server: the pair that `envicutor up` runs on.
#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>

#include "common/kube/client.h"
#include "common/kube/informer.h"
#include "standalone/apiserver/apiserver.h"

namespace envicutor::standalone {
namespace {

class KubeClientTest : public testing::Test {
 protected:
  void SetUp() override {
    ApiServerOptions options;
    options.tokens = {{"token", "operator", {}}};
    auto server = StartApiServer(options);
    ASSERT_TRUE(server.ok()) << server.status().ToString();
    server_ = std::move(server).value();
    kube::ClientConfig config;
    config.server = server_->url();
    config.bearer_token = "token";
    auto client = kube::NewClient(config);
    ASSERT_TRUE(client.ok()) << client.status().ToString();
    client_ = std::move(client).value();
  }
  Json MakeMap(const std::string& name) {
    return {{"apiVersion", "v1"}, {"kind", "ConfigMap"}, {"metadata", {{"name", name}}}};
  }

  std::unique_ptr<ApiServer> server_;
  std::unique_ptr<kube::Client> client_;
};

TEST_F(KubeClientTest, CodesOfFailures) {
  ASSERT_TRUE(client_->Create(kube::kConfigMaps, "default", MakeMap("a")).ok());
  EXPECT_EQ(client_->Create(kube::kConfigMaps, "default", MakeMap("a")).status().code(),
            Code::kAlreadyExists);
  EXPECT_EQ(client_->Get(kube::kConfigMaps, "default", "none").status().code(), Code::kNotFound);
  EXPECT_EQ(client_->Create(kube::kConfigMaps, "default", MakeMap("A")).status().code(),
            Code::kInvalidArgument);
  Json stale = *client_->Get(kube::kConfigMaps, "default", "a");
  ASSERT_TRUE(client_
                  ->Patch(kube::kConfigMaps, "default", "a", kube::PatchType::kStrategicMerge,
                          {{"data", {{"k", "v"}}}})
                  .ok());
  stale["data"]["k"] = "w";
  EXPECT_EQ(client_->Update(kube::kConfigMaps, stale).status().code(), Code::kConflict);
}

TEST_F(KubeClientTest, AWatchStartsAfterItsVersion) {
  const auto made = client_->Create(kube::kConfigMaps, "default", MakeMap("a"));
  ASSERT_TRUE(made.ok());
  ASSERT_TRUE(client_->Create(kube::kConfigMaps, "default", MakeMap("b")).ok());
  std::string first;
  const Status watched = client_->Watch(
      kube::kConfigMaps, "default", {kube::ResourceVersionOf(*made), "", ""},
      [&](const kube::WatchEvent& event) {
        first = kube::NameOf(event.object);
        return false;
      },
      std::stop_token());
  EXPECT_TRUE(watched.ok()) << watched.ToString();
  EXPECT_EQ(first, "b");
}

TEST_F(KubeClientTest, PagesAreFollowedToTheEnd) {
  for (int i = 0; i < 7; ++i) {
    ASSERT_TRUE(
        client_->Create(kube::kConfigMaps, "default", MakeMap("m" + std::to_string(i))).ok());
  }
  kube::ListOptions options;
  options.page_size = 2;
  const auto list = client_->ListAll(kube::kConfigMaps, "default", options);
  ASSERT_TRUE(list.ok());
  EXPECT_EQ(list->items.size(), 7U);
}

TEST_F(KubeClientTest, AnInformerFollows) {
  ASSERT_TRUE(client_->Create(kube::kConfigMaps, "default", MakeMap("before")).ok());
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<std::string> heard;
  auto informer = kube::NewInformer(*client_, kube::kConfigMaps, {"default", "", ""});
  const auto note = [&](const std::string& what, const kube::ObjectPtr& object) {
    const std::lock_guard lock(mutex);
    heard.push_back(what + " " + kube::NameOf(*object));
    changed.notify_all();
  };
  informer->AddHandler(
      {[&](const kube::ObjectPtr& o) { note("add", o); },
       [&](const kube::ObjectPtr&, const kube::ObjectPtr& o) { note("update", o); },
       [&](const kube::ObjectPtr& o) { note("delete", o); }});
  informer->Start();
  ASSERT_TRUE(informer->WaitForSync(std::chrono::milliseconds(10'000)));
  ASSERT_TRUE(client_->Create(kube::kConfigMaps, "default", MakeMap("after")).ok());
  ASSERT_TRUE(client_
                  ->Patch(kube::kConfigMaps, "default", "after", kube::PatchType::kMerge,
                          {{"data", {{"k", "v"}}}})
                  .ok());
  ASSERT_TRUE(client_->Delete(kube::kConfigMaps, "default", "before").ok());
  const std::vector<std::string> wanted = {"add before", "add after", "update after",
                                           "delete before"};
  std::unique_lock lock(mutex);
  EXPECT_TRUE(changed.wait_for(lock, std::chrono::seconds(20),
                               [&] { return heard.size() >= wanted.size(); }));
  EXPECT_EQ(heard, wanted);
  lock.unlock();
  informer->Stop();
}

}  // namespace
}  // namespace envicutor::standalone
