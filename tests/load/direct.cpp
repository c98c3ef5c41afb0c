#include "tests/load/direct.h"

#include <condition_variable>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "common/api/run.h"
#include "common/base/encoding.h"
#include "common/base/file.h"
#include "common/http/client.h"
#include "tests/load/figures.h"
#include "tests/load/pace.h"
#include "tests/load/processes.h"

namespace envicutor::load {

const std::vector<std::string> kAgentFlags = {
    "url",   "ca",          "cert",    "key",    "name",         "environment", "script",
    "count", "concurrency", "timeout", "output", "process-tree", "warm-up"};
const std::vector<std::string> kGoJudgeFlags = {"url",     "count",  "concurrency",  "args",
                                                "timeout", "output", "process-tree", "warm-up"};

namespace {

// Bounds of a trivial program, the same for all.
constexpr int64_t kMi = 1 << 20;

Result<http::Response> Call(http::Client& client, const std::string& method,
                            const std::string& target, const Json& body,
                            std::stop_token stop = {}) {
  http::Request request;
  request.method = method;
  request.target = target;
  if (!body.is_null()) {
    request.headers.Set("Content-Type", "application/json");
    request.body = DumpJson(body);
  }
  ENVICUTOR_ASSIGN(http::Response response, client.Send(request, std::move(stop)));
  if (response.status / 100 != 2 && response.status != 429) {
    return Unavailable(method + " " + target + ": " + std::to_string(response.status) + " " +
                       response.body.substr(0, 300));
  }
  return response;
}

api::Limits TrivialLimits() {
  api::Limits limits;
  using api::Limit;
  for (const auto& [limit, value] :
       std::initializer_list<std::pair<Limit, int64_t>>{{Limit::kCpuTime, 5000},
                                                        {Limit::kExtraTime, 0},
                                                        {Limit::kWallTime, 10'000},
                                                        {Limit::kMemory, 256 * kMi},
                                                        {Limit::kMaxProcesses, 16},
                                                        {Limit::kMaxOpenFiles, 256},
                                                        {Limit::kMaxFileSize, 64 * kMi},
                                                        {Limit::kMaxDisk, 64 * kMi},
                                                        {Limit::kStack, 64 * kMi},
                                                        {Limit::kMaxStdout, 64 << 10},
                                                        {Limit::kMaxStderr, 64 << 10}}) {
    limits.Set(limit, value);
  }
  return limits;
}

// An agent as the operator drives it: results come on one long poll and are acknowledged together.
class AgentDriver {
 public:
  AgentDriver(std::unique_ptr<http::Client> client, api::RunRequest request)
      : client_(std::move(client)), request_(std::move(request)) {
    poller_ = std::jthread([this](const std::stop_token& stop) { Poll(stop); });
  }

  // Runs it once; returns when the result is here. A full agent is asked again.
  Status RunOnce() {
    api::RunRequest request = request_;
    request.uid = RandomUuid();
    const std::string target = "/v1/runs/" + request.uid + "/1";
    const Json body = api::RunRequestToJson(request);
    for (;;) {
      const uint64_t before = [this] {
        const std::lock_guard lock(mutex_);
        return received_;
      }();
      ENVICUTOR_ASSIGN(const http::Response answer, Call(*client_, "PUT", target, body));
      if (answer.status != 429) break;
      std::unique_lock lock(mutex_);
      came_.wait(lock, [&] { return received_ != before || !status_.ok(); });
    }
    std::unique_lock lock(mutex_);
    came_.wait(lock, [&] { return results_.contains(request.uid) || !status_.ok(); });
    if (!status_.ok()) return status_;
    const std::string verdict = results_.extract(request.uid).mapped();
    return verdict == "Accepted" ? OkStatus() : FailedPrecondition("the run ended " + verdict);
  }

 private:
  void Poll(const std::stop_token& stop) {
    int64_t after = 0;
    while (!stop.stop_requested()) {
      const Status polled = PollOnce(&after, stop);
      if (polled.ok()) continue;
      const std::lock_guard lock(mutex_);
      if (status_.ok()) status_ = polled;
      came_.notify_all();
      return;
    }
  }

  Status PollOnce(int64_t* after, const std::stop_token& stop) {
    const std::string target =
        "/v1/results?after=" + std::to_string(*after) + "&timeoutSeconds=5&limit=64";
    ENVICUTOR_ASSIGN(const http::Response page, Call(*client_, "GET", target, nullptr, stop));
    ENVICUTOR_ASSIGN(const Json body, ParseJson(page.body));
    *after = GetInt(body, "next");
    Json runs = Json::array();
    {
      const std::lock_guard lock(mutex_);
      for (const Json& result : At(body, {"results"})) {
        results_[GetString(result, "uid")] = GetString(result, "verdict");
        runs.push_back({{"uid", GetString(result, "uid")}, {"attempt", 1}});
        ++received_;
      }
    }
    if (runs.empty()) return OkStatus();
    came_.notify_all();
    return Call(*client_, "POST", "/v1/results/ack", {{"runs", std::move(runs)}}, stop).status();
  }

  std::unique_ptr<http::Client> client_;
  const api::RunRequest request_;
  std::mutex mutex_;
  std::condition_variable came_;
  std::unordered_map<std::string, std::string> results_;
  uint64_t received_ = 0;
  Status status_;
  std::jthread poller_;
};

Result<Json> Measure(const Flags& flags, const std::function<Status()>& run_once) {
  ENVICUTOR_ASSIGN(const Amount amount, AmountFrom(flags));
  ENVICUTOR_ASSIGN(const double root, flags.Number("process-tree", 0, 0, 1 << 22));
  ENVICUTOR_ASSIGN(const double warm_up, flags.Number("warm-up", 50, 0, 10'000));
  Amount warming = amount;
  warming.count = static_cast<int64_t>(warm_up);
  const auto job = [&](int64_t, SteadyTime) { return run_once(); };
  if (warming.count > 0) ENVICUTOR_RETURN_IF_ERROR(RunPaced(warming, job));
  const auto before =
      root > 0 ? ReadProcessTree(static_cast<pid_t>(root)) : std::map<pid_t, ProcessUse>();
  std::mutex mutex;
  std::vector<double> millis;
  const SteadyTime start = std::chrono::steady_clock::now();
  const auto measured = [&](int64_t, SteadyTime due) -> Status {
    ENVICUTOR_RETURN_IF_ERROR(run_once());
    const double took = MillisOf(std::chrono::steady_clock::now() - due);
    const std::lock_guard lock(mutex);
    millis.push_back(took);
    return OkStatus();
  };
  ENVICUTOR_RETURN_IF_ERROR(RunPaced(amount, measured));
  const double seconds = MillisOf(std::chrono::steady_clock::now() - start) / 1000;
  Json report = {{"requests", amount.count},
                 {"concurrency", amount.concurrency},
                 {"requestsPerSecond", Rounded(static_cast<double>(amount.count) / seconds)},
                 {"millis", Summary(std::move(millis))}};
  if (root <= 0) return report;
  Json use = UseBetween(before, ReadProcessTree(static_cast<pid_t>(root)));
  double cpu = 0;
  for (const auto& [name, process] : use.items()) {
    cpu += process["cpuSeconds"].get<double>() + process["childrenCpuSeconds"].get<double>();
  }
  report["processes"] = std::move(use);
  report["cpuMillisPerRequest"] = Rounded(cpu * 1000 / static_cast<double>(amount.count));
  return report;
}

}  // namespace

Result<Json> RunAgent(const Flags& flags) {
  http::ClientOptions options;
  options.base_url = flags.Text("url");
  for (const auto& [flag, out] :
       {std::pair{"ca", &options.tls.ca_pem}, std::pair{"cert", &options.tls.cert_pem},
        std::pair{"key", &options.tls.key_pem}}) {
    ENVICUTOR_ASSIGN(*out, ReadFile(flags.Text(flag)));
  }
  options.tls.expected_name = flags.Text("name", "executor.envicutor.internal");
  ENVICUTOR_ASSIGN(std::unique_ptr<http::Client> client, http::NewClient(options));
  api::RunRequest request;
  request.environment_hash = flags.Text("environment");
  request.ns = "default";
  request.name = "load";
  request.runtime = "load";
  request.extract_limits = TrivialLimits();
  request.run.script = flags.Text("script", "true");
  request.run.limits = TrivialLimits();
  request.memory_bytes = 256 * kMi;
  AgentDriver driver(std::move(client), std::move(request));
  return Measure(flags, [&driver] { return driver.RunOnce(); });
}

Result<Json> RunGoJudge(const Flags& flags) {
  http::ClientOptions options;
  options.base_url = flags.Text("url");
  ENVICUTOR_ASSIGN(const std::unique_ptr<http::Client> client, http::NewClient(options));
  ENVICUTOR_ASSIGN(const Json args, ParseJson(flags.Text("args", R"(["/bin/true"])")));
  const Json body = {
      {"cmd", Json::array({{{"args", args},
                            {"env", {"PATH=/usr/bin:/bin"}},
                            {"files", Json::array({{{"content", ""}},
                                                   {{"name", "stdout"}, {"max", 64 << 10}},
                                                   {{"name", "stderr"}, {"max", 64 << 10}}})},
                            {"cpuLimit", 5'000'000'000},
                            {"clockLimit", 10'000'000'000},
                            {"memoryLimit", 256 * kMi},
                            {"procLimit", 16}}})}};
  return Measure(flags, [&]() -> Status {
    ENVICUTOR_ASSIGN(const http::Response answer, Call(*client, "POST", "/run", body));
    ENVICUTOR_ASSIGN(const Json results, ParseJson(answer.body));
    if (!results.is_array() || results.empty()) return Unavailable("no result");
    const std::string status = GetString(results[0], "status");
    return status == "Accepted" ? OkStatus()
                                : FailedPrecondition("the run ended " + answer.body.substr(0, 300));
  });
}

}  // namespace envicutor::load
