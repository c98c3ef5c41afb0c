#include "standalone/cli/up_options.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>

#include "standalone/cli/command.h"
#include "standalone/cli/tool.h"

namespace envicutor::standalone {
namespace {

constexpr int64_t kWantedMemory = 3LL << 30;
constexpr int64_t kLeastMemory = 512LL << 20;
constexpr int64_t kMi = 1LL << 20;
constexpr int64_t kMaxSlots = 128;

}  // namespace

Status CheckUpOptions(const UpOptions& options) {
  if (options.port < 0 || options.port > 65535) {
    return InvalidArgument("--port: " + std::to_string(options.port) + " is not a port");
  }
  if (options.slots < 0 || options.slots > kMaxSlots) {
    return InvalidArgument("--slots: " + std::to_string(options.slots) + " is not from 1 to " +
                           std::to_string(kMaxSlots));
  }
  if (options.node != "auto" && options.node != "host" && options.node != "uml") {
    return InvalidArgument("--node: \"" + options.node + "\" is not auto, host or uml");
  }
  if (options.sandbox != "auto" && options.sandbox != "isolate" && options.sandbox != "native") {
    return InvalidArgument("--sandbox: \"" + options.sandbox + "\" is not auto, isolate or native");
  }
  if (options.data_dir.empty() || options.data_dir[0] != '/') {
    return InvalidArgument("--data-dir: \"" + options.data_dir + "\" is not an absolute path");
  }
  return OkStatus();
}

void PlanExecutors(const UpOptions& options, int cpus, int64_t memory_bytes, UpPlan* plan) {
  plan->slots = options.slots > 0 ? options.slots : cpus;
  const bool machines = plan->mode.mode == NodeMode::kUml;
  plan->executors = machines ? plan->slots : 1;
  plan->slots_per_executor = machines ? 1 : plan->slots;
  const int64_t share = memory_bytes / 4 * 3 / plan->executors;
  const int64_t wanted = kWantedMemory * plan->slots_per_executor;
  plan->executor_memory_bytes = std::max(kLeastMemory, std::min(wanted, share)) / kMi * kMi;
}

bool IsGoodIsolate(const std::string& version_text) {
  // "The process isolator 2.6"
  const size_t at = version_text.find_first_of("0123456789");
  if (at == std::string::npos) return false;
  int major = 0;
  int minor = 0;
  // NOLINTNEXTLINE(cert-err34-c): what isolate says of itself
  if (std::sscanf(version_text.c_str() + at, "%d.%d", &major, &minor) < 1) return false;
  return major > 2 || (major == 2 && minor >= 6);
}

Result<std::string> DecideSandbox(const std::string& wanted) {
  if (wanted == "native") return std::string("native");
  const Result<std::string> version = RunTool({"/usr/bin/env", "isolate", "--version"}, "", {});
  const bool good = version.ok() && IsGoodIsolate(*version);
  if (good) return std::string("isolate");
  if (wanted == "isolate") {
    return FailedPrecondition("--sandbox isolate: isolate 2.6 or newer is not installed");
  }
  return std::string("native");
}

Json DefaultPool(const UpPlan& plan) {
  const std::string memory = std::to_string(plan.executor_memory_bytes / kMi) + "Mi";
  return {{"apiVersion", "envicutor.io/v1alpha1"},
          {"kind", "ExecutorPool"},
          {"metadata", {{"name", "default"}}},
          {"spec",
           {{"minReplicas", plan.executors},
            {"maxReplicas", plan.executors},
            {"slotsPerExecutor", plan.slots_per_executor},
            {"sandbox", plan.sandbox},
            {"template", {{"resources", {{"limits", {{"memory", memory}}}}}}}}}};
}

std::string OperatorYaml(const UpPlan& plan, const std::string& data_dir, bool allow_degraded) {
  const std::string pki = data_dir + "/pki/";
  Json config = {
      {"kubeconfig", pki + "operator.kubeconfig"},
      {"executorTls",
       {{"caFile", pki + "executor-ca.crt"},
        {"certFile", pki + "operator-client.crt"},
        {"keyFile", pki + "operator-client.key"}}},
      {"executor",
       {{"storeHostPath", data_dir + "/store"},
        {"sandbox", plan.sandbox},
        {"allowDegraded", allow_degraded}}},
      {"builder", {{"storeHostPath", data_dir + "/store"}}},
      {"listen", {{"probes", plan.probes_address}, {"metrics", plan.metrics_address}}},
      // One operator, restarted only after the one before it has ended: no lease to wait for.
      {"leaderElection", {{"enabled", false}}}};
  if (!plan.nixpkgs.empty()) config["builder"]["nixpkgs"] = plan.nixpkgs;
  if (!plan.cache_public_key.empty()) {
    config["cache"] = {{"url", "file://" + data_dir + "/cache"},
                       {"publicKeys", Json::array({plan.cache_public_key})}};
  }
  return "# Written by `envicutor up` at every start.\n" + ToYaml(config);
}

}  // namespace envicutor::standalone
