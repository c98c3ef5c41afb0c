// What is refused because of a write that is not durable: nobody is told before it is, and when it
// fails nobody is told that it was.
#include <gtest/gtest.h>

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
using AnswersPtr = std::shared_ptr<Answers>;

constexpr const char* kWidgets = "/apis/example.com/v1/namespaces/default/widgets";
constexpr const char* kOne = "/apis/example.com/v1/namespaces/default/widgets/one";
constexpr const char* kJson = "application/json";
constexpr const char* kMerge = "application/merge-patch+json";
constexpr const char* kApply = "application/apply-patch+yaml";

class EarlyAnswerTest : public ApiTest {
 protected:
  void SetUp() override {
    gated_store_ = std::make_unique<Store>(&gate_, 100);
    gated_ = std::make_unique<Api>(gated_store_.get(), &clock_, &ids_);
    ASSERT_TRUE(gated_->Start({"other"}).ok());
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
  AnswersPtr Send(const std::string& method, const std::string& path, const Json& body = nullptr,
                  const std::string& type = kJson) {
    http::ServerRequest request;
    request.method = method;
    request.path = path;
    if (type == kApply) request.query = {{"fieldManager", "me"}, {"force", "true"}};
    if (!body.is_null()) {
      request.body = DumpJson(body);
      request.headers.Set("Content-Type", type);
    }
    auto writer = std::make_shared<Answers>();
    handler_->Handle(request, writer);
    return writer;
  }
  static Json Body(const std::string& name, const Json& metadata = Json::object(), int size = 1) {
    Json object = Widget(name, size);
    object["kind"] = "Widget";
    object["apiVersion"] = "example.com/v1";
    object["metadata"].update(metadata);
    return object;
  }
  static std::string Told(const AnswersPtr& writer) {
    if (writer->all.empty()) return "nothing";
    EXPECT_EQ(writer->all.size(), 1U);
    const Json body = Json::parse(writer->all[0].body, nullptr, false);
    const std::string reason = GetString(body, "reason");
    return std::to_string(writer->all[0].status) + (reason.empty() ? "" : " " + reason);
  }
  void Made(const std::string& method, const std::string& path, const Json& body,
            const std::string& type = kJson) {
    const AnswersPtr writer = Send(method, path, body, type);
    gate_.Durable();
    ASSERT_TRUE(writer->all.size() == 1 && writer->all[0].status < 300) << Told(writer);
  }
  Json ReadOne() {
    const ObjectPtr object = gated_store_->Get("example.com/widgets", "default/one");
    return object == nullptr ? Json() : object->Tree().Copy();
  }

  struct Request {
    std::string method;
    std::string path;
    Json body;
    std::string type = kJson;
    std::string told = "";
  };
  // `first` begins; of the `others` each is told what it says there when that is durable, that the
  // storage failed when it fails, and the first word at once when nothing is on its way. What
  // `first` did is undone by a failure: so the failure comes first.
  void Expect(const Request& first, const std::vector<Request>& others) {
    for (const bool fails : {true, false}) {
      SCOPED_TRACE(fails ? "the first write fails" : "the first write is durable");
      const AnswersPtr begun = Send(first.method, first.path, first.body, first.type);
      ASSERT_EQ(Told(begun), "nothing");
      std::vector<AnswersPtr> writers;
      for (const Request& other : others) {
        writers.push_back(Send(other.method, other.path, other.body, other.type));
        EXPECT_EQ(Told(writers.back()), "nothing") << other.method << " " << other.path;
      }
      EXPECT_EQ(gate_.waited, 0) << "it held the I/O thread up";
      if (fails) {
        gate_.Fail();
      } else {
        gate_.Durable();
      }
      for (size_t i = 0; i < others.size(); ++i) {
        EXPECT_EQ(Told(writers[i]), fails ? "500 InternalError" : others[i].told)
            << others[i].method << " " << others[i].path;
      }
    }
    for (const Request& other : others) {
      EXPECT_EQ(Told(Send(other.method, other.path, other.body, other.type)), other.told)
          << other.method << " " << other.path << " of what is durable";
    }
    EXPECT_EQ(gate_.waited, 0);
  }

  GatedStorage gate_;
  std::unique_ptr<Store> gated_store_;
  std::unique_ptr<Api> gated_;
  std::unique_ptr<WatchHub> hub_;
  std::unique_ptr<LogProxy> logs_;
  std::unique_ptr<ApiHandler> handler_;
};

TEST_F(EarlyAnswerTest, ThatTheNameIsTaken) {
  Expect({"POST", kWidgets, Body("one")},
         {{"POST", kWidgets, Body("one"), kJson, "409 AlreadyExists"}});
}

TEST_F(EarlyAnswerTest, ThatThereIsNoneAnyMore) {
  Made("POST", kWidgets, Body("one"));
  const Json scale = {{"spec", {{"replicas", 5}}}};
  const Json status = {{"status", {{"phase", "x"}}}};
  Expect({"DELETE", kOne, nullptr},
         {{"DELETE", kOne, nullptr, kJson, "404 NotFound"},
          {"PUT", kOne, Body("one", {{"resourceVersion", "7"}}), kJson, "404 NotFound"},
          {"PUT", kOne, Body("one"), kJson, "404 NotFound"},
          {"PATCH", kOne, {{"spec", {{"size", 2}}}}, kMerge, "404 NotFound"},
          {"PATCH", std::string(kOne) + "/status", status, kMerge, "404 NotFound"},
          {"PATCH", std::string(kOne) + "/scale", scale, kMerge, "404 NotFound"},
          {"PATCH", std::string(kOne) + "/status", Body("one"), kApply, "404 NotFound"}});
}

TEST_F(EarlyAnswerTest, ThatAnotherVersionIsThere) {
  Made("POST", kWidgets, Body("one"));
  const Json read = ReadOne();
  const Json old = {{"resourceVersion", MetaString(read, "resourceVersion")}};
  Json moved = read;
  moved["spec"]["size"] = 2;
  Expect({"PATCH", kOne, {{"spec", {{"size", 3}}}}, kMerge},
         {{"PUT", kOne, moved, kJson, "409 Conflict"},
          {"PATCH", kOne, {{"metadata", old}, {"spec", {{"size", 2}}}}, kMerge, "409 Conflict"},
          {"DELETE", kOne, {{"preconditions", old}}, kJson, "409 Conflict"},
          {"PATCH", kOne, Json::array({{{"op", "test"}, {"path", "/spec/size"}, {"value", 1}}}),
           "application/json-patch+json", "422 Invalid"}});
  // Who reads after its conflict finds what it was about.
  EXPECT_EQ(ReadOne()["spec"]["size"], 3);
}

TEST_F(EarlyAnswerTest, ThatTheNamespaceIsGoing) {
  const std::string configmaps = "/api/v1/namespaces/other/configmaps";
  const Json configmap = {{"metadata", {{"name", "a"}}}};
  Expect({"DELETE", "/api/v1/namespaces/other", nullptr},
         {{"POST", configmaps, configmap, kJson, "403 Forbidden"},
          {"POST", "/apis/example.com/v1/namespaces/other/widgets", Body("one"), kJson,
           "403 Forbidden"}});
}

TEST_F(EarlyAnswerTest, ThatAQuotaIsUsedUp) {
  Made("POST", "/api/v1/namespaces/default/resourcequotas",
       {{"metadata", {{"name", "few"}}},
        {"spec", {{"hard", {{"count/widgets.example.com", "1"}}}}}});
  Expect({"POST", kWidgets, Body("one")},
         {{"POST", kWidgets, Body("two"), kJson, "403 Forbidden"}});
}

TEST_F(EarlyAnswerTest, ThatAPodIsBound) {
  const std::string pods = "/api/v1/namespaces/default/pods";
  Made("POST", pods,
       {{"metadata", {{"name", "a"}, {"finalizers", {"example.com/held"}}}},
        {"spec", {{"containers", Json::array({{{"name", "c"}, {"image", "i"}}})}}}});
  const AnswersPtr going = Send("DELETE", pods + "/a");
  ASSERT_EQ(Told(going), "nothing");
  // A binding waits itself: the gate lets it through, and what it is about with it.
  const AnswersPtr bound = Send("POST", pods + "/a/binding", {{"target", {{"name", "node"}}}});
  EXPECT_EQ(Told(bound), "409 Conflict");
  EXPECT_EQ(gate_.waited, 1);
  EXPECT_EQ(Told(going), "200");
}

TEST_F(EarlyAnswerTest, WhoDoesNotAskToBeToldLaterWaits) {
  const ResourcePtr widgets = gated_->registry()->Find("example.com", "v1", "widgets");
  const AnswersPtr first = Send("POST", kWidgets, Body("one"));
  gate_.refuses = true;
  const auto failed = gated_->Create(*widgets, "default", Body("one"), {});
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().code, 500);
  EXPECT_EQ(failed.error().ticket, nullptr);
  EXPECT_EQ(Told(first), "500 InternalError");
  gate_.refuses = false;
  const AnswersPtr second = Send("POST", kWidgets, Body("one"));
  const auto taken = gated_->Create(*widgets, "default", Body("one"), {});
  ASSERT_FALSE(taken.ok());
  EXPECT_EQ(taken.error().reason, "AlreadyExists");
  EXPECT_EQ(taken.error().ticket, nullptr);
  EXPECT_EQ(gate_.waited, 2);
  EXPECT_EQ(Told(second), "201");
}

