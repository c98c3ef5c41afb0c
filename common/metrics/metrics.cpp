#include "common/metrics/metrics.h"

namespace envicutor::metrics {
namespace {

using Labels = std::vector<std::string>;

// From the fastest sandbox to the longest wall-time limit, in seconds.
const std::vector<double> kRunBuckets = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                         0.5,   1,      2.5,   5,    10,    30,   60,  300};
// Builds and downloads, in seconds.
const std::vector<double> kBuildBuckets = {0.1, 0.5, 1, 5, 10, 30, 60, 120, 300, 600, 1800, 3600};
// client-go's for its workqueues: powers of ten from 10 ns, in seconds.
const std::vector<double> kQueueBuckets = {1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1, 10};
// controller-runtime's for a reconcile, in seconds.
const std::vector<double> kReconcileBuckets = {0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3,
                                               0.35,  0.4,  0.45,  0.5,  0.6, 0.7,  0.8, 0.9,  1,
                                               1.25,  1.5,  2,     3,    5,   10,   20,  30,   60};

template <size_t N>
Family<Counter, N> Counters(Registry* registry, const char* name, const char* help,
                            const std::array<std::string, N>& labels) {
  if (registry == nullptr) return {};
  return Family<Counter, N>(
      registry->CounterFamily({name, help, Labels(labels.begin(), labels.end()), {}}));
}
template <size_t N>
Family<Gauge, N> Gauges(Registry* registry, const char* name, const char* help,
                        const std::array<std::string, N>& labels) {
  if (registry == nullptr) return {};
  return Family<Gauge, N>(
      registry->GaugeFamily({name, help, Labels(labels.begin(), labels.end()), {}}));
}
template <size_t N>
Family<Histogram, N> Histograms(Registry* registry, const char* name, const char* help,
                                const std::vector<double>& buckets,
                                const std::array<std::string, N>& labels) {
  if (registry == nullptr) return {};
  return Family<Histogram, N>(
      registry->HistogramFamily({name, help, Labels(labels.begin(), labels.end()), buckets}));
}

using One = std::array<std::string, 1>;
using Two = std::array<std::string, 2>;
using Three = std::array<std::string, 3>;
constexpr std::array<std::string, 0> kNoLabels{};

}  // namespace

void SetBuildInfo(Registry& registry, const std::string& version) {
  Gauges(&registry, "envicutor_build_info", "The version that runs; always 1.", One{"version"})
      .With({version})
      .Set(1);
}

OperatorMetrics::OperatorMetrics(Registry* r)
    : submissions_total(Counters(r, "envicutor_submissions_total",
                                 "Submissions that reached a terminal state.",
                                 Two{"runtime", "verdict"})),
      submissions(Gauges(r, "envicutor_submissions", "Submissions by phase.", One{"phase"})),
      queue_seconds(Histograms(r, "envicutor_queue_seconds",
                               "From a submission's creation to its dispatch.", kRunBuckets,
                               kNoLabels)
                        .With({})),
      overhead_seconds(Histograms(r, "envicutor_overhead_seconds",
                                  "A submission's time that was not its program's own.",
                                  kRunBuckets, kNoLabels)
                           .With({})),
      stage_seconds(Histograms(r, "envicutor_stage_seconds", "Wall time of a stage.", kRunBuckets,
                               One{"stage"})),
      executors(
          Gauges(r, "envicutor_executors", "Executors by pool and state.", Two{"pool", "state"})),
      slots(Gauges(r, "envicutor_slots", "Slots of the executors by pool and state.",
                   Two{"pool", "state"})),
      runtime_build_seconds(Histograms(r, "envicutor_runtime_build_seconds",
                                       "Builds of environments.", kBuildBuckets, One{"result"})),
      runtimes(Gauges(r, "envicutor_runtimes", "Runtimes by phase.", One{"phase"})),
      cache_fetch_seconds(Histograms(r, "envicutor_cache_fetch_seconds",
                                     "Fetches of a closure from the binary cache.", kBuildBuckets,
                                     kNoLabels)
                              .With({})),
      cache_bytes(
          Gauges(r, "envicutor_cache_bytes", "Bytes in the binary cache.", kNoLabels).With({})),
      compile_cache_total(Counters(r, "envicutor_compile_cache_total",
                                   "Look-ups of compiled programs.", One{"result"})),
      retries_total(Counters(r, "envicutor_retries_total",
                             "Attempts that were lost with their executor and tried again.",
                             kNoLabels)
                        .With({})) {
  // Series of fixed label sets are there from the start: a rate over "nothing yet" is 0.
  for (const char* stage : {"environment", "extract", "compile", "run"}) {
    static_cast<void>(stage_seconds.With({stage}));
  }
  for (const char* result : {"success", "failure"}) {
    static_cast<void>(runtime_build_seconds.With({result}));
  }
  for (const char* result : {"hit", "miss"}) static_cast<void>(compile_cache_total.With({result}));
}

