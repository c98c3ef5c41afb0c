#include "executor-agent/server/agent.h"

#include <chrono>
#include <utility>

#include "common/api/bounds.h"
#include "common/api/trace.h"
#include "common/base/clock.h"
#include "common/base/encoding.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/http/server.h"
#include "common/metrics/metrics.h"
#include "executor-agent/journal/journal.h"
#include "executor-agent/run/executor.h"
#include "executor-agent/server/api_handler.h"
#include "executor-agent/server/environments.h"
#include "executor-agent/server/rotating_server.h"
#include "executor-agent/server/runs.h"
#include "executor-agent/store/environment_store.h"

namespace envicutor::agent {
namespace {

// Results are in the journal too: how long a drain waits for an operator that may be gone itself.
constexpr std::chrono::seconds kAckGrace{3};
constexpr std::chrono::seconds kStopGrace{1};
// A body up to this is read in a fraction of a millisecond: no other request waits long for it.
constexpr size_t kShortBodyBytes = 64U << 10U;

// In order of construction: each uses those before it.
class AgentProcess final : public Agent {
 public:
  AgentProcess(const AgentOptions& options, std::unique_ptr<Sandbox> sandbox,
               std::unique_ptr<Journal> journal)
      : options_(options),
        metrics_(&registry_),
        sandbox_(std::move(sandbox)),
        journal_(std::move(journal)),
        timers_(clock_),
        log_(RandomUuid(), clock_, timers_),
        environments_(options, metrics_),
        store_(NewEnvironmentStore(options.store, environments_.source())),
        cache_(static_cast<size_t>(options.compile_cache_entries), options.compile_cache_bytes),
        executor_(*sandbox_, *store_, cache_, clock_,
                  [this](std::string_view stage, const api::StageResult& result) {
                    CountStage(stage, result);
                  }),
        runs_(
            {options.slots, options.memory_bytes},
            [this](const api::RunRequest& request, const RunControl& control,
                   const std::function<void(std::string_view)>& on_stage) {
              return Execute(request, control, on_stage);
            },
            *journal_, log_, timers_, clock_, metrics_),
        handler_(StaticInfo(), runs_, log_, environments_) {
    metrics::SetBuildInfo(registry_, ENVICUTOR_VERSION);
    on_render_ = registry_.OnRender([this] { UpdateGauges(); });
  }

  ~AgentProcess() override {
    runs_.Stop();
    log_.AnswerAll();
    if (api_server_) api_server_->Stop(kStopGrace);
    if (metrics_server_) metrics_server_->Stop(std::chrono::milliseconds(0));
    if (probe_server_) probe_server_->Stop(std::chrono::milliseconds(0));
    timers_.Stop();  // its callbacks use what ends now
  }

  Status Serve() {
    http::ServerOptions api;
    api.max_body_bytes = api::kMaxRequestBytes;
    api.max_connections = 256;
    // Two for what looks at the disk or takes long to read; a run's own requests at most append to
    // the journal.
    api.handler_threads = 2;
    api.at_once = &IsShort;
    api.address = options_.listen.host;
    api.port = options_.listen.port;
    auto started = RotatingServer::Start(
        options_.tls_dir, api,
        [this](const auto& request, const auto& writer) { handler_(request, writer); },
        std::chrono::milliseconds(options_.tls_check_millis));
    if (!started.ok()) return Describe(started.status(), "--listen", options_.listen);
    api_server_ = *std::move(started);
    http::ServerOptions plain;
    plain.handler_threads = 1;
    plain.max_connections = 64;
    plain.max_body_bytes = 4096;
    plain.read_timeout = std::chrono::seconds(10);
    ENVICUTOR_ASSIGN(
        metrics_server_,
        Listen("--metrics-listen", options_.metrics_listen, plain,
               [this](const auto& request, const auto& writer) {
                 if (request.path != "/metrics") return writer->Send({404, {}, "see /metrics\n"});
                 writer->Send({200, {{"Content-Type", metrics::kContentType}}, registry_.Render()});
               }));
    ENVICUTOR_ASSIGN(probe_server_, Listen("--probe-listen", options_.probe_listen, plain,
                                           ProbeHandler([this]() -> std::string {
                                             return runs_.load().draining ? "draining" : "";
                                           })));
    return OkStatus();
  }

  void Drain(const std::stop_token& hurry) override {
    runs_.BeginDrain();
    runs_.WaitDrained(std::chrono::milliseconds(options_.drain_timeout_millis), kAckGrace, hurry);
    runs_.Stop();
    const Status synced = journal_->Sync();
    if (!synced.ok())
      log::Warn("the journal may not be on the disk", {{"error", synced.message()}});
  }

  [[nodiscard]] uint16_t port() const override { return api_server_->port(); }
  [[nodiscard]] uint16_t probe_port() const override { return probe_server_->port(); }
  [[nodiscard]] uint16_t metrics_port() const override { return metrics_server_->port(); }

 private:
  static bool IsShort(const http::ServerRequest& request) {
    return request.path != kEnvironmentsPath && request.body.size() <= kShortBodyBytes;
  }

  static Result<std::unique_ptr<http::Server>> Listen(std::string_view flag,
                                                      const ListenAddress& address,
                                                      http::ServerOptions server,
                                                      http::Handler handler) {
    server.address = address.host;
    server.port = address.port;
    auto started = http::StartServer(server, std::move(handler));
    if (!started.ok()) return Describe(started.status(), flag, address);
    return started;
  }

