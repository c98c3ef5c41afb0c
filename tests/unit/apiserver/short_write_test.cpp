// The writes that run on the I/O thread (ApiHandler::IsShort): none of them waits for the disk, and
// each is answered once, when it is durable.
#include <gtest/gtest.h>

#include <array>

#include "standalone/apiserver/http/handler.h"
#include "tests/unit/apiserver/fixture.h"
#include "tests/unit/apiserver/gated_storage.h"

namespace envicutor::standalone {
namespace {

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
    // The other forms do not wait either, but are not always short.
    if (type == "application/json" || type == kMerge) {
      EXPECT_TRUE(handler_->IsShort(request)) << method << " " << path;
    } else {
      EXPECT_FALSE(handler_->IsShort(request)) << type;
    }
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
  EXPECT_NE(handler_->Metrics().find(R"(verb="PATCH",resource="widgets",code="500"} 1)"),
            std::string::npos)
      << handler_->Metrics();
  EXPECT_NE(writer->all[0].body.find("disk full"), std::string::npos) << writer->all[0].body;
  ASSERT_NE(gated_store_->GetHead("example.com/widgets", "default/one"), nullptr);
  EXPECT_TRUE(gated_store_->GetHead("example.com/widgets", "default/one")->HasFinalizers());
  Do(200, "PATCH", one, R"({"metadata":{"finalizers":null}})", kMerge);
}

// It says what another write made: no sooner than that is durable.
TEST_F(ShortWriteTest, AWriteThatChangesNothingIsAsDurableAsWhatItFound) {
  const std::string one = std::string(kWidgets) + "/one";
  Do(201, "POST", kWidgets, Body(Widget("one"), {{"finalizers", {"example.com/held"}}}));
  const std::string patch = R"({"spec":{"size":7}})";
  const std::vector<std::array<std::string, 2>> twice = {{"PATCH", patch}, {"DELETE", ""}};
  for (const auto& [method, body] : twice) {
    for (const bool fails : {true, false}) {
      SCOPED_TRACE(method + (fails ? " fails" : ""));
      const auto first = Begin(method, one, body, kMerge);
      const auto second = Begin(method, one, body, kMerge);
      const auto third = Begin(method, one, body, kMerge);
      EXPECT_TRUE(first->all.empty());
      EXPECT_TRUE(second->all.empty());
      EXPECT_TRUE(third->all.empty());
      EXPECT_EQ(gate_.waited, 0);
      if (fails) {
        gate_.Fail();
      } else {
        gate_.Durable();
      }
      for (const auto& writer : {first, second, third}) {
        ASSERT_EQ(writer->all.size(), 1U);
        EXPECT_EQ(writer->all[0].status, fails ? 500 : 200) << writer->all[0].body;
      }
      if (!fails) {
        EXPECT_EQ(second->all[0].body, first->all[0].body);
      }
    }
    // Of what is durable it is told at once.
    EXPECT_EQ(Begin(method, one, body, kMerge)->all.size(), 1U);
  }
}

TEST_F(ShortWriteTest, OnlySmallPlainWritesOfOneSmallNamespacedObjectAre) {
  const std::string one = std::string(kWidgets) + "/one";
  const auto is_short = [&](const std::string& method, const std::string& path, size_t bytes = 100,
                            const std::string& type = "") {
    http::ServerRequest request;
    request.method = method;
    request.path = path;
    request.body.assign(bytes, ' ');
    const std::string usual = method == "PATCH" ? kMerge : "application/json; charset=utf-8";
    request.headers.Set("Content-Type", type.empty() ? usual : type);
    return handler_->IsShort(request);
  };
  Do(201, "POST", kWidgets, Body(Widget("one")));
  EXPECT_TRUE(is_short("POST", kWidgets));
  EXPECT_TRUE(is_short("DELETE", one));
  EXPECT_TRUE(is_short("DELETE", one, 0, "application/yaml"));
  EXPECT_FALSE(is_short("DELETE", one, 100, "application/yaml"));
  EXPECT_TRUE(is_short("PATCH", one));
  EXPECT_TRUE(is_short("PUT", one + "/status", 8U << 10U));
  EXPECT_FALSE(is_short("PUT", one + "/status", (8U << 10U) + 1));  // takes long
  for (const char* type : {kApply, "application/json-patch+json", "application/yaml",
                           "application/strategic-merge-patch+json"}) {
    EXPECT_FALSE(is_short("PATCH", one, 100, type)) << type;  // a short one can be much work
  }
  EXPECT_FALSE(is_short("POST", kWidgets, 100, "application/yaml"));
  EXPECT_FALSE(is_short("PUT", one, 100, "application/vnd.kubernetes.protobuf"));
  EXPECT_FALSE(is_short("GET", kWidgets));                                   // may be large
  EXPECT_FALSE(is_short("DELETE", kWidgets));                                // many writes
  EXPECT_FALSE(is_short("POST", "/api/v1/namespaces/a/pods/one/eviction"));  // more than one
  EXPECT_FALSE(is_short("PUT", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/one"));
  EXPECT_FALSE(is_short("DELETE", std::string(kWidgets) + "/"));  // still the collection
  EXPECT_FALSE(is_short("PUT", "/apis//apiextensions.k8s.io/v1/customresourcedefinitions//one"));
  // A change is as much work as the object is large.
  const Json large = {{"annotations", {{"example.com/large", std::string(17U << 10U, 'x')}}}};
  const auto kinds = gated_->registry()->Find("example.com", "v1", "widgets");
  Json widget = Widget("large");
  widget.update({{"kind", "Widget"}, {"apiVersion", "example.com/v1"}});
  widget["metadata"].update(large);
  ASSERT_TRUE(gated_->Create(*kinds, "default", std::move(widget), {}).ok());
  EXPECT_FALSE(is_short("PATCH", std::string(kWidgets) + "/large"));
  EXPECT_FALSE(is_short("DELETE", std::string(kWidgets) + "/large"));
}

// Those that wait for the disk have been let through already.
TEST_F(ShortWriteTest, AQuotaCountsWhatIsNotYetDurable) {
  const auto quotas = gated_->registry()->Find("", "v1", "resourcequotas");
  ASSERT_TRUE(gated_
                  ->Create(*quotas, "default",
                           {{"apiVersion", "v1"},
                            {"kind", "ResourceQuota"},
                            {"metadata", {{"name", "few"}}},
                            {"spec", {{"hard", {{"count/widgets.example.com", "1"}}}}}},
                           {})
                  .ok());
  const auto first = Begin("POST", kWidgets, Body(Widget("one")), "application/json");
  const auto second = Begin("POST", kWidgets, Body(Widget("two")), "application/json");
  EXPECT_TRUE(first->all.empty());
  EXPECT_TRUE(second->all.empty());
  gate_.Durable();
  ASSERT_EQ(second->all.size(), 1U);
  EXPECT_EQ(second->all[0].status, 403) << second->all[0].body;
}

}  // namespace
}  // namespace envicutor::standalone
