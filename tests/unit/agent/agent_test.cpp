// The whole agent over real loopback sockets with mutual TLS; only the sandbox is a stand-in.
#include "executor-agent/server/agent.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <array>
#include <chrono>
#include <condition_variable>
#include <future>
#include <thread>

#include "common/api/environment.h"
#include "common/base/file.h"
#include "common/base/json.h"
#include "common/http/client.h"
#include "executor-agent/journal/journal.h"
#include "tests/unit/agent/fake_sandbox.h"
#include "tests/unit/agent/held_compaction.h"

namespace envicutor::agent {
namespace {

using ::testing::HasSubstr;

constexpr const char* kServerName = "executor.envicutor.internal";

// A program that goes on until it is stopped; the test learns when it has begun.
class Endless {
 public:
  FakeSandbox::Program program() {
    return [this](FakeBox&, const StageSpec&, const std::stop_token& stop) {
      std::unique_lock lock(mutex_);
      began_ = true;
      changed_.notify_all();
      changed_.wait(lock, stop, [] { return false; });
      StageOutcome outcome;
      outcome.killed = StageOutcome::Killed::kCancelled;
      return outcome;
    };
  }
  void AwaitBegin() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return began_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable_any changed_;
  bool began_ = false;
};

class AgentTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const WallTime now = SystemClock().WallNow();
    ca_ = *http::NewCa("test CA", now, std::chrono::hours(1));
    http::CertRequest server;
    server.common_name = kServerName;
    server.dns_names = {kServerName};
    server.server = true;
    const http::KeyPair pair = *http::IssueCert(ca_, server, now, std::chrono::hours(1));
    options_.tls_dir = dir_.path() + "/tls";
    ASSERT_TRUE(MakeDirs(options_.tls_dir).ok());
    ASSERT_TRUE(WriteFileAtomic(options_.tls_dir + "/tls.crt", pair.cert_pem).ok());
    ASSERT_TRUE(WriteFileAtomic(options_.tls_dir + "/tls.key", pair.key_pem).ok());
    ASSERT_TRUE(WriteFileAtomic(options_.tls_dir + "/ca.crt", ca_.cert_pem).ok());

    options_.store = dir_.path() + "/store";
    api::BuiltEnvironment environment;
    environment.hash = kHash;
    environment.store_path = "/nix/store/00000000000000000000000000000000-env";
    environment.shell = "/nix/store/00000000000000000000000000000001-bash/bin/bash";
    environment.variables = {{"PATH", "/nix/store/00000000000000000000000000000001-bash/bin"}};
    environment.closure = {environment.store_path,
                           "/nix/store/00000000000000000000000000000001-bash"};
    const std::string folder = options_.store + "/environments/" + kHash;
    ASSERT_TRUE(MakeDirs(folder).ok());
    ASSERT_TRUE(MakeDirs(options_.store + "/views/" + kHash).ok());
    ASSERT_TRUE(WriteFileAtomic(folder + "/environment.json",
                                DumpJson(api::BuiltEnvironmentToJson(environment)))
                    .ok());

    options_.state_dir = dir_.path() + "/state";
    options_.listen = options_.probe_listen = options_.metrics_listen = {"127.0.0.1", 0};
    options_.slots = 2;
    options_.memory_bytes = int64_t{1} << 30;
    options_.drain_timeout_millis = 0;
    StartAgent();
  }

  void StartAgent() {
    agent_.reset();
    auto started =
        Agent::Start(options_, [this](const AgentOptions&) -> Result<std::unique_ptr<Sandbox>> {
          auto sandbox = std::make_unique<FakeSandbox>();
          sandbox->program = [this](FakeBox& box, const StageSpec& spec,
                                    const std::stop_token& stop) {
            return program_(box, spec, stop);
          };
          return std::unique_ptr<Sandbox>(std::move(sandbox));
        });
    ASSERT_TRUE(started.ok()) << started.status().ToString();
    agent_ = *std::move(started);
    client_ = NewClient("envicutor-operator", ca_);
  }

