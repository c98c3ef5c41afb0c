// Every metric of the project, once: names, labels, buckets. Users of one make the struct that has
// it with the process's registry, or nullptr.
//
// Units are in the names: seconds and bytes. Label values are from fixed sets, but for names of
// runtimes, pools, controllers and queues.
#pragma once

#include <string>

#include "common/metrics/registry.h"

namespace envicutor::metrics {

// envicutor_build_info{version}: always 1.
void SetBuildInfo(Registry& registry, const std::string& version);

// The operator's own.
struct OperatorMetrics {
  explicit OperatorMetrics(Registry* registry);

  Family<Counter, 2>
      submissions_total;  // {runtime, verdict}: once for each terminal status written; runtime is
                          // "<environment>" for one of its own, "<unknown>" for none that is there;
                          // verdict is the reason where there is no verdict
  Family<Gauge, 1> submissions;                // {phase}
  Histogram queue_seconds;                     // created until dispatched
  Histogram overhead_seconds;                  // all time that was not the program's own
  Family<Histogram, 1> stage_seconds;          // {stage}: environment, extract, compile, run
  Family<Gauge, 2> executors;                  // {pool, state}: starting, ready, draining, lost
  Family<Gauge, 2> slots;                      // {pool, state}: free, busy
  Family<Histogram, 1> runtime_build_seconds;  // {result}: success, failure
  Family<Gauge, 1> runtimes;                   // {phase}
  Histogram cache_fetch_seconds;               // a closure from the binary cache
  Gauge cache_bytes;                           // what the binary cache holds
  Family<Counter, 1> compile_cache_total;      // {result}: hit, miss
  Counter retries_total;                       // attempts lost with their executor, tried again
};

// The executor agent's: envicutor_agent_*.
struct AgentMetrics {
  explicit AgentMetrics(Registry* registry);

  Family<Counter, 1> runs_total;            // {verdict}
  Family<Gauge, 1> runs;                    // {state}: running, unacknowledged
  Family<Gauge, 1> slots;                   // {state}: free, busy
  Family<Gauge, 1> memory_bytes;            // {state}: free, reserved
  Family<Histogram, 1> stage_seconds;       // {stage}: wall time of the program
  Histogram sandbox_overhead_seconds;       // one stage's time that was not the program's
  Family<Counter, 1> sandbox_errors_total;  // {stage}: exit status XX
  Counter oom_kills_total;
  Counter requests_refused_total;  // runs: no slot, no memory, draining, no journal
  Gauge journal_bytes;
  Counter lost_runs_total;  // runs that ended with the process before this one
  Histogram closure_fetch_seconds;
  Gauge closure_bytes;                     // closures on this executor
  Family<Counter, 1> compile_cache_total;  // {result}: hit, miss
  Gauge compile_cache_bytes;
};

// client-go's, kept by kube::WorkQueue.
struct WorkQueueMetrics {
  WorkQueueMetrics(Registry* registry, const std::string& queue);

  Gauge depth;
  Counter adds_total;
  Counter retries_total;
  Histogram queue_duration_seconds;
  Histogram work_duration_seconds;
  Gauge unfinished_work_seconds;
  Gauge longest_running_processor_seconds;
};

// controller-runtime's, for a controller's workers.
struct ReconcileMetrics {
  ReconcileMetrics(Registry* registry, const std::string& controller);

  Counter success_total;        // controller_runtime_reconcile_total{result="success"}: done
  Counter error_total;          // result="error"
  Counter requeue_total;        // result="requeue": well, it asked to be called again at once
  Counter requeue_after_total;  // result="requeue_after": well, it asked to be called again later
  Counter errors_total;         // controller_runtime_reconcile_errors_total
  Histogram time_seconds;
  Gauge active_workers;
  Gauge max_concurrent_reconciles;
};

// client-go's, kept by kube::Client.
struct RestClientMetrics {
  explicit RestClientMetrics(Registry* registry);
  Family<Counter, 3>
      requests_total;  // {code, method, host}; code "<error>" when there was no answer
};

// Of the operator's configuration file.
struct ConfigMetrics {
  explicit ConfigMetrics(Registry* registry);
  Family<Counter, 1> reloads_total;  // {result}: success, failure
  Gauge last_reload_successful;      // 1, or 0 while a file that is not valid waits
};

// client-go's, kept by kube::RunLeaderElection.
struct LeaderMetrics {
  LeaderMetrics(Registry* registry, const std::string& lease);
  Gauge master_status;  // 1 while this process leads
};

}  // namespace envicutor::metrics
