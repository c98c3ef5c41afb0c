// The server in process, over HTTP: authentication, discovery, watches, bodies, logs, restarts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <thread>

#include "common/base/json.h"
#include "common/http/client.h"
#include "common/http/server.h"
#include "standalone/apiserver/apiserver.h"

namespace envicutor::standalone {
namespace {

using testing::HasSubstr;

constexpr const char* kToken = "test-token";

class ServerTest : public testing::Test {
 protected:
  void SetUp() override { StartServer(""); }

  void StartServer(const std::string& data_dir, size_t history = 10'000) {
    server_.reset();
    ApiServerOptions options;
    options.data_dir = data_dir;
    options.tokens = {{kToken, "admin", {"system:masters"}}};
    options.watch_history_events = history;
    auto server = StartApiServer(options);
    ASSERT_TRUE(server.ok()) << server.status().ToString();
    server_ = std::move(server).value();
    client_ = NewClient();
  }
  std::unique_ptr<http::Client> NewClient() {
    http::ClientOptions options;
    options.base_url = server_->url();
    auto client = http::NewClient(options);
    EXPECT_TRUE(client.ok());
    return std::move(client).value();
  }
  static http::Request MakeRequest(const std::string& method, const std::string& target,
                                   const std::string& body = "",
                                   const std::string& type = "application/json") {
    http::Request request;
    request.method = method;
    request.target = target;
    request.body = body;
    request.headers.Set("Authorization", std::string("Bearer ") + kToken);
    if (!body.empty()) request.headers.Set("Content-Type", type);
    return request;
  }
  http::Response Send(const http::Request& request) {
    auto response = client_->Send(request);
    EXPECT_TRUE(response.ok()) << response.status().ToString();
    return response.ok() ? *response : http::Response();
  }
  http::Response Send(const std::string& method, const std::string& target,
                      const std::string& body = "", const std::string& type = "application/json") {
    return Send(MakeRequest(method, target, body, type));
  }
  Json MustSend(int code, const std::string& method, const std::string& target,
                const std::string& body = "", const std::string& type = "application/json") {
    const http::Response response = Send(method, target, body, type);
    EXPECT_EQ(response.status, code) << method << " " << target << ": " << response.body;
    return Json::parse(response.body, nullptr, false);
  }
  static std::string ConfigMap(const std::string& name) {
    return DumpJson({{"metadata", {{"name", name}, {"labels", {{"app", name}}}}}});
  }
  // Reads a watch until `count` events have come (or it ends).
  std::vector<Json> Watch(const std::string& target, size_t count) {
    std::vector<Json> events;
    std::string rest;
    const auto client = NewClient();
    const auto response = client->Stream(
        MakeRequest("GET", target),
        [&](std::string_view data) {
          rest += data;
          size_t end = 0;
          while ((end = rest.find('\n')) != std::string::npos) {
            events.push_back(Json::parse(rest.substr(0, end)));
            rest.erase(0, end + 1);
          }
          return events.size() < count;
        },
        std::chrono::seconds(20));
    return events;
  }