  std::unique_ptr<http::Client> NewClient(const std::string& name, const http::KeyPair& ca) {
    http::CertRequest request;
    request.common_name = name;
    request.client = true;
    const http::KeyPair pair =
        *http::IssueCert(ca, request, SystemClock().WallNow(), std::chrono::hours(1));
    http::ClientOptions options;
    options.base_url = "https://127.0.0.1:" + std::to_string(agent_->port());
    options.tls = {ca_.cert_pem, pair.cert_pem, pair.key_pem, kServerName, false};
    return *http::NewClient(options);
  }

  struct Reply {
    int status = 0;
    Json body;
  };
  Reply Call(const std::string& method, const std::string& target, const std::string& body = "") {
    http::Request request;
    request.method = method;
    request.target = target;
    request.body = body;
    const auto response = client_->Send(request);
    EXPECT_TRUE(response.ok()) << response.status().ToString();
    if (!response.ok()) return {};
    const Result<Json> json = ParseJson(response->body);
    return {response->status, json.ok() ? *json : Json(response->body)};
  }
  Reply Put(const api::RunRequest& run) {
    return Call("PUT", "/v1/runs/" + run.uid + "/" + std::to_string(run.attempt),
                DumpJson(api::RunRequestToJson(run)));
  }
  std::string Plain(uint16_t port, const std::string& target, int* status) {
    http::ClientOptions options;
    options.base_url = "http://127.0.0.1:" + std::to_string(port);
    const auto client = *http::NewClient(options);
    http::Request request;
    request.target = target;
    const auto response = client->Send(request);
    EXPECT_TRUE(response.ok()) << response.status().ToString();
    *status = response.ok() ? response->status : 0;
    return response.ok() ? response->body : "";
  }

  TempDir dir_;
  http::KeyPair ca_;
  AgentOptions options_;
  FakeSandbox::Program program_ = [](FakeBox&, const StageSpec& spec, const std::stop_token&) {
    return Exit(0, spec.stdin_data);
  };
  Endless endless_;  // before the agent, whose runs may still be in it at the end
  std::unique_ptr<Agent> agent_;
  std::unique_ptr<http::Client> client_;
};

TEST_F(AgentTest, TakesARunAndGivesItsResultUntilAcknowledged) {
  api::RunRequest run = SimpleRequest("uid-1");
  run.run.stdin_data = std::string("bytes \xff\0", 8);
  EXPECT_EQ(Put(run).status, 202);
  const Reply page = Call("GET", "/v1/results?after=0&timeoutSeconds=20&limit=10");
  ASSERT_EQ(page.status, 200);
  ASSERT_EQ(page.body["results"].size(), 1U) << page.body;
  const auto result = api::RunResultFromJson(page.body["results"][0]);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->verdict, api::Verdict::kAccepted);
  EXPECT_EQ(result->run->stdout_data, run.run.stdin_data);
  EXPECT_EQ(Put(run).status, 200);
  const Reply runs = Call("GET", "/v1/runs");
  EXPECT_EQ(runs.body["instance"], page.body["instance"]);
  EXPECT_EQ(runs.body["runs"][0]["state"], "Done");

  // A new process gives it again, under a new instance.
  StartAgent();
  const Reply again =
      Call("GET", "/v1/results?after=" + page.body["next"].dump() + "&timeoutSeconds=20");
  EXPECT_EQ(again.body["results"], page.body["results"]);
  EXPECT_NE(again.body["instance"], page.body["instance"]);

  EXPECT_EQ(Call("POST", "/v1/results/ack", R"({"runs":[{"uid":"uid-1","attempt":1}]})").status,
            200);
  EXPECT_TRUE(Call("GET", "/v1/results?after=0").body["results"].empty());
  EXPECT_EQ(Put(run).status, 409);
  StartAgent();
  EXPECT_TRUE(Call("GET", "/v1/results?after=0").body["results"].empty());
}

