// The operator's configuration: one YAML file, every default and bound of the system in it.
//
//   kubeconfig: ""                      # "": $KUBECONFIG, in-cluster, ~/.kube/config
//   operatorNamespace: envicutor-system
//   executorNamespace: envicutor-executors
//   executorTls:   {caFile, certFile, keyFile, serverName: executor.envicutor.internal}
//   executor:      {image, storeHostPath: /var/lib/envicutor/store, sandbox: native|isolate,
//   allowDegraded: false} builder:       {image, storeHostPath, nixpkgs: "", timeout: 15m, memory:
//   2Gi, concurrency: 1} limits:        {run|compile|extract: {default: LIMITS, max: LIMITS}}   #
//   merged over the built-in ones queue:         {maxLength: 100000, perNamespaceMax: 20000}
//   scheduling:    {namespaceWeights: {NAMESPACE: 1.0},
//                   inFlightPerNamespace: {default: 0, overrides: {NAMESPACE: N}}}   # 0: no bound
//   submissions:   {ttlSecondsAfterFinished: 86400, allowEnvironments: all|packages|none,
//                   runtimeWaitSeconds: 30, workers: 8}
//   cache:         {url: "", publicKeys: [], upstreams: [{url, publicKey}], maxSize: 50Gi,
//                   executorMaxSize: 20Gi, keySecret: envicutor-cache-key, gcInterval: 1h,
//                   gcGrace: 1h}
//   listen:        {probes: 0.0.0.0:8081, metrics: 0.0.0.0:9464}          # "": not served
//   leaderElection: {enabled: true, leaseDuration: 15s, renewDeadline: 10s, retryPeriod: 2s}
//   log:           {level: debug|info|warn|error, format: json|text}
//
// Everything is optional but executorTls' three files. Durations and quantities are Kubernetes'
// ones.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/api/limits.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/status.h"
#include "operator/scheduler/in_flight.h"

namespace envicutor::op {

// All limits are set in both.
struct StageLimitOptions {
  api::Limits defaults;
  api::Limits maxima;
  friend bool operator==(const StageLimitOptions&, const StageLimitOptions&) = default;
};

// The built-in ones, documented in docs/configuration.md.
[[nodiscard]] StageLimitOptions BuiltInRunLimits();
[[nodiscard]] StageLimitOptions BuiltInCompileLimits();
[[nodiscard]] StageLimitOptions BuiltInExtractLimits();

struct ExecutorTlsOptions {
  std::string ca_file;
  std::string cert_file;
  std::string key_file;
  std::string server_name = "executor.envicutor.internal";
  friend bool operator==(const ExecutorTlsOptions&, const ExecutorTlsOptions&) = default;
};

struct ExecutorOptions {
  std::string image = "envicutor/executor-agent:" ENVICUTOR_VERSION;
  std::string store_host_path = "/var/lib/envicutor/store";
  std::string sandbox = "native";  // for pools that name none
  bool allow_degraded = false;
  friend bool operator==(const ExecutorOptions&, const ExecutorOptions&) = default;
};

struct BuilderOptions {
  std::string image = "envicutor/builder:" ENVICUTOR_VERSION;
  std::string store_host_path = "/var/lib/envicutor/store";
  std::string nixpkgs;  // path or URL: the default pin; "": the builder's own
  int64_t timeout_millis = 15 * 60'000LL;
  int64_t memory_bytes = 2LL << 30;
  int64_t concurrency = 1;  // builder pods at once
  friend bool operator==(const BuilderOptions&, const BuilderOptions&) = default;
};

struct CacheUpstream {
  std::string url;
  std::string public_key;  // "name:base64"
  friend bool operator==(const CacheUpstream&, const CacheUpstream&) = default;
};

// The shared binary cache (docs/configuration.md, "The cache").
struct CacheOptions {
  std::string url;  // file:///DIR, http(s)://HOST/, s3://BUCKET; "": none, one node only
  std::vector<std::string> public_keys;  // "name:base64": whose signatures executors accept
  std::vector<CacheUpstream> upstreams;  // beside the cache, with a key of their own each
  int64_t max_size_bytes = 50LL << 30;
  int64_t executor_max_size_bytes = 20LL << 30;  // of each executor's store
  // In the executors' namespace: "secret-key" and, where the cache wants it, "netrc". Only builder
  // pods mount it.
  std::string key_secret = "envicutor-cache-key";
  int64_t gc_interval_millis = 3'600'000;
  int64_t gc_grace_millis = 3'600'000;  // what is younger is not removed
  friend bool operator==(const CacheOptions&, const CacheOptions&) = default;
};

struct QueueOptions {
  int64_t max_length = 100'000;
  int64_t per_namespace_max = 20'000;
  friend bool operator==(const QueueOptions&, const QueueOptions&) = default;
};

// Between namespaces; priority comes first.
struct SchedulingOptions {
  std::map<std::string, double> namespace_weights;  // shares of the executors; others weigh 1
  InFlightLimits in_flight;                         // runs on executors at once
  friend bool operator==(const SchedulingOptions&, const SchedulingOptions&) = default;
};

enum class AllowEnvironments { kAll, kPackages, kNone };

struct SubmissionOptions {
  int64_t ttl_seconds_after_finished = 86'400;
  AllowEnvironments allow_environments = AllowEnvironments::kAll;
  int64_t runtime_wait_seconds = 30;
  int64_t workers = 8;  // threads, and connections, that write to the API server
  friend bool operator==(const SubmissionOptions&, const SubmissionOptions&) = default;
};

struct ListenOptions {
  std::string probes = "0.0.0.0:8081";
  std::string metrics = "0.0.0.0:9464";
  friend bool operator==(const ListenOptions&, const ListenOptions&) = default;
};

struct LeaderElectionOptions {
  bool enabled = true;
  int64_t lease_duration_millis = 15'000;
  int64_t renew_deadline_millis = 10'000;
  int64_t retry_period_millis = 2'000;
  friend bool operator==(const LeaderElectionOptions&, const LeaderElectionOptions&) = default;
};

struct Options {
  std::string kubeconfig;
  std::string operator_namespace = "envicutor-system";
  std::string executor_namespace = "envicutor-executors";
  ExecutorTlsOptions executor_tls;
  ExecutorOptions executor;
  BuilderOptions builder;
  CacheOptions cache;
  StageLimitOptions run_limits = BuiltInRunLimits();
  StageLimitOptions compile_limits = BuiltInCompileLimits();
  StageLimitOptions extract_limits = BuiltInExtractLimits();
  QueueOptions queue;
  SchedulingOptions scheduling;
  SubmissionOptions submissions;
  ListenOptions listen;
  LeaderElectionOptions leader_election;
  log::Level log_level = log::Level::kInfo;
  log::Format log_format = log::Format::kJson;
};

// The text is checked as a whole: InvalidArgument's message has one line for each mistake, with the
// field, the value and the bound; unknown keys are mistakes.
[[nodiscard]] Result<Options> ParseOptions(std::string_view yaml);
[[nodiscard]] Result<Options> LoadOptions(const std::string& path);
[[nodiscard]] Result<std::string> ReadOptionsText(const std::string& path);  // bounded

}  // namespace envicutor::op
