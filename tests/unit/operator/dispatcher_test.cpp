// The dispatcher with its threads against an agent over real mutual TLS.
#include "operator/dispatch/dispatcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>

#include "common/http/server.h"
#include "tests/unit/operator/fakes.h"
#include "tests/unit/operator/submissions.h"

namespace envicutor::op {
namespace {

using testing::Accepted;
using ::testing::Contains;
using testing::FakeInformer;
using ::testing::HasSubstr;

constexpr std::chrono::seconds kSoon{20};

// Speaks common/api/run.h's protocol; a run is done as soon as it is put.
class TestAgent {
 public:
  TestAgent() {
    const SystemClock clock;
    const Duration validity = std::chrono::hours(1);
    ca_ = *http::NewCa("test", clock.WallNow(), validity);
    http::CertRequest server;
    server.common_name = "executor.envicutor.internal";
    server.dns_names = {"executor.envicutor.internal"};
    server.server = true;
    const http::KeyPair pair = *http::IssueCert(ca_, server, clock.WallNow(), validity);
    http::CertRequest client;
    client.common_name = "envicutor-operator";
    client.client = true;
    client_ = *http::IssueCert(ca_, client, clock.WallNow(), validity);
    http::ServerOptions options;
    options.tls = http::TlsServerOptions{pair.cert_pem, pair.key_pem, ca_.cert_pem, true};
    server_ =
        std::move(http::StartServer(options, [this](const http::ServerRequest& request,
                                                    std::shared_ptr<http::ResponseWriter> writer) {
                    Handle(request, std::move(writer));
                  }).value());
  }
  ~TestAgent() { server_->Stop(std::chrono::milliseconds(0)); }

  [[nodiscard]] AgentEndpoint Endpoint() const {
    AgentEndpoint endpoint;
    endpoint.base_url = "https://127.0.0.1:" + std::to_string(server_->port());
    endpoint.tls.ca_pem = ca_.cert_pem;
    endpoint.tls.cert_pem = client_.cert_pem;
    endpoint.tls.key_pem = client_.key_pem;
    endpoint.tls.expected_name = "executor.envicutor.internal";
    return endpoint;
  }
  bool WaitForAcks(size_t count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kSoon, [&] { return acks_.size() >= count; });
  }
  std::vector<std::string> peers() {
    const std::lock_guard lock(mutex_);
    return peers_;
  }

 private:
  void Handle(const http::ServerRequest& request, std::shared_ptr<http::ResponseWriter> writer) {
    const auto answer = [&](int status, const Json& body) {
      writer->Send({status, {}, DumpJson(body)});
    };
    const std::lock_guard lock(mutex_);
    peers_.push_back(request.peer.has_value() ? request.peer->common_name : "");
    if (request.path == "/v1/info") {
      api::AgentInfo info;
      info.instance = "i1";
      info.slots = 2;
      info.memory_bytes = 1 << 30;
      answer(200, api::AgentInfoToJson(info));
    } else if (request.path == "/v1/runs") {
      answer(200, {{"instance", "i1"}, {"runs", Json::array()}});
    } else if (request.method == "PUT") {
      const api::RunRequest run = *api::RunRequestFromJson(*ParseJson(request.body));
      results_.push_back(api::RunResultToJson(Accepted(run.uid, run.attempt, run.run.stdin_data)));
      answer(202, Json::object());
      if (waiting_) Page(std::exchange(waiting_, nullptr), waiting_after_);
    } else if (request.path == "/v1/results/ack") {
      const Json body = *ParseJson(request.body);
      for (const Json& run : body["runs"]) acks_.push_back(run["uid"]);
      answer(200, Json::object());
      changed_.notify_all();
    } else if (request.path == "/v1/results") {
      const auto after = static_cast<size_t>(std::stoul(request.Query("after")));
      if (after >= results_.size()) {
        waiting_ = std::move(writer);
        waiting_after_ = after;
      } else {
        Page(std::move(writer), after);
      }
    } else {
      answer(404, Json::object());
    }
  }
  void Page(std::shared_ptr<http::ResponseWriter> writer, size_t after) {
    Json page = {{"instance", "i1"}, {"next", results_.size()}, {"results", Json::array()}};
    for (size_t i = after; i < results_.size(); ++i) page["results"].push_back(results_[i]);
    writer->Send({200, {}, DumpJson(page)});
  }