TEST_F(AgentTest, CancelsARun) {
  program_ = endless_.program();
  EXPECT_EQ(Put(SimpleRequest("uid-1")).status, 202);
  endless_.AwaitBegin();
  const Reply runs = Call("GET", "/v1/runs");
  EXPECT_EQ(runs.body["runs"][0]["state"], "Running");
  EXPECT_EQ(runs.body["runs"][0]["stage"], "run");
  EXPECT_EQ(Call("GET", "/v1/info").body["busySlots"], 1);
  EXPECT_EQ(Call("DELETE", "/v1/runs/uid-1/2").status, 404);
  EXPECT_EQ(Call("DELETE", "/v1/runs/uid-1/1").status, 202);
  const Reply page = Call("GET", "/v1/results?after=0&timeoutSeconds=20");
  EXPECT_EQ(page.body["results"][0]["cancelled"], true);
}

// An acknowledgement that makes the journal's compaction due is answered, and so is whatever comes
// while that goes on.
TEST_F(AgentTest, AnswersWhileTheJournalIsCompacted) {
  constexpr int kResults = 20;
  agent_.reset();
  const std::string journal_dir = options_.state_dir + "/journal";
  {
    const auto journal = *Journal::Open({.dir = journal_dir});
    api::RunResult result;
    result.attempt = 1;
    result.verdict = api::Verdict::kAccepted;
    result.run.emplace().stdout_data = std::string(1'000'000, 'x');
    for (int i = 0; i < kResults; ++i) {
      result.uid = "old-" + std::to_string(i);
      ASSERT_TRUE(
          journal->RecordResult({result.uid, 1}, DumpJson(api::RunResultToJson(result))).ok());
    }
  }
  StartAgent();
  HeldCompaction compaction(journal_dir);
  Json known = Json::array();
  for (int i = 1; i < kResults; ++i) {
    known.push_back({{"uid", "old-" + std::to_string(i)}, {"attempt", 1}});
  }
  EXPECT_EQ(Call("POST", "/v1/results/ack", DumpJson({{"runs", known}})).status, 200);
  compaction.AwaitBegin();
  EXPECT_EQ(Put(SimpleRequest("uid-1")).status, 202);
  const Reply first = Call("GET", "/v1/results?after=0&limit=1");
  const Reply page =
      Call("GET", "/v1/results?after=" + first.body["next"].dump() + "&timeoutSeconds=20");
  ASSERT_EQ(page.body["results"].size(), 1U);
  EXPECT_EQ(page.body["results"][0]["uid"], "uid-1");
  EXPECT_EQ(Call("POST", "/v1/results/ack", R"({"runs":[{"uid":"uid-1","attempt":1}]})").status,
            200);
  EXPECT_EQ(Call("GET", "/v1/runs").body["runs"].size(), 1U);
  EXPECT_EQ(Call("GET", "/v1/info").body["busySlots"], 0);
}

