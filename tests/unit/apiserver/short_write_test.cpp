// The writes that run on the I/O thread (ApiHandler::IsShort): none of them waits for the disk, and
// each is answered once, when it is durable.
#include <gtest/gtest.h>

#include "standalone/apiserver/http/handler.h"
#include "tests/unit/apiserver/fixture.h"

namespace envicutor::standalone {
namespace {

// Durable when it is told so; a writer that waits is let through and counted.
class GatedStorage final : public Storage {
 public:
  Result<StorageContent> Open(StorageListener* listener) override {
    listener_ = listener;
    return StorageContent{};
  }
  void Append(StorageWrite write) override { last_ = write.revision; }
  void Flush() override {
    ++waited;
    Durable();
  }
  void FlushSoon() override {}
  void Discard() override {}
  void Durable() { listener_->OnDurable(last_); }
  void Fail() { listener_->OnFailed(ResourceExhausted("disk full")); }
  int waited = 0;

 private:
  StorageListener* listener_ = nullptr;
  uint64_t last_ = 0;
};

class Answers final : public http::ResponseWriter {
 public:
  void Send(http::Response response) override { all.push_back(std::move(response)); }
  void StartStream(int, http::Headers) override { ADD_FAILURE() << "no stream was asked for"; }
  bool Write(std::string) override { return false; }
  void Finish() override {}
  void OnClose(std::function<void()>) override {}
  std::vector<http::Response> all;
};

constexpr const char* kWidgets = "/apis/example.com/v1/namespaces/default/widgets";
constexpr const char* kMerge = "application/merge-patch+json";
constexpr const char* kApply = "application/apply-patch+yaml";

class ShortWriteTest : public ApiTest {
 protected:
  void SetUp() override {
    gated_store_ = std::make_unique<Store>(&gate_, 100);
    gated_ = std::make_unique<Api>(gated_store_.get(), &clock_, &ids_);
    ASSERT_TRUE(gated_->Start({}).ok());
    hub_ = std::make_unique<WatchHub>(gated_.get(), std::chrono::seconds(30));
    logs_ = std::make_unique<LogProxy>(gated_.get());
    handler_ = std::make_unique<ApiHandler>(gated_.get(), hub_.get(), logs_.get(),
                                            Authenticator({}, /*allow_anonymous=*/true));
    Json crd = WidgetCrd();
    crd["kind"] = "CustomResourceDefinition";
    crd["apiVersion"] = "apiextensions.k8s.io/v1";
    const auto kinds =
        gated_->registry()->Find("apiextensions.k8s.io", "v1", "customresourcedefinitions");
    ASSERT_TRUE(gated_->Create(*kinds, "", std::move(crd), {}).ok());
    gate_.waited = 0;
  }

  std::shared_ptr<Answers> Begin(const std::string& method, const std::string& path,
                                 const std::string& body, const std::string& type) {
    http::ServerRequest request;
    request.method = method;
    request.path = path;
    if (type == kApply) request.query = {{"fieldManager", "me"}, {"force", "true"}};
    request.body = body;
    if (!body.empty()) request.headers.Set("Content-Type", type);
    EXPECT_TRUE(ApiHandler::IsShort(request)) << method << " " << path;
    auto writer = std::make_shared<Answers>();
    handler_->Handle(request, writer);
    return writer;
  }
  // The answer, which does not come before the disk has it.
  Json Do(int code, const std::string& method, const std::string& path,
          const std::string& body = "", const std::string& type = "application/json") {
    SCOPED_TRACE(method + " " + path + " " + body);
    const uint64_t before = gated_store_->PublishedRevision();
    const auto writer = Begin(method, path, body, type);
    EXPECT_EQ(gate_.waited, 0) << "it held the I/O thread up";
    EXPECT_TRUE(writer->all.empty()) << writer->all[0].body;
    EXPECT_EQ(gated_store_->PublishedRevision(), before);
    gate_.Durable();
    EXPECT_GT(gated_store_->PublishedRevision(), before);
    gate_.Durable();
    EXPECT_EQ(writer->all.size(), 1U);
    if (writer->all.size() != 1) return nullptr;
    EXPECT_EQ(writer->all[0].status, code) << writer->all[0].body;
    return Json::parse(writer->all[0].body, nullptr, false);
  }
  static std::string Body(Json object, const Json& metadata = Json::object()) {
    object["kind"] = "Widget";
    object["apiVersion"] = "example.com/v1";
    object["metadata"].update(metadata);
    return DumpJson(object);
  }
  [[nodiscard]] std::string Published(const Json& object) const {
    return MetaString(object, "resourceVersion") ==
                   std::to_string(gated_store_->PublishedRevision())
               ? "yes"
               : DumpJson(object);
  }

