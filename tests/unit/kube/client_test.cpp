#include "common/kube/client.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <thread>

#include "common/base/file.h"
#include "common/kube/object_text.h"
#include "common/kube/token.h"
#include "common/metrics/registry.h"
#include "tests/unit/kube/scripted_api.h"

namespace envicutor::kube {
namespace {

class KubeClient : public testing::Test {
 protected:
  ScriptedApi api_;
  std::unique_ptr<Client> client_ = api_.NewClient();
};

TEST_F(KubeClient, CreatesReadsUpdatesPatchesDeletes) {
  Json pod = {{"metadata", {{"name", "p"}, {"namespace", "ns"}}}, {"spec", 1}};
  const auto created = client_->Create(kPods, "ns", pod);
  ASSERT_TRUE(created.ok()) << created.status().ToString();
  EXPECT_EQ("/api/v1/namespaces/ns/pods", api_.Requests().back().path);
  EXPECT_EQ(Code::kAlreadyExists, client_->Create(kPods, "ns", pod).status().code());

  Json read = *client_->Get(kPods, "ns", "p");
  read["spec"] = 2;
  ASSERT_TRUE(client_->Update(kPods, read, "status").ok());
  EXPECT_EQ("/api/v1/namespaces/ns/pods/p/status", api_.Requests().back().path);
}

TEST_F(KubeClient, StaleUpdateIsAConflict) {
  api_.Put("s", 1);
  Json old = *client_->Get(kRuntimes, "", "s");
  api_.Put("s", 2);
  EXPECT_EQ(Code::kConflict, client_->Update(kRuntimes, old).status().code());
  EXPECT_EQ("/apis/envicutor.io/v1alpha1/runtimes/s", api_.Requests().back().path);
}

TEST_F(KubeClient, PatchesCarryTheirContentType) {
  api_.Put("s", 1);
  for (const auto& [type, name] :
       {std::pair{PatchType::kMerge, "application/merge-patch+json"},
        std::pair{PatchType::kStrategicMerge, "application/strategic-merge-patch+json"}}) {
    ASSERT_TRUE(client_->Patch(kRuntimes, "", "s", type, {{"spec", 5}}).ok());
    EXPECT_EQ(name, api_.Requests().back().headers.Get("Content-Type"));
  }
  EXPECT_EQ(5, api_.Stored("s")["spec"]);
}

TEST_F(KubeClient, DeleteSendsItsOptions) {
  api_.Put("s", 1);
  Client::DeleteOptions options;
  options.uid = "uid-1";
  options.grace_period_seconds = 0;
  options.propagation = "Background";
  ASSERT_TRUE(client_->Delete(kRuntimes, "", "s", options).ok());
  const Json body = Json::parse(api_.Requests().back().body);
  EXPECT_EQ("uid-1", At(body, {"preconditions", "uid"}));
  EXPECT_EQ(0, GetInt(body, "gracePeriodSeconds", -1));
  EXPECT_EQ("Background", GetString(body, "propagationPolicy"));
  EXPECT_EQ(Code::kNotFound, client_->Delete(kRuntimes, "", "s").code());
  EXPECT_FALSE(Json::parse(api_.Requests().back().body).contains("gracePeriodSeconds"));
}

TEST_F(KubeClient, FollowsPages) {
  for (int i = 0; i < 7; ++i) api_.Put("n" + std::to_string(i), i);
  ListOptions options;
  options.page_size = 3;
  options.label_selector = "a in (b,c)";
  const auto list = client_->ListAll(kRuntimes, "", options);
  ASSERT_TRUE(list.ok()) << list.status().ToString();
  EXPECT_EQ(7U, list->items.size());
  EXPECT_EQ(3, api_.Count("list"));
  EXPECT_EQ("107", list->resource_version);
  EXPECT_EQ("a in (b,c)", api_.Requests().back().Query("labelSelector"));
  EXPECT_EQ("Runtime", GetString(list->items[0], "kind"));
  EXPECT_FALSE(At(list->items[0], {"metadata"}).contains("managedFields"));
}

TEST_F(KubeClient, ListStartsAgainInOnePieceWhenItsSnapshotIsGone) {
  for (int i = 0; i < 5; ++i) api_.Put("n" + std::to_string(i), i);
  api_.AnswerNext("GET", "continue=", {410, {}, R"({"kind":"Status","reason":"Expired"})"});
  ListOptions options;
  options.page_size = 2;
  const auto list = client_->ListAll(kRuntimes, "", options);
  ASSERT_TRUE(list.ok()) << list.status().ToString();
  EXPECT_EQ(5U, list->items.size());
  EXPECT_EQ("0", api_.Requests().back().Query("limit"));
}

TEST_F(KubeClient, MapsStatusesToCodesWithTheServersWords) {
  const std::vector<std::pair<int, Code>> cases = {
      {400, Code::kInvalidArgument},    {401, Code::kUnauthenticated},
      {403, Code::kPermissionDenied},   {404, Code::kNotFound},
      {405, Code::kUnimplemented},      {406, Code::kUnimplemented},
      {409, Code::kConflict},           {410, Code::kExpired},
      {412, Code::kFailedPrecondition}, {413, Code::kResourceExhausted},
      {415, Code::kInvalidArgument},    {422, Code::kInvalidArgument},
      {429, Code::kResourceExhausted},  {500, Code::kUnavailable},
      {503, Code::kUnavailable},        {504, Code::kUnavailable}};
  for (const auto& [status, code] : cases) {
    api_.AnswerNext("POST", "runtimes", {status, {}, R"({"kind":"Status","message":"why"})"});
    const auto result = client_->Create(kRuntimes, "", {{"metadata", {{"name", "x"}}}});
    EXPECT_EQ(code, result.status().code()) << status;
    EXPECT_EQ("why", result.status().message()) << status;
  }
  api_.AnswerNext("POST", "runtimes",
                  {409, {}, R"({"kind":"Status","reason":"AlreadyExists","message":"why"})"});
  EXPECT_EQ(Code::kAlreadyExists,
            client_->Create(kRuntimes, "", {{"metadata", {{"name", "x"}}}}).status().code());
  api_.AnswerNext("GET", "readyz", {500, {}, "etcd \xff failed"});
  EXPECT_EQ("HTTP status 500: etcd \xEF\xBF\xBD failed",
            client_->GetRaw("/readyz").status().message());
  // The line is what counts, and what is no Status is only shown; neither at any length.
  api_.AnswerNext("GET", "readyz", {403, {}, R"({"kind":"Status","code":404,"reason":"Why"})"});
  EXPECT_EQ("PermissionDenied: Why", client_->GetRaw("/readyz").status().ToString());
  api_.AnswerNext("GET", "readyz", {404, {}, R"({"message":"why","code":403})"});
  EXPECT_EQ(R"(NotFound: HTTP status 404: {"message":"why","code":403})",
            client_->GetRaw("/readyz").status().ToString());
  const std::string large(10'000, 'x');
  for (const std::string& body : {large, R"({"kind":"Status","message":")" + large + "\"}"}) {
    api_.AnswerNext("GET", "readyz", {500, {}, body});
    EXPECT_LT(client_->GetRaw("/readyz").status().message().size(), 2'100U);
  }
}

TEST_F(KubeClient, RetriesOnlyWithRetryAfter) {
  api_.AnswerNext("POST", "runtimes", {503, {}, "no advice"});
  EXPECT_FALSE(client_->Create(kRuntimes, "", {{"metadata", {{"name", "x"}}}}).ok());
  EXPECT_EQ(1, api_.Count("create"));

  api_.AnswerNext("POST", "runtimes", {429, {{"Retry-After", "0"}}, ""});
  api_.AnswerNext("POST", "runtimes", {503, {{"Retry-After", "0"}}, ""});
  EXPECT_TRUE(client_->Create(kRuntimes, "", {{"metadata", {{"name", "x"}}}}).ok());
  EXPECT_EQ(4, api_.Count("create"));

  for (int i = 0; i < 4; ++i) api_.AnswerNext("GET", "/x", {429, {{"Retry-After", "0"}}, ""});
  EXPECT_EQ(Code::kResourceExhausted, client_->Get(kRuntimes, "", "x").status().code());
  EXPECT_EQ(4, api_.Count("get"));
}

TEST_F(KubeClient, CreateOrPatch) {
  ASSERT_TRUE(
      CreateOrPatch(*client_, kRuntimes, "", {{"metadata", {{"name", "x"}}}, {"a", 1}}).ok());
  const auto again =
      CreateOrPatch(*client_, kRuntimes, "", {{"metadata", {{"name", "x"}}}, {"b", 2}});
  ASSERT_TRUE(again.ok()) << again.status().ToString();
  EXPECT_EQ(1, GetInt(*again, "a"));
  EXPECT_EQ(2, GetInt(*again, "b"));
}

TEST_F(KubeClient, WatchGivesEventsUntilToldToStop) {
  WatchOptions options;
  options.resource_version = "100";
  api_.Put("a", 1);
  api_.Put("a", 2);
  int events = 0;
  const Status status =
      client_->Watch(kRuntimes, "", options, [&](const WatchEvent&) { return ++events < 2; }, {});
  EXPECT_TRUE(status.ok()) << status.ToString();
  EXPECT_EQ(2, events);
}

TEST_F(KubeClient, OfEventsThatAreSkimmedOnlyThatIsRead) {
  WatchOptions options;
  options.resource_version = "100";
  options.skim = [](std::string_view object) -> std::optional<Json> {
    // Others read it whole.
    if (object.find("\"spec\":2") == std::string_view::npos) return std::nullopt;
    return Json{{"metadata", {{"resourceVersion", ResourceVersionInText(object)}}}};
  };
  api_.Put("a", 1);
  api_.Put("a", 2);
  api_.Put("a", 3);
  std::vector<Json> seen;
  const Status status = client_->Watch(kRuntimes, "", options,
                                       [&](WatchEvent event) {
                                         seen.push_back(std::move(event.object));
                                         return seen.size() < 3;
                                       },
                                       {});
  EXPECT_TRUE(status.ok()) << status.ToString();
  ASSERT_EQ(3U, seen.size());
  EXPECT_EQ(1, seen[0]["spec"]);
  EXPECT_EQ("a", NameOf(seen[0]));
  EXPECT_FALSE(seen[0]["metadata"].contains("managedFields"));
  EXPECT_EQ((Json{{"metadata", {{"resourceVersion", "102"}}}}), seen[1]);
  EXPECT_EQ(3, seen[2]["spec"]);
}

TEST_F(KubeClient, WritesOfWhichTheVersionIsEnough) {
  const Json made = {{"metadata", {{"name", "p"}, {"namespace", "ns"}}}, {"spec", 1}};
  const auto created = client_->CreateForVersion(kPods, "ns", made);
  ASSERT_TRUE(created.ok()) << created.status().ToString();
  Json read = *client_->Get(kPods, "ns", "p");
  EXPECT_EQ(ResourceVersionOf(read), *created);
  const auto updated = client_->UpdateForVersion(kPods, read, "status");
  ASSERT_TRUE(updated.ok()) << updated.status().ToString();
  EXPECT_EQ("/api/v1/namespaces/ns/pods/p/status", api_.Requests().back().path);
  EXPECT_EQ(ResourceVersionOf(*client_->Get(kPods, "ns", "p")), *updated);
  EXPECT_EQ(Code::kConflict, client_->UpdateForVersion(kPods, read, "status").status().code());
  // 2xx, but nothing that an API server says.
  api_.AnswerNext("POST", "pods", {200, {}, "<html>"});
  EXPECT_EQ(Code::kUnavailable, client_->CreateForVersion(kPods, "ns", made).status().code());
}

TEST_F(KubeClient, WatchIsCancelled) {
  std::stop_source stop;
  std::jthread canceller([&] {
    EXPECT_TRUE(api_.WaitForOpenWatches(1));
    stop.request_stop();
  });
  WatchOptions options;
  options.resource_version = "100";
  const Status status = client_->Watch(
      kRuntimes, "", options, [](const WatchEvent&) { return true; }, stop.get_token());
  EXPECT_EQ(Code::kCancelled, status.code()) << status.ToString();
}

TEST_F(KubeClient, SendsItsTokenAndKeepsToAPathPrefix) {
  ClientConfig config = api_.Config();
  config.bearer_token = "secret";
  config.server += "/prefix/";
  const auto client = NewClient(config);
  ASSERT_TRUE(client.ok());
  (void)(*client)->GetRaw("/version");
  EXPECT_EQ("/prefix/version", api_.Requests().back().path);
  EXPECT_EQ("Bearer secret", api_.Requests().back().headers.Get("Authorization"));
}

TEST_F(KubeClient, CountsItsRequests) {
  metrics::Registry registry;
  const auto client = NewClient(api_.Config(), &registry);
  ASSERT_TRUE(client.ok());
  (void)(*client)->Get(kRuntimes, "", "none");
  EXPECT_NE(std::string::npos, registry.Render().find("rest_client_requests_total{code=\"404\""))
      << registry.Render();
}

TEST(TokenSource, IsReadAgainEachMinute) {
  const std::string path = testing::TempDir() + "/token-" + std::to_string(::getpid());
  ASSERT_TRUE(WriteFileAtomic(path, "one\n").ok());
  FakeClock clock;
  TokenSource tokens("", path, clock);
  EXPECT_EQ("one", *tokens.Get());
  ASSERT_TRUE(WriteFileAtomic(path, "two").ok());
  clock.Advance(std::chrono::seconds(59));
  EXPECT_EQ("one", *tokens.Get());
  clock.Advance(std::chrono::seconds(1));
  EXPECT_EQ("two", *tokens.Get());
  ASSERT_TRUE(WriteFileAtomic(path, "three").ok());
  tokens.Refused();
  EXPECT_EQ("three", *tokens.Get());
  ::unlink(path.c_str());
  clock.Advance(std::chrono::minutes(2));
  EXPECT_EQ("three", *tokens.Get()) << "the last one, while the file cannot be read";
  TokenSource missing("", path, clock);
  EXPECT_EQ(Code::kNotFound, missing.Get().status().code());
  // It is looked for again at the next minute, and at once by who has none.
  ASSERT_TRUE(WriteFileAtomic(path, "four \r\n\n").ok());
  EXPECT_EQ("three", *tokens.Get());
  EXPECT_EQ("four", *missing.Get());
  clock.Advance(std::chrono::minutes(1));
  EXPECT_EQ("four", *tokens.Get());
  ASSERT_TRUE(WriteFileAtomic(path, std::string((64U << 10U) + 1, 'x')).ok());
  TokenSource large("", path, clock);
  EXPECT_FALSE(large.Get().ok());
  ::unlink(path.c_str());
}

}  // namespace
}  // namespace envicutor::kube