// A run's requests wait for no handler thread, and what may wait for a disk holds no other request.
TEST_F(AgentTest, ARunIsTakenWhileTheHandlersWaitForTheStore) {
  constexpr size_t kHandlers = 2;
  constexpr std::chrono::seconds kPatience{20};
  std::array<std::future<int>, kHandlers> puts;
  std::array<UniqueFd, kHandlers> held;
  std::array<std::string, kHandlers> files;
  for (size_t i = 0; i < kHandlers; ++i) {
    // An environment's description that cannot be read to its end yet.
    const std::string hash(std::string(kHash).size(), static_cast<char>('1' + i));
    const std::string folder = options_.store + "/environments/" + hash;
    ASSERT_TRUE(MakeDirs(folder).ok());
    const std::string file = folder + "/environment.json";
    ASSERT_EQ(::mkfifo(file.c_str(), 0600), 0);
    puts.at(i) = std::async(std::launch::async, [&, hash] {
      http::Request request;
      request.method = "PUT";
      request.target = "/v1/environments";
      request.body =
          DumpJson({{"environments", {{{"hash", hash}, {"kind", ""}, {"storePath", ""}}}}});
      const auto response = NewClient("envicutor-operator", ca_)->Send(request);
      return response.ok() ? response->status : 0;
    });
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    // Can be opened so once somebody reads.
    while (!held.at(i).valid() && std::chrono::steady_clock::now() < deadline) {
      held.at(i) = UniqueFd(::open(file.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
      std::this_thread::yield();
    }
    EXPECT_TRUE(held.at(i).valid()) << "handler " << i << " does not get there";
    if (!held.at(i).valid()) held.at(i) = UniqueFd(::open(file.c_str(), O_RDWR | O_CLOEXEC));
    files.at(i) = file;
  }
  EXPECT_EQ(Put(SimpleRequest("uid-1")).status, 202);
  EXPECT_EQ(Call("GET", "/v1/results?after=0&timeoutSeconds=20").body["results"].size(), 1U);
  EXPECT_EQ(Call("POST", "/v1/results/ack", R"({"runs":[{"uid":"uid-1","attempt":1}]})").status,
            200);
  for (const std::string& file : files) EXPECT_EQ(::unlink(file.c_str()), 0);
  for (UniqueFd& writer : held) writer.reset();
  for (std::future<int>& put : puts) EXPECT_EQ(put.get(), 200);
}

TEST_F(AgentTest, RefusesWhatDoesNotFit) {
  program_ = endless_.program();
  api::RunRequest large = SimpleRequest("large");
  large.memory_bytes = int64_t{2} << 30;
  const Reply refused = Put(large);
  EXPECT_EQ(refused.status, 429);
  EXPECT_THAT(refused.body["error"].get<std::string>(), HasSubstr("2048 MiB"));
  EXPECT_EQ(Put(SimpleRequest("a")).status, 202);
  EXPECT_EQ(Put(SimpleRequest("b")).status, 202);
  EXPECT_EQ(Put(SimpleRequest("c")).status, 429);
  EXPECT_EQ(Put(SimpleRequest("a", 2)).status,
            429);  // the lower one's slot is not free yet, but it ends
}

TEST_F(AgentTest, NamesTheFieldOfABadRequest) {
  Json body = api::RunRequestToJson(SimpleRequest("uid-1"));
  body["files"][0]["path"] = "../../etc/passwd";
  Reply reply = Call("PUT", "/v1/runs/uid-1/1", DumpJson(body));
  EXPECT_EQ(reply.status, 400);
  EXPECT_EQ(reply.body["error"], "files[0]: path \"../../etc/passwd\" leaves the box");
  reply = Call("PUT", "/v1/runs/other/1", DumpJson(api::RunRequestToJson(SimpleRequest("uid-1"))));
  EXPECT_EQ(reply.status, 400);
  EXPECT_EQ(Call("PUT", "/v1/runs/uid-1/1", "{").status, 400);
  EXPECT_EQ(Call("PUT", "/v1/runs/uid-1/0", "{}").status, 404);
  EXPECT_EQ(Call("PUT", "/v1/runs/uid-1/1/2", "{}").status, 404);
  EXPECT_EQ(Call("POST", "/v1/runs/uid-1/1").status, 405);
  EXPECT_EQ(Call("POST", "/v1/results").status, 405);
  EXPECT_EQ(Call("POST", "/v1/results/ack", "[]").status, 400);
  EXPECT_EQ(Call("GET", "/v1/results?after=x").status, 400);
  EXPECT_EQ(Call("GET", "/v2").status, 404);
}

TEST_F(AgentTest, ServesNobodyButTheOperator) {
  client_ = NewClient("envicutor-node", ca_);
  EXPECT_EQ(Call("GET", "/v1/runs").status, 403);
  EXPECT_EQ(Put(SimpleRequest("a")).status, 403);
  EXPECT_EQ(Call("GET", "/healthz").status, 200);
  // A certificate of another CA, though it says it is the operator's.
  const http::KeyPair other = *http::NewCa("other", SystemClock().WallNow(), std::chrono::hours(1));
  const auto stranger = NewClient("envicutor-operator", other);
  http::Request request;
  request.target = "/v1/runs";
  EXPECT_FALSE(stranger->Send(request).ok());
}

TEST_F(AgentTest, InfoProbesAndMetrics) {
  const Reply info = Call("GET", "/v1/info");
  EXPECT_EQ(info.body["sandbox"], "fake");
  EXPECT_EQ(info.body["slots"], 2);
  EXPECT_EQ(info.body["memoryBytes"], int64_t{1} << 30);
  EXPECT_EQ(info.body["version"], ENVICUTOR_VERSION);
  EXPECT_EQ(info.body["draining"], false);
  int status = 0;
  EXPECT_EQ(Plain(agent_->probe_port(), "/healthz", &status), "ok\n");
  Plain(agent_->probe_port(), "/readyz", &status);
  EXPECT_EQ(status, 200);
  Plain(agent_->probe_port(), "/v1/runs", &status);
  EXPECT_EQ(status, 404);
  EXPECT_EQ(Put(SimpleRequest("a")).status, 202);
  Call("GET", "/v1/results?after=0&timeoutSeconds=20");
  const std::string metrics = Plain(agent_->metrics_port(), "/metrics", &status);
  EXPECT_THAT(metrics, HasSubstr("envicutor_agent_slots{state=\"free\"} "));
  EXPECT_THAT(metrics, HasSubstr("envicutor_agent_stage_seconds_count{stage=\"run\"} 1"));
  EXPECT_THAT(metrics, HasSubstr("envicutor_build_info"));
}

TEST_F(AgentTest, DrainRefusesNewRunsAndKillsWhatStays) {
  program_ = endless_.program();
  EXPECT_EQ(Put(SimpleRequest("a")).status, 202);
  endless_.AwaitBegin();
  agent_->Drain({});  // its time-out is 0 here
  EXPECT_EQ(Put(SimpleRequest("b")).status, 503);
  EXPECT_EQ(Call("GET", "/readyz").status, 503);
  int status = 0;
  EXPECT_EQ(Plain(agent_->probe_port(), "/readyz", &status), "draining\n");
  EXPECT_EQ(status, 503);
  EXPECT_EQ(Call("GET", "/v1/info").body["draining"], true);
  // Lost, so that the operator tries again; not cancelled.
  EXPECT_TRUE(Call("GET", "/v1/results?after=0").body["results"].empty());
  StartAgent();
  EXPECT_TRUE(Call("GET", "/v1/runs").body["runs"].empty());
}

TEST_F(AgentTest, SaysWhatIsMissingAtStart) {
  agent_.reset();
  options_.tls_dir = dir_.path() + "/nowhere";
  bool made = false;
  const auto maker = [&made](const AgentOptions&) -> Result<std::unique_ptr<Sandbox>> {
    made = true;
    return FailedPrecondition("control group v2 has no memory controller here");
  };
  auto agent = Agent::Start(options_, maker);
  ASSERT_FALSE(agent.ok());
  EXPECT_THAT(agent.status().message(), HasSubstr("--tls-dir"));
  EXPECT_THAT(agent.status().message(), HasSubstr("nowhere/tls.crt"));
  EXPECT_FALSE(made);
  options_.tls_dir = dir_.path() + "/tls";
  agent = Agent::Start(options_, maker);
  ASSERT_FALSE(agent.ok());
  EXPECT_THAT(agent.status().message(), HasSubstr("memory controller"));
}

TEST_F(AgentTest, ASecondAgentOnTheSameStateIsRefusedBeforeItTouchesTheSandbox) {
  bool made = false;
  const auto second =
      Agent::Start(options_, [&made](const AgentOptions&) -> Result<std::unique_ptr<Sandbox>> {
        made = true;
        return Internal("not reached");
      });
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.status().code(), Code::kFailedPrecondition);
  EXPECT_FALSE(made);
}

}  // namespace
}  // namespace envicutor::agent
