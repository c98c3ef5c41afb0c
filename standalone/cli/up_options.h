// What `envicutor up` was asked for, and what it decided from that. The deciding is pure.
#pragma once

#include <cstdint>
#include <string>

#include "common/base/json.h"
#include "common/base/status.h"
#include "standalone/node/host.h"

namespace envicutor::standalone {

struct UpOptions {
  std::string data_dir;
  std::string kubeconfig;  // also written here
  int64_t port = 0;        // 0: the last one, 6443, or any free one
  std::string node = "auto";
  int64_t slots = 0;  // 0: the number of CPUs
  std::string sandbox = "auto";
  bool allow_degraded = false;
  bool detach = false;
};
[[nodiscard]] Status CheckUpOptions(const UpOptions& options);

struct UpPlan {
  ModeDecision mode;
  int64_t slots = 1;
  std::string sandbox;    // native or isolate
  int64_t executors = 1;  // replicas of the default pool
  int64_t slots_per_executor = 1;
  int64_t executor_memory_bytes = 0;
  int64_t api_port = 6443;
  std::string probes_address;
  std::string metrics_address;
  std::string node_name = "local";
  std::string nixpkgs;           // as builders see it; "": none
  std::string cache_public_key;  // "name:base64"; "": there is no cache
};

// In a User-Mode-Linux machine there is one CPU: one slot each, as many machines as slots. On the
// host one executor has all slots. Executors together take at most 3/4 of the memory.
void PlanExecutors(const UpOptions& options, int cpus, int64_t memory_bytes, UpPlan* plan);

// isolate where a good one is installed, else native; and why.
[[nodiscard]] Result<std::string> DecideSandbox(const std::string& wanted);
// "isolate 2.6\n..." -> is it 2.6 or newer? Pure.
[[nodiscard]] bool IsGoodIsolate(const std::string& version_text);

[[nodiscard]] Json DefaultPool(const UpPlan& plan);
[[nodiscard]] std::string OperatorYaml(const UpPlan& plan, const std::string& data_dir,
                                       bool allow_degraded);

}  // namespace envicutor::standalone