// A mistake of its own is not about any write.
TEST_F(EarlyAnswerTest, WhatIsWrongWithoutAWriteIsSaidAtOnce) {
  const AnswersPtr other = Send("POST", kWidgets, Body("one"));
  EXPECT_EQ(Told(Send("POST", kWidgets, Body("two", Json::object(), 99))), "422 Invalid");
  EXPECT_EQ(Told(Send("PATCH", std::string(kWidgets) + "/two", Json::object(), kMerge)),
            "404 NotFound");
  EXPECT_EQ(Told(Send("DELETE", std::string(kWidgets) + "/two")), "404 NotFound");
  EXPECT_EQ(Told(other), "nothing");
  EXPECT_EQ(gate_.waited, 0);
}

TEST_F(EarlyAnswerTest, AMethodThatThereIsNotIsSaidBeforeItsBodyIsRead) {
  const std::string configmaps = "/api/v1/namespaces/default/configmaps";
  for (const char* method : {"HEAD", "OPTIONS", "FROB"}) {
    for (const std::string& path : {configmaps, configmaps + "/a", std::string(kWidgets)}) {
      EXPECT_EQ(Told(Send(method, path)), "405 MethodNotAllowed") << method << " " << path;
    }
  }
}

}  // namespace
}  // namespace envicutor::standalone