  std::unique_ptr<ApiServer> server_;
  std::unique_ptr<http::Client> client_;
};

constexpr const char* kMaps = "/api/v1/namespaces/default/configmaps";

TEST_F(ServerTest, StrangersGet401AndProbesAreOpen) {
  http::Request request;
  request.target = "/api/v1/namespaces";
  EXPECT_EQ(Send(request).status, 401);
  request.headers.Set("Authorization", "Bearer wrong");
  const http::Response refused = Send(request);
  EXPECT_EQ(refused.status, 401);
  EXPECT_EQ(Json::parse(refused.body)["reason"], "Unauthorized");
  request = {};
  for (const char* path : {"/healthz", "/livez", "/readyz", "/version"}) {
    request.target = path;
    EXPECT_EQ(Send(request).status, 200) << path;
  }
  EXPECT_EQ(Send("GET", "/api/v1/namespaces").status, 200);
}

TEST_F(ServerTest, RefusesToStartWhereNobodyCouldOrEverybodyCould) {
  EXPECT_EQ(StartApiServer({}).status().code(), Code::kInvalidArgument);
  ApiServerOptions open;
  open.allow_anonymous = true;
  open.address = "0.0.0.0";
  EXPECT_EQ(StartApiServer(open).status().code(), Code::kInvalidArgument);
}

TEST_F(ServerTest, DiscoveryInBothForms) {
  EXPECT_EQ(MustSend(200, "GET", "/api")["versions"], (Json{"v1"}));
  const Json groups = MustSend(200, "GET", "/apis");
  EXPECT_EQ(groups["kind"], "APIGroupList");
  const Json core = MustSend(200, "GET", "/api/v1");
  std::vector<std::string> names;
  for (const Json& resource : core["resources"]) names.push_back(resource["name"]);
  EXPECT_THAT(names, testing::IsSupersetOf({"pods", "pods/status", "pods/log", "pods/binding",
                                            "secrets", "namespaces/finalize"}));
  http::Request request = MakeRequest("GET", "/apis");
  request.headers.Set("Accept",
                      "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
                      "application/json");
  EXPECT_EQ(Json::parse(Send(request).body)["kind"], "APIGroupDiscoveryList");
  EXPECT_EQ(MustSend(404, "GET", "/apis/nowhere.io")["reason"], "NotFound");
  EXPECT_EQ(MustSend(404, "GET", "/api/v1/services")["message"],
            "the server could not find the requested resource");
}

TEST_F(ServerTest, OpenApiIsServed) {
  const Json index = MustSend(200, "GET", "/openapi/v3");
  ASSERT_TRUE(index["paths"].contains("api/v1"));
  const std::string url = index["paths"]["api/v1"]["serverRelativeURL"];
  EXPECT_TRUE(MustSend(200, "GET", url).contains("components"));
  EXPECT_EQ(MustSend(200, "GET", "/openapi/v2")["swagger"], "2.0");
  http::Request request = MakeRequest("GET", "/openapi/v2");
  request.headers.Set("Accept", "application/com.github.proto-openapi.spec.v2@v1.0+protobuf");
  EXPECT_EQ(Send(request).headers.Get("Content-Type"),
            "application/com.github.proto-openapi.spec.v2.v1.0+protobuf");
}

TEST_F(ServerTest, BodiesInJsonAndYamlAndWrongOnes) {
  MustSend(201, "POST", kMaps, ConfigMap("json"));
  const Json yaml =
      MustSend(201, "POST", kMaps, "metadata:\n  name: yaml\ndata:\n  a: \"1\"\n  b: |\n    x\n",
               "application/yaml");
  EXPECT_EQ(yaml["data"], (Json{{"a", "1"}, {"b", "x\n"}}));
  MustSend(400, "POST", kMaps, "{", "application/json");
  MustSend(400, "POST", kMaps, "[]", "application/json");
  MustSend(400, "POST", kMaps, "a: [", "application/yaml");
  MustSend(415, "POST", kMaps, "x", "text/plain");
  MustSend(400, "POST", kMaps, "k8s", "application/vnd.kubernetes.protobuf");
  MustSend(400, "POST", kMaps, "{\"metadata\":{\"name\":\"a\"},\"data\":{\"k\":1}}");
  MustSend(400, "POST", kMaps, std::string(100'000, '['));
  MustSend(400, "POST", kMaps, std::string(100'000, '['), "application/yaml");
  MustSend(413, "POST", kMaps, std::string(4U << 20U, ' '));
  const http::Response duplicate = Send("POST", std::string(kMaps) + "?fieldValidation=Strict",
                                        R"({"metadata":{"name":"d"},"data":{"k":"1","k":"2"}})");
  EXPECT_EQ(duplicate.status, 400);
  EXPECT_THAT(duplicate.body, HasSubstr("duplicate field \\\"data.k\\\""));
}

TEST_F(ServerTest, ProtobufBodiesOfKubectlCreate) {
  // runtime.Unknown{TypeMeta{v1, Namespace}, raw: Namespace{metadata{name: "team"}}}
  const std::string meta = std::string("\x0a\x04") + "team";
  const std::string raw = std::string("\x0a") + static_cast<char>(meta.size()) + meta;
  const std::string type = std::string("\x0a\x02v1\x12\x09") + "Namespace";
  std::string body("k8s\0", 4);
  body += std::string("\x0a") + static_cast<char>(type.size()) + type;
  body += std::string("\x12") + static_cast<char>(raw.size()) + raw;
  const Json made =
      MustSend(201, "POST", "/api/v1/namespaces", body, "application/vnd.kubernetes.protobuf");
  EXPECT_EQ(made["metadata"]["name"], "team");
}

// Else each would be a line of the metrics, and memory, for ever.
TEST_F(ServerTest, MethodsThatClientsMakeUpAreCountedAsOne) {
  for (const char* method : {"FROB", "QUUX", "OPTIONS"}) {
    EXPECT_GE(Send(method, kMaps).status, 400);
  }
  MustSend(200, "GET", kMaps);
  const std::string metrics = Send("GET", "/metrics").body;
  EXPECT_THAT(metrics, HasSubstr("{verb=\"OTHER\",resource=\"configmaps\",code=\"405\"} 3"));
  EXPECT_THAT(metrics, HasSubstr("{verb=\"LIST\",resource=\"configmaps\",code=\"200\"} 1"));
  for (const char* made_up : {"FROB", "QUUX", "OPTIONS"}) {
    EXPECT_THAT(metrics, Not(HasSubstr(made_up)));
  }
}

TEST_F(ServerTest, MethodsAndMediaTypesThatAreNotThere) {
  MustSend(405, "POST", "/api/v1/configmaps", ConfigMap("a"));
  MustSend(405, "PUT", kMaps, ConfigMap("a"));
  MustSend(404, "GET", "/api/v1/configmaps/a");
  MustSend(404, "GET", "/api/v1/namespaces/default/pods/a/exec");
  MustSend(201, "POST", kMaps, ConfigMap("a"));
  const Json apply =
      MustSend(422, "PATCH", std::string(kMaps) + "/a", "{}", "application/apply-patch+yaml");
  EXPECT_EQ(
      apply["message"],
      "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for "
      "apply patch");
  MustSend(415, "PATCH", std::string(kMaps) + "/a?fieldManager=x", "{}",
           "application/apply-patch+cbor");
  http::Request request = MakeRequest("GET", kMaps);
  request.headers.Set("Accept", "application/vnd.kubernetes.protobuf");
  EXPECT_EQ(Send(request).status, 406);
  MustSend(422, "POST", std::string(kMaps) + "?dryRun=Some", ConfigMap("b"));
  MustSend(400, "GET", std::string(kMaps) + "?limit=x");
}

TEST_F(ServerTest, TablesAndPartialMetadata) {
  MustSend(201, "POST", kMaps, ConfigMap("a"));
  http::Request request = MakeRequest("GET", kMaps);
  request.headers.Set("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json");
  const Json table = Json::parse(Send(request).body);
  EXPECT_EQ(table["kind"], "Table");
  EXPECT_EQ(table["rows"][0]["cells"][0], "a");
  request.headers.Set("Accept", "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io");
  const Json partial = Json::parse(Send(request).body);
  EXPECT_EQ(partial["kind"], "PartialObjectMetadataList");
  EXPECT_FALSE(partial["items"][0].contains("data"));
}

TEST_F(ServerTest, AWatchTellsWhatHappenedAndMovesInAndOutOfSelections) {
  const Json made = MustSend(201, "POST", kMaps, ConfigMap("a"));
  const std::string version = made["metadata"]["resourceVersion"];
  const std::string path = std::string(kMaps) + "/a";
  const auto relabel = [&](const std::string& value) {
    MustSend(200, "PATCH", path, R"({"metadata":{"labels":{"app":")" + value + R"("}}})",
             "application/merge-patch+json");
  };
  relabel("other");
  relabel("a");
  MustSend(200, "PATCH", path, R"({"data":{"k":"v"}})", "application/merge-patch+json");
  MustSend(200, "DELETE", path);
  const auto events =
      Watch(std::string(kMaps) + "?watch=1&labelSelector=app%3Da&resourceVersion=" + version, 4);
  ASSERT_EQ(events.size(), 4U);
  EXPECT_EQ(events[0]["type"], "DELETED");
  EXPECT_EQ(events[0]["object"]["metadata"]["labels"]["app"], "a");
  EXPECT_EQ(events[1]["type"], "ADDED");
  EXPECT_EQ(events[2]["type"], "MODIFIED");
  EXPECT_EQ(events[3]["type"], "DELETED");
  uint64_t last = 0;
  for (const Json& event : events) {
    const uint64_t now =
        std::stoull(event["object"]["metadata"]["resourceVersion"].get<std::string>());
    EXPECT_GT(now, last);
    last = now;
  }
}

TEST_F(ServerTest, AWatchWithoutVersionStartsWithWhatIsThereAndGoesOnLive) {
  MustSend(201, "POST", kMaps, ConfigMap("a"));
  std::mutex mutex;
  std::condition_variable seen_first;
  bool first = false;
  std::vector<std::string> names;
  std::thread watcher([&] {
    const auto client = NewClient();
    const auto ended = client->Stream(
        MakeRequest("GET", std::string(kMaps) + "?watch=true"),
        [&](std::string_view data) {
          const std::lock_guard lock(mutex);
          names.push_back(Json::parse(data)["object"]["metadata"]["name"]);
          first = true;
          seen_first.notify_all();
          return names.size() < 2;
        },
        std::chrono::seconds(20));
  });
  {
    std::unique_lock lock(mutex);
    seen_first.wait(lock, [&] { return first; });
  }
  MustSend(201, "POST", kMaps, ConfigMap("b"));
  watcher.join();
  EXPECT_THAT(names, testing::ElementsAre("a", "b"));
}

TEST_F(ServerTest, AWatchEndsAtItsTimeoutWithABookmark) {
  const auto events = Watch(
      "/api/v1/namespaces/default/secrets?watch=1&timeoutSeconds=1&allowWatchBookmarks=true", 100);
  ASSERT_FALSE(events.empty());
  EXPECT_EQ(events.back()["type"], "BOOKMARK");
  EXPECT_EQ(events.back()["object"]["kind"], "Secret");
}

TEST_F(ServerTest, SendInitialEventsEndsWithItsBookmark) {
  MustSend(201, "POST", kMaps, ConfigMap("a"));
  const auto events = Watch(std::string(kMaps) +
                                "?watch=1&sendInitialEvents=true&allowWatchBookmarks=true&"
                                "resourceVersionMatch=NotOlderThan",
                            2);
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(events[0]["type"], "ADDED");
  EXPECT_EQ(events[1]["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
}

TEST_F(ServerTest, AWatchFromBeforeTheHistoryIsGone) {
  StartServer("", 2);
  const std::string version =
      MustSend(201, "POST", kMaps, ConfigMap("a"))["metadata"]["resourceVersion"];
  for (const char* name : {"b", "c", "d"}) MustSend(201, "POST", kMaps, ConfigMap(name));
  const Json gone =
      MustSend(410, "GET", std::string(kMaps) + "?watch=1&resourceVersion=" + version);
  EXPECT_EQ(gone["reason"], "Expired");
  EXPECT_THAT(gone["message"].get<std::string>(), HasSubstr("too old resource version"));
}

TEST_F(ServerTest, StoppingEndsWatches) {
  std::mutex mutex;
  std::condition_variable started;
  bool streaming = false;
  MustSend(201, "POST", kMaps, ConfigMap("a"));
  std::thread watcher([&] {
    const auto client = NewClient();
    const auto ended = client->Stream(
        MakeRequest("GET", std::string(kMaps) + "?watch=true"),
        [&](std::string_view) {
          const std::lock_guard lock(mutex);
          streaming = true;
          started.notify_all();
          return true;
        },
        std::chrono::seconds(20));
  });
  {
    std::unique_lock lock(mutex);
    started.wait(lock, [&] { return streaming; });
  }
  server_->Stop(std::chrono::milliseconds(2000));
  watcher.join();
}

TEST_F(ServerTest, EverythingIsThereAfterARestart) {
  std::string folder = testing::TempDir() + "apiserver.XXXXXX";
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  StartServer(folder);
  const Json made = MustSend(201, "POST", kMaps, ConfigMap("a"));
  StartServer(folder);
  EXPECT_EQ(MustSend(200, "GET", std::string(kMaps) + "/a"), made);
  server_.reset();
  std::filesystem::remove_all(folder);
}

TEST_F(ServerTest, LogsComeFromThePodsNode) {
  std::string target;
  auto node = http::StartServer({}, [&](const http::ServerRequest& request,
                                        const std::shared_ptr<http::ResponseWriter>& writer) {
    target = request.path + "?" + request.Query("tailLines");
    writer->Send({200, {{"Content-Type", "text/plain"}}, "one\ntwo\n"});
  });
  ASSERT_TRUE(node.ok());
  MustSend(
      201, "POST", "/api/v1/nodes",
      DumpJson({{"metadata", {{"name", "n"}}},
                {"status",
                 {{"addresses", Json::array({{{"type", "InternalIP"}, {"address", "127.0.0.1"}}})},
                  {"daemonEndpoints", {{"kubeletEndpoint", {{"Port", (*node)->port()}}}}}}}}));
  const std::string pods = "/api/v1/namespaces/default/pods";
  MustSend(201, "POST", pods,
           R"({"metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"i"}]}})");
  const Json unbound = MustSend(400, "GET", pods + "/p/log");
  EXPECT_EQ(unbound["message"], "pod p does not have a host assigned");
  MustSend(201, "POST", pods + "/p/binding", R"({"target":{"name":"n"}})");
  const http::Response log = Send("GET", pods + "/p/log?tailLines=2");
  EXPECT_EQ(log.status, 200);
  EXPECT_EQ(log.body, "one\ntwo\n");
  EXPECT_EQ(target, "/containerLogs/default/p/c?2");
  MustSend(400, "GET", pods + "/p/log?container=none");
}

}  // namespace
}  // namespace envicutor::standalone