AgentMetrics::AgentMetrics(Registry* r)
    : runs_total(Counters(r, "envicutor_agent_runs_total", "Runs that ended.", One{"verdict"})),
      runs(Gauges(r, "envicutor_agent_runs", "Runs that the agent holds.", One{"state"})),
      slots(Gauges(r, "envicutor_agent_slots", "Slots by state.", One{"state"})),
      memory_bytes(Gauges(r, "envicutor_agent_memory_bytes",
                          "Memory for boxes, free and reserved by runs.", One{"state"})),
      stage_seconds(Histograms(r, "envicutor_agent_stage_seconds", "Wall time of a stage.",
                               kRunBuckets, One{"stage"})),
      sandbox_overhead_seconds(Histograms(r, "envicutor_agent_sandbox_overhead_seconds",
                                          "A stage's time that was not its program's own.",
                                          kRunBuckets, kNoLabels)
                                   .With({})),
      sandbox_errors_total(Counters(r, "envicutor_agent_sandbox_errors_total",
                                    "Stages that the sandbox could not run.", One{"stage"})),
      oom_kills_total(Counters(r, "envicutor_agent_oom_kills_total",
                               "Stages in which a process was killed for memory.", kNoLabels)
                          .With({})),
      requests_refused_total(Counters(r, "envicutor_agent_requests_refused_total",
                                      "Runs that were refused.", kNoLabels)
                                 .With({})),
      journal_bytes(
          Gauges(r, "envicutor_agent_journal_bytes", "Bytes in the journal.", kNoLabels).With({})),
      lost_runs_total(Counters(r, "envicutor_agent_lost_runs_total",
                               "Runs that ended with the process before this one.", kNoLabels)
                          .With({})),
      closure_fetch_seconds(Histograms(r, "envicutor_agent_closure_fetch_seconds",
                                       "Fetches of a closure.", kBuildBuckets, kNoLabels)
                                .With({})),
      closure_bytes(Gauges(r, "envicutor_agent_closure_bytes",
                           "Bytes of closures on this executor.", kNoLabels)
                        .With({})),
      compile_cache_total(Counters(r, "envicutor_agent_compile_cache_total",
                                   "Look-ups of compiled programs.", One{"result"})),
      compile_cache_bytes(Gauges(r, "envicutor_agent_compile_cache_bytes",
                                 "Bytes of compiled programs kept.", kNoLabels)
                              .With({})) {
  for (const char* stage : {"extract", "compile", "run"}) {
    static_cast<void>(stage_seconds.With({stage}));
    static_cast<void>(sandbox_errors_total.With({stage}));
  }
  for (const char* result : {"hit", "miss"}) static_cast<void>(compile_cache_total.With({result}));
}

WorkQueueMetrics::WorkQueueMetrics(Registry* r, const std::string& queue)
    : depth(Gauges(r, "workqueue_depth", "Keys that wait.", One{"name"}).With({queue})),
      adds_total(Counters(r, "workqueue_adds_total", "Keys added.", One{"name"}).With({queue})),
      retries_total(
          Counters(r, "workqueue_retries_total", "Keys added again after a failure.", One{"name"})
              .With({queue})),
      queue_duration_seconds(Histograms(r, "workqueue_queue_duration_seconds",
                                        "How long a key waits before it is worked on.",
                                        kQueueBuckets, One{"name"})
                                 .With({queue})),
      work_duration_seconds(Histograms(r, "workqueue_work_duration_seconds",
                                       "How long work on a key takes.", kQueueBuckets, One{"name"})
                                .With({queue})),
      unfinished_work_seconds(Gauges(r, "workqueue_unfinished_work_seconds",
                                     "Work in progress, all workers together.", One{"name"})
                                  .With({queue})),
      longest_running_processor_seconds(Gauges(r, "workqueue_longest_running_processor_seconds",
                                               "The longest work in progress.", One{"name"})
                                            .With({queue})) {}

ReconcileMetrics::ReconcileMetrics(Registry* r, const std::string& controller) {
  const auto total = Counters(r, "controller_runtime_reconcile_total", "Reconciliations.",
                              Two{"controller", "result"});
  success_total = total.With({controller, "success"});
  error_total = total.With({controller, "error"});
  requeue_total = total.With({controller, "requeue"});
  requeue_after_total = total.With({controller, "requeue_after"});
  errors_total = Counters(r, "controller_runtime_reconcile_errors_total",
                          "Reconciliations that failed.", One{"controller"})
                     .With({controller});
  time_seconds =
      Histograms(r, "controller_runtime_reconcile_time_seconds", "How long a reconciliation takes.",
                 kReconcileBuckets, One{"controller"})
          .With({controller});
  active_workers =
      Gauges(r, "controller_runtime_active_workers", "Workers that are busy.", One{"controller"})
          .With({controller});
  max_concurrent_reconciles =
      Gauges(r, "controller_runtime_max_concurrent_reconciles", "Workers.", One{"controller"})
          .With({controller});
}

RestClientMetrics::RestClientMetrics(Registry* r)
    : requests_total(Counters(r, "rest_client_requests_total", "Requests to the API server.",
                              Three{"code", "method", "host"})) {}

ConfigMetrics::ConfigMetrics(Registry* r)
    : reloads_total(Counters(r, "envicutor_config_reloads_total",
                             "Times the configuration file was read again.", One{"result"})),
      last_reload_successful(Gauges(r, "envicutor_config_last_reload_successful",
                                    "1: the configuration file is in force; 0: it is not valid.",
                                    kNoLabels)
                                 .With({})) {
  for (const char* result : {"success", "failure"}) static_cast<void>(reloads_total.With({result}));
}

LeaderMetrics::LeaderMetrics(Registry* r, const std::string& lease)
    : master_status(Gauges(r, "leader_election_master_status",
                           "1 while this process holds the lease.", One{"name"})
                        .With({lease})) {}

}  // namespace envicutor::metrics