  http::KeyPair ca_;
  http::KeyPair client_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Json> results_;
  std::vector<std::string> acks_;
  std::vector<std::string> peers_;
  std::shared_ptr<http::ResponseWriter> waiting_;
  size_t waiting_after_ = 0;
  std::unique_ptr<http::Server> server_;  // last: its threads use the rest
};

Json Pod(const std::string& name, const std::string& phase = "Running") {
  return {{"metadata",
           {{"name", name},
            {"namespace", "x"},
            {"uid", name},
            {"resourceVersion", "1"},
            {"labels", {{"envicutor.io/pool", "default"}}}}},
          {"spec", {{"nodeName", "node-1"}}},
          {"status", {{"phase", phase}, {"podIP", "10.0.0.1"}}}};
}

TEST(Dispatcher, RunsOverMutualTlsAndAcknowledges) {
  TestAgent agent;
  const SystemClock clock;
  Dispatcher dispatcher(clock, [&](const std::string&) { return NewAgentApi(agent.Endpoint()); },
                        {});
  FakeInformer pods;
  dispatcher.Follow(pods);
  dispatcher.Start();
  pods.Deliver(Pod("executor-default-0"), false);
  dispatcher.PodsListed();

  std::mutex mutex;
  std::condition_variable changed;
  std::map<std::string, std::string> outputs;
  constexpr int kRuns = 50;
  for (int i = 0; i < kRuns; ++i) {
    api::RunRequest request;
    request.uid = "uid-" + std::to_string(i);
    request.environment_hash = "0123456789abcdef0123456789abcdef";
    request.run.script = "cat";
    request.run.stdin_data = "in-" + std::to_string(i);
    request.run.limits = BuiltInRunLimits().defaults;
    request.memory_bytes = 1 << 20;
    RunEvents events;
    events.on_done = [&, uid = request.uid](const Result<api::RunResult>& result,
                                            const RunPlacement& at) {
      const std::lock_guard lock(mutex);
      outputs[uid] =
          result.ok() ? result->run->stdout_data + "@" + at.pod : result.status().ToString();
      changed.notify_all();
    };
    dispatcher.Submit("default", "ns", 0, std::move(request), std::move(events));
  }
  {
    std::unique_lock lock(mutex);
    ASSERT_TRUE(changed.wait_for(lock, kSoon, [&] { return outputs.size() == kRuns; }));
    for (int i = 0; i < kRuns; ++i) {
      EXPECT_EQ(outputs["uid-" + std::to_string(i)],
                "in-" + std::to_string(i) + "@executor-default-0");
    }
  }
  EXPECT_TRUE(agent.WaitForAcks(kRuns));
  EXPECT_THAT(agent.peers(), ::testing::Each(::testing::Eq("envicutor-operator")));
  EXPECT_EQ(dispatcher.Load("default").busy, 0);
  EXPECT_EQ(dispatcher.Load("default").slots, 2);
}

// An executor whose process is stopped: connected, and then it answers nothing. Others are done
// with a run as soon as they have it.
class StoppableAgent final : public AgentApi {
 public:
  struct World {
    std::mutex mutex;
    std::condition_variable changed;
    bool stopped = true;
    std::map<std::string, std::vector<api::RunResult>> results;  // by address
  };
  StoppableAgent(World& world, std::string ip) : world_(world), ip_(std::move(ip)) {}

  Result<api::AgentInfo> Info() override {
    api::AgentInfo info;
    info.instance = "i1";
    info.slots = 12;
    info.memory_bytes = 1 << 30;
    return info;
  }
  Result<HeldRuns> ListRuns() override { return HeldRuns{"i1", {}}; }
  Status PutRun(const api::RunRequest& request) override {
    Wait();
    const std::lock_guard lock(world_.mutex);
    world_.results[ip_].push_back(Accepted(request.uid, request.attempt, ""));
    world_.changed.notify_all();
    return OkStatus();
  }
  Status CancelRun(const RunKey&) override {
    Wait();
    return OkStatus();
  }
  Result<ResultsPage> PollResults(int64_t after, std::chrono::seconds,
                                  std::stop_token stop) override {
    std::unique_lock lock(world_.mutex);
    const std::vector<api::RunResult>& results = world_.results[ip_];
    const auto from = static_cast<size_t>(after);
    while (results.size() <= from && !stop.stop_requested()) {
      world_.changed.wait_for(lock, std::chrono::milliseconds(50));
    }
    ResultsPage page{"i1", static_cast<int64_t>(results.size()), {}, {}};
    for (size_t i = from; i < results.size(); ++i) page.results.push_back(results[i]);
    return page;
  }
  Status Acknowledge(const std::vector<RunKey>&) override {
    Wait();
    return OkStatus();
  }

