#include "operator/app.h"

#include <atomic>
#include <map>
#include <vector>

#include "common/base/file.h"
#include "common/base/log.h"
#include "common/kube/informer.h"
#include "common/kube/recorder.h"
#include "common/kube/workqueue.h"
#include "common/metrics/metrics.h"
#include "operator/controllers/submission_controller.h"
#include "operator/controllers/submission_status.h"
#include "operator/controllers/ttl.h"
#include "operator/controllers/workers.h"
#include "operator/dispatch/dispatcher.h"
#include "operator/dispatch/environment_sync.h"
#include "operator/environments/environment_builder.h"
#include "operator/pools/pool_controller.h"
#include "operator/runtimes/runtime_controller.h"

namespace envicutor::op {
namespace {

constexpr int kAgentPort = 8443;
constexpr int kRuntimeWorkers = 2;
constexpr int kBuildWorkers = 2;
constexpr std::chrono::milliseconds kSyncPoll{500};
constexpr const char* kExecutorSelector =
    "app.kubernetes.io/name=envicutor,app.kubernetes.io/component=executor";

AgentFactory AgentsOver(const Options& options) {
  return [tls = options.executor_tls](const std::string& ip) -> Result<std::unique_ptr<AgentApi>> {
    AgentEndpoint endpoint;
    const bool v6 = ip.find(':') != std::string::npos;
    endpoint.base_url = "https://" + (v6 ? "[" + ip + "]" : ip) + ":" + std::to_string(kAgentPort);
    // Read each time: certificates rotate.
    ENVICUTOR_ASSIGN(endpoint.tls.ca_pem, ReadFile(tls.ca_file));
    ENVICUTOR_ASSIGN(endpoint.tls.cert_pem, ReadFile(tls.cert_file));
    ENVICUTOR_ASSIGN(endpoint.tls.key_pem, ReadFile(tls.key_file));
    endpoint.tls.expected_name = tls.server_name;
    return NewAgentApi(endpoint);
  };
}

DispatcherOptions DispatcherOptionsOf(const Options& options) {
  DispatcherOptions dispatcher;
  dispatcher.core.ack_delay = std::chrono::milliseconds(25);
  dispatcher.core.queue_max = options.queue.max_length;
  dispatcher.core.namespace_max = options.queue.per_namespace_max;
  dispatcher.core.namespace_weights = options.scheduling.namespace_weights;
  dispatcher.core.in_flight = options.scheduling.in_flight;
  return dispatcher;
}

kube::WorkQueueOptions QueueOptions(metrics::Registry& registry) {
  kube::WorkQueueOptions options;
  options.registry = &registry;
  return options;
}

// Finished submissions are many, and all that is wanted of them is when they are to be deleted.
kube::InformerOptions SubmissionsOptions() {
  kube::InformerOptions options;
  options.summarize = IsTerminal;
  options.skim = SkimFinished;
  return options;
}

class OperatorApp final : public App {
 public:
  OperatorApp(kube::Client& client, const Clock& clock, LiveOptions& live,
              metrics::Registry& registry)
      : started_with_(live.Get()),
        options_(*started_with_),
        registry_(registry),
        metrics_(&registry),
        events_(kube::NewEventRecorder(client, "envicutor-operator")),
        submissions_(kube::NewInformer(client, kube::kSubmissions, SubmissionsOptions())),
        runtimes_(kube::NewInformer(client, kube::kRuntimes, {})),
        pools_(kube::NewInformer(client, kube::kExecutorPools, {})),
        executors_(kube::NewInformer(client, kube::kPods,
                                     {options_.executor_namespace, kExecutorSelector, ""})),
        builders_(kube::NewInformer(client, kube::kPods,
                                    {options_.executor_namespace, kBuilderSelector, ""})),
        submission_queue_(kube::NewWorkQueue("submission", QueueOptions(registry))),
        runtime_queue_(kube::NewWorkQueue("runtime", QueueOptions(registry))),
        build_queue_(kube::NewWorkQueue("environment", QueueOptions(registry))),
        dispatcher_(clock, AgentsOver(options_), DispatcherOptionsOf(options_)),
        ttl_(client, clock, options_.submissions.ttl_seconds_after_finished),
        builds_({client, *builders_, *build_queue_, metrics_, clock, options_}),
        runtime_controller_({client, *runtimes_, *submissions_, *runtime_queue_, dispatcher_,
                             builds_, events_.get(), metrics_, clock, live}),
        submission_controller_({client, *submissions_, *submission_queue_, dispatcher_,
                                runtime_controller_, builds_, ttl_, events_.get(), metrics_, clock,
                                live}),
        pool_controller_(
            {client, *pools_, *executors_, dispatcher_, events_.get(), metrics_, clock, live}),
        environment_sync_([this] { return LiveEnvironments(); },
                          [this] { return dispatcher_.Agents(); }),
        changes_(live.OnChange([this](const Options& now) {
          dispatcher_.SetBounds(DispatcherOptionsOf(now).core);
          ttl_.SetDefault(now.submissions.ttl_seconds_after_finished);
          pool_controller_.Wake();
        })) {}