  static Status Describe(const Status& status, std::string_view flag,
                         const ListenAddress& address) {
    return status.WithContext(std::string(flag) + ' ' + address.host + ':' +
                              std::to_string(address.port));
  }

  [[nodiscard]] api::AgentInfo StaticInfo() const {
    const SandboxInfo sandbox = sandbox_->Info();
    api::AgentInfo info;
    info.version = ENVICUTOR_VERSION;
    info.sandbox = sandbox.engine;
    info.degraded = sandbox.degraded;
    return info;
  }

  api::RunResult Execute(const api::RunRequest& request, const RunControl& control,
                         const std::function<void(std::string_view)>& on_stage) {
    api::RunResult result = executor_.Execute(request, control, on_stage);
    metrics_.sandbox_overhead_seconds.Observe(std::chrono::milliseconds(result.overhead_millis));
    if (result.compile) {
      metrics_.compile_cache_total.With({result.compile_cached ? "hit" : "miss"}).Increment();
    }
    const auto complain = [&](const char* stage, const std::optional<api::StageResult>& of) {
      if (!of || of->exit_status != api::ExitStatus::kSandboxError) return;
      log::Error("the sandbox failed", api::LogContext(request),
                 {{"stage", stage}, {"error", of->exit_message}});
    };
    complain("extract", result.extract);
    complain("compile", result.compile);
    complain("run", result.run);
    for (const api::TestResult& test : result.tests) complain("run", test.run);
    return result;
  }

  void CountStage(std::string_view stage, const api::StageResult& result) {
    metrics_.stage_seconds.With({std::string(stage)})
        .Observe(std::chrono::milliseconds(result.wall_time_millis));
    if (result.oom_killed) metrics_.oom_kills_total.Increment();
    if (result.exit_status == api::ExitStatus::kSandboxError) {
      metrics_.sandbox_errors_total.With({std::string(stage)}).Increment();
    }
  }

  void UpdateGauges() {
    const Runs::Load load = runs_.load();
    metrics_.runs.With({"running"}).Set(static_cast<double>(load.busy_slots));
    metrics_.runs.With({"unacknowledged"}).Set(static_cast<double>(log_.size()));
    metrics_.slots.With({"busy"}).Set(static_cast<double>(load.busy_slots));
    metrics_.slots.With({"free"}).Set(static_cast<double>(options_.slots - load.busy_slots));
    metrics_.memory_bytes.With({"reserved"}).Set(static_cast<double>(load.used_memory_bytes));
    metrics_.memory_bytes.With({"free"}).Set(
        static_cast<double>(options_.memory_bytes - load.used_memory_bytes));
    metrics_.journal_bytes.Set(static_cast<double>(journal_->file_bytes()));
    metrics_.compile_cache_bytes.Set(static_cast<double>(cache_.stats().bytes));
  }

  const AgentOptions options_;
  const SystemClock clock_;
  metrics::Registry registry_;
  metrics::AgentMetrics metrics_;
  std::unique_ptr<Sandbox> sandbox_;
  std::unique_ptr<Journal> journal_;
  Timers timers_;
  ResultLog log_;
  Environments environments_;
  std::unique_ptr<EnvironmentStore> store_;
  CompileCache cache_;
  Executor executor_;
  Runs runs_;
  ApiHandler handler_;
  std::shared_ptr<void> on_render_;
  std::unique_ptr<RotatingServer> api_server_;
  std::unique_ptr<http::Server> metrics_server_;
  std::unique_ptr<http::Server> probe_server_;
};

}  // namespace

Result<std::unique_ptr<Agent>> Agent::Start(const AgentOptions& options,
                                            const SandboxMaker& make_sandbox) {
  // Before anything of the sandbox is touched.
  ENVICUTOR_RETURN_IF_ERROR(ReadTls(options.tls_dir).status());
  JournalOptions journal_options;
  journal_options.dir = options.state_dir + "/journal";
  ENVICUTOR_RETURN_IF_ERROR(MakeDirs(journal_options.dir, 0700));
  ENVICUTOR_ASSIGN(std::unique_ptr<Journal> journal, Journal::Open(journal_options));
  const JournalRecovery& recovery = journal->recovery();
  log::Info("journal read", {{"results", std::to_string(recovery.results.size())},
                             {"lost", std::to_string(recovery.lost.size())},
                             {"tornBytes", std::to_string(recovery.torn_bytes)}});
  ENVICUTOR_ASSIGN(std::unique_ptr<Sandbox> sandbox, make_sandbox(options));
  const SandboxInfo info = sandbox->Info();
  auto agent = std::make_unique<AgentProcess>(options, std::move(sandbox), std::move(journal));
  ENVICUTOR_RETURN_IF_ERROR(agent->Serve());
  log::Info("serving", {{"port", std::to_string(agent->port())},
                        {"slots", std::to_string(options.slots)},
                        {"memoryBytes", std::to_string(options.memory_bytes)},
                        {"sandbox", info.engine},
                        {"degraded", info.degraded ? "true" : "false"},
                        {"detail", info.detail},
                        {"version", ENVICUTOR_VERSION}});
  return std::unique_ptr<Agent>(std::move(agent));
}

}  // namespace envicutor::agent