 private:
  void Wait() {
    std::unique_lock lock(world_.mutex);
    world_.changed.wait(lock, [&] { return ip_ == "healthy" || !world_.stopped; });
  }
  World& world_;
  const std::string ip_;
};

TEST(Dispatcher, ExecutorsThatAreStoppedHoldUpNoOther) {
  StoppableAgent::World world;
  const SystemClock clock;
  Dispatcher dispatcher(
      clock,
      [&](const std::string& ip) -> Result<std::unique_ptr<AgentApi>> {
        return std::unique_ptr<AgentApi>(std::make_unique<StoppableAgent>(world, ip));
      },
      {});
  FakeInformer pods;
  dispatcher.Follow(pods);
  dispatcher.Start();
  const std::vector<std::string> ips = {"stopped-1", "stopped-2", "stopped-3", "healthy"};
  for (const std::string& ip : ips) {
    Json pod = Pod(ip);
    pod["status"]["podIP"] = ip;
    pods.Deliver(pod, false);
  }
  const auto end = std::chrono::steady_clock::now() + kSoon;
  while (dispatcher.Load("default").slots < 48 && std::chrono::steady_clock::now() < end) {
    std::this_thread::yield();
  }
  ASSERT_EQ(dispatcher.Load("default").slots, 48);
  dispatcher.PodsListed();
  std::map<std::string, int> done;  // by executor; under the world's lock
  constexpr int kRuns = 100;        // the stopped ones take 36
  for (int i = 0; i < kRuns; ++i) {
    api::RunRequest request;
    request.uid = "uid-" + std::to_string(i);
    request.memory_bytes = 1 << 20;
    RunEvents events;
    events.on_done = [&](const Result<api::RunResult>&, const RunPlacement& at) {
      const std::lock_guard lock(world.mutex);
      ++done[at.pod];
      world.changed.notify_all();
    };
    dispatcher.Submit("default", "ns", 0, std::move(request), std::move(events));
  }
  {
    std::unique_lock lock(world.mutex);
    EXPECT_TRUE(world.changed.wait_for(lock, kSoon, [&] { return done["healthy"] == kRuns - 36; }));
    EXPECT_EQ(done.size(), 1U);
  }
  // What was handed over and not taken says so.
  int handed = 0;
  for (int i = 0; i < kRuns; ++i) {
    const std::optional<RunWait> wait = dispatcher.Waiting("uid-" + std::to_string(i));
    if (!wait.has_value()) continue;
    ++handed;
    EXPECT_THAT(wait->message, HasSubstr("handed to executor stopped-"));
  }
  EXPECT_EQ(handed, 36);
  {
    const std::lock_guard lock(world.mutex);
    world.stopped = false;
    world.changed.notify_all();
  }
  std::unique_lock lock(world.mutex);
  EXPECT_TRUE(world.changed.wait_for(lock, kSoon, [&] {
    return done["healthy"] + done["stopped-1"] + done["stopped-2"] + done["stopped-3"] == kRuns;
  }));
}

TEST(Dispatcher, APodThatFailsLosesItsRuns) {
  const SystemClock clock;
  Dispatcher dispatcher(clock,
                        [](const std::string&) -> Result<std::unique_ptr<AgentApi>> {
                          return Unavailable("no agent");
                        },
                        {});
  FakeInformer pods;
  dispatcher.Follow(pods);
  dispatcher.Start();
  dispatcher.PodsListed();
  pods.Deliver(Pod("executor-default-0"), false);
  EXPECT_EQ(dispatcher.Load("default").agents.size(), 1U);
  EXPECT_EQ(dispatcher.Load("default").slots, 0);
  pods.Deliver(Pod("executor-default-0", "Failed"), false);
  EXPECT_TRUE(dispatcher.Load("default").agents.empty());
}

TEST(AgentApi, AnswersMeanWhatTheProtocolSays) {
  EXPECT_TRUE(StatusOfAnswer(202, "").ok());
  EXPECT_EQ(StatusOfAnswer(409, "").code(), Code::kConflict);
  EXPECT_EQ(StatusOfAnswer(429, "").code(), Code::kResourceExhausted);
  EXPECT_EQ(StatusOfAnswer(503, "").code(), Code::kFailedPrecondition);
  EXPECT_EQ(StatusOfAnswer(500, "").code(), Code::kUnavailable);
  const Status bad = StatusOfAnswer(400, R"({"message": "field \"run\" must be an object"})");
  EXPECT_EQ(bad.code(), Code::kInvalidArgument);
  EXPECT_THAT(bad.message(), HasSubstr("field \"run\" must be an object"));
}

TEST(AgentApi, ListsAndPagesAreReadWithCare) {
  EXPECT_FALSE(HeldRunsFromJson({{"runs", 5}}).ok());
  EXPECT_FALSE(HeldRunsFromJson({{"runs", {{{"attempt", 1}}}}}).ok());
  const auto held = HeldRunsFromJson(
      {{"instance", "i"}, {"runs", {{{"uid", "a"}, {"attempt", 2}, {"state", "Done"}}}}});
  ASSERT_TRUE(held.ok());
  EXPECT_TRUE(held->runs[0].done);
  EXPECT_EQ(held->runs[0].key, (RunKey{"a", 2}));
  EXPECT_FALSE(ResultsPageFromJson({{"results", {{{"verdict", "Nonsense"}}}}}).ok());
}

}  // namespace
}  // namespace envicutor::op