  ~OperatorApp() override {
    // What makes work first, then the workers, then what they use.
    for (kube::Informer* informer : Informers()) informer->Stop();
    environment_sync_.Stop();
    pool_controller_.Stop();
    for (auto& queue : {submission_queue_.get(), runtime_queue_.get(), build_queue_.get()}) {
      queue->ShutDown();
    }
    workers_.clear();
    ttl_.Stop();
    dispatcher_.Stop();
  }

  Status Start(std::stop_token stop) {
    const auto begin = std::chrono::steady_clock::now();
    dispatcher_.Follow(*executors_);
    dispatcher_.OnLoadChange([this] { pool_controller_.Wake(); });
    builds_.CollectCache([this] { return PinnedEnvironments(); }, events_.get());
    builds_.Follow();
    runtime_controller_.Follow();
    submission_controller_.Follow();
    pool_controller_.Follow();
    kube::EventHandler runtimes;
    runtimes.on_add = [this](const kube::ObjectPtr&) { environment_sync_.Wake(); };
    runtimes.on_update = [this](const kube::ObjectPtr&, const kube::ObjectPtr&) {
      environment_sync_.Wake();
    };
    runtimes.on_delete = [this](const kube::ObjectPtr&) { environment_sync_.Wake(); };
    runtimes_->AddHandler(std::move(runtimes));
    builds_.OnChange([this](const std::string&) { environment_sync_.Wake(); });
    phases_ = registry_.OnRender([this] { CountPhases(); });

    dispatcher_.Start();
    for (kube::Informer* informer : Informers()) informer->Start();
    // Executors before submissions: dispatching waits for what they hold.
    ENVICUTOR_RETURN_IF_ERROR(WaitFor(*executors_, stop));
    dispatcher_.PodsListed();
    ENVICUTOR_RETURN_IF_ERROR(WaitFor(*builders_, stop));
    AddWorkers("environment", *build_queue_, kBuildWorkers,
               [this](const std::string& key) { return builds_.Reconcile(key); });
    ENVICUTOR_RETURN_IF_ERROR(WaitFor(*runtimes_, stop));
    AddWorkers("runtime", *runtime_queue_, kRuntimeWorkers,
               [this](const std::string& key) { return runtime_controller_.Reconcile(key); });
    ENVICUTOR_RETURN_IF_ERROR(WaitFor(*pools_, stop));
    pool_controller_.Start();
    ENVICUTOR_RETURN_IF_ERROR(WaitFor(*submissions_, stop));
    AddWorkers(
        "submission", *submission_queue_, static_cast<int>(options_.submissions.workers),
        [this](const std::string& key) { return submission_controller_.Reconcile(key); },
        [this](const std::string& key) { return submission_controller_.LogContext(key); });
    ttl_.Start();
    environment_sync_.Start();
    ready_ = true;
    LogStart(std::chrono::steady_clock::now() - begin);
    return OkStatus();
  }

  [[nodiscard]] bool Ready() const override { return ready_; }

 private:
  std::vector<kube::Informer*> Informers() {
    return {executors_.get(), builders_.get(), runtimes_.get(), pools_.get(), submissions_.get()};
  }

  static Status WaitFor(const kube::Informer& informer, const std::stop_token& stop) {
    while (!informer.WaitForSync(kSyncPoll)) {
      if (stop.stop_requested()) return {Code::kCancelled, "stopped before the caches were filled"};
    }
    return OkStatus();
  }