  GatedStorage gate_;
  std::unique_ptr<Store> gated_store_;
  std::unique_ptr<Api> gated_;
  std::unique_ptr<WatchHub> hub_;
  std::unique_ptr<LogProxy> logs_;
  std::unique_ptr<ApiHandler> handler_;
};

TEST_F(ShortWriteTest, NoVerbWaitsForTheDisk) {
  const std::string one = std::string(kWidgets) + "/one";
  Json object = Do(201, "POST", kWidgets, Body(Widget("one")));
  EXPECT_EQ(Published(object), "yes");
  object["spec"]["size"] = 2;
  object = Do(200, "PUT", one, DumpJson(object));
  EXPECT_EQ(Published(object), "yes");
  object["status"]["phase"] = "Ready";
  EXPECT_EQ(Published(Do(200, "PUT", one + "/status", DumpJson(object))), "yes");
  EXPECT_EQ(Published(Do(200, "PATCH", one, R"({"spec":{"size":3}})", kMerge)), "yes");
  EXPECT_EQ(Published(Do(200, "PATCH", one + "/status", R"({"status":{"count":3}})", kMerge)),
            "yes");
  EXPECT_EQ(Published(Do(200, "PATCH", one, Body(Widget("one", 4)), kApply)), "yes");
  EXPECT_EQ(
      Published(Do(201, "PATCH", std::string(kWidgets) + "/two", Body(Widget("two")), kApply)),
      "yes");
  const Json scale = Do(200, "PATCH", one + "/scale", R"({"spec":{"replicas":5}})", kMerge);
  EXPECT_EQ(Published(scale), "yes");
  EXPECT_EQ(scale["spec"]["replicas"], 5);
  Do(200, "DELETE", one);
  EXPECT_EQ(gated_store_->Get("example.com/widgets", "default/one"), nullptr);
}

TEST_F(ShortWriteTest, TheLastFinalizerGoesWithoutAWaitInEveryWay) {
  const std::string one = std::string(kWidgets) + "/one";
  const Json held = {{"finalizers", {"example.com/held"}}};
  for (const std::string way : {"PATCH", "PUT", "JSON PATCH"}) {
    Do(201, "POST", kWidgets, Body(Widget("one"), held));
    Json object = Do(200, "DELETE", one);
    ASSERT_TRUE(IsTerminating(object)) << object;
    if (way == "PATCH") {
      object = Do(200, "PATCH", one, R"({"metadata":{"finalizers":null}})", kMerge);
    } else if (way == "PUT") {
      object["metadata"].erase("finalizers");
      object = Do(200, "PUT", one, DumpJson(object));
    } else {
      object = Do(200, "PATCH", one, R"([{"op":"remove","path":"/metadata/finalizers"}])",
                  "application/json-patch+json");
    }
    // What it made, with the deletion's version.
    EXPECT_EQ(Published(object), "yes");
    EXPECT_FALSE(HasFinalizers(object));
    EXPECT_EQ(gated_store_->Get("example.com/widgets", "default/one"), nullptr);
  }
}

TEST_F(ShortWriteTest, WhatTheDiskRefusesIsAnsweredSoAndUndone) {
  const std::string one = std::string(kWidgets) + "/one";
  Do(201, "POST", kWidgets, Body(Widget("one"), {{"finalizers", {"example.com/held"}}}));
  Do(200, "DELETE", one);
  const auto writer = Begin("PATCH", one, R"({"metadata":{"finalizers":null}})", kMerge);
  EXPECT_TRUE(writer->all.empty());
  EXPECT_EQ(gated_store_->GetHead("example.com/widgets", "default/one"), nullptr);
  gate_.Fail();
  ASSERT_EQ(writer->all.size(), 1U);
  EXPECT_EQ(writer->all[0].status, 500);
  EXPECT_NE(writer->all[0].body.find("disk full"), std::string::npos) << writer->all[0].body;
  ASSERT_NE(gated_store_->GetHead("example.com/widgets", "default/one"), nullptr);
  EXPECT_TRUE(gated_store_->GetHead("example.com/widgets", "default/one")->HasFinalizers());
  Do(200, "PATCH", one, R"({"metadata":{"finalizers":null}})", kMerge);
}

}  // namespace
}  // namespace envicutor::standalone