  void LogStart(Duration took) const {
    int64_t finished = 0;
    for (const auto& [phase, count] : submissions_->Summarized()) finished += count;
    const auto millis = std::chrono::duration_cast<std::chrono::milliseconds>(took).count();
    log::Info("the caches are filled", {{"millis", std::to_string(millis)},
                                        {"submissions", std::to_string(submissions_->All().size())},
                                        {"finished", std::to_string(finished)},
                                        {"runtimes", std::to_string(runtimes_->All().size())},
                                        {"executors", std::to_string(executors_->All().size())}});
  }

  void AddWorkers(const std::string& name, kube::WorkQueue& queue, int count,
                  std::function<Status(const std::string&)> reconcile,
                  std::function<log::Context(const std::string&)> describe = nullptr) {
    workers_.push_back(std::make_unique<Workers>(name, queue, count, &registry_,
                                                 std::move(reconcile), std::move(describe)));
  }

  // What executors are to keep: what Runtimes have, and submissions brought.
  std::vector<LiveEnvironment> LiveEnvironments() {
    std::vector<LiveEnvironment> live;
    for (const kube::ObjectPtr& runtime : runtimes_->All()) {
      for (LiveEnvironment& environment : EnvironmentsOfRuntime(*runtime)) {
        live.push_back(std::move(environment));
      }
    }
    for (auto& [hash, store_path] : submission_controller_.OwnEnvironments()) {
      live.push_back({hash, store_path, false});
    }
    return live;
  }

  // What the cache's garbage collection must leave.
  std::vector<KeptEnvironment> PinnedEnvironments() {
    std::vector<KeptEnvironment> pinned;
    for (LiveEnvironment& environment : LiveEnvironments()) {
      pinned.push_back({std::move(environment.hash), std::move(environment.store_path), true, 0});
    }
    return pinned;
  }

  void CountPhases() {
    std::map<std::string, int64_t> phases = {
        {"Pending", 0}, {"Running", 0}, {"Completed", 0}, {"Failed", 0}, {"Cancelled", 0}};
    for (const kube::ObjectPtr& object : submissions_->All()) {
      const auto it = phases.find(GetString(At(*object, {"status"}), "phase", "Pending"));
      if (it != phases.end()) ++it->second;
    }
    for (const auto& [phase, count] : submissions_->Summarized()) {
      const auto it = phases.find(phase);
      if (it != phases.end()) it->second += count;
    }
    for (const auto& [phase, count] : phases) {
      metrics_.submissions.With({phase}).Set(static_cast<double>(count));
    }
  }

  const std::shared_ptr<const Options> started_with_;
  const Options& options_;  // *started_with_: what only a restart changes
  metrics::Registry& registry_;
  metrics::OperatorMetrics metrics_;
  std::unique_ptr<kube::EventRecorder> events_;
  std::unique_ptr<kube::Informer> submissions_;
  std::unique_ptr<kube::Informer> runtimes_;
  std::unique_ptr<kube::Informer> pools_;
  std::unique_ptr<kube::Informer> executors_;
  std::unique_ptr<kube::Informer> builders_;
  std::unique_ptr<kube::WorkQueue> submission_queue_;
  std::unique_ptr<kube::WorkQueue> runtime_queue_;
  std::unique_ptr<kube::WorkQueue> build_queue_;
  Dispatcher dispatcher_;
  TtlCollector ttl_;
  EnvironmentBuilder builds_;
  RuntimeController runtime_controller_;
  SubmissionController submission_controller_;
  PoolController pool_controller_;
  EnvironmentSync environment_sync_;
  std::shared_ptr<void> changes_;
  std::vector<std::unique_ptr<Workers>> workers_;
  std::atomic<bool> ready_{false};
  std::shared_ptr<void> phases_;  // first to go: it reads the rest
};

}  // namespace

Result<std::unique_ptr<App>> StartApp(kube::Client& client, const Clock& clock, LiveOptions& live,
                                      metrics::Registry& registry, std::stop_token stop) {
  auto app = std::make_unique<OperatorApp>(client, clock, live, registry);
  ENVICUTOR_RETURN_IF_ERROR(app->Start(std::move(stop)));
  return std::unique_ptr<App>(std::move(app));
}

}  // namespace envicutor::op
