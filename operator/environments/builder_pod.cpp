#include "operator/environments/builder_pod.h"

#include <algorithm>

#include "common/api/limits.h"
#include "common/kube/resource.h"

namespace envicutor::op {
namespace {

constexpr char kStoreMount[] = "/var/lib/envicutor/store";
constexpr char kRequestMount[] = "/etc/envicutor/build";
constexpr char kCacheMount[] = "/etc/envicutor/cache";
// For publishing in all, after the build.
constexpr int64_t kPublishSeconds = 600;
// The builder ends its build itself; the pod's own deadline is for a builder that hangs, and leaves
// time for another build that holds the store.
constexpr int64_t kDeadlineSlackSeconds = 120;
constexpr int64_t kRemoveDeadlineSeconds = 600;
constexpr int64_t kCollectDeadlineSeconds = 1800;

int64_t TimeoutMillis(const api::EnvironmentSpec& spec, const Options& options) {
  return spec.build_timeout_millis > 0 ? spec.build_timeout_millis : options.builder.timeout_millis;
}
int64_t MemoryBytes(const api::EnvironmentSpec& spec, const Options& options) {
  return spec.build_memory_bytes > 0 ? spec.build_memory_bytes : options.builder.memory_bytes;
}

Json Labels(const std::string& hash) {
  return {{"app.kubernetes.io/name", "envicutor"},
          {"app.kubernetes.io/component", kBuilderComponent},
          {kEnvironmentLabel, hash}};
}

Json Metadata(const std::string& name, const std::string& hash, const Options& options) {
  return {{"name", name}, {"namespace", options.executor_namespace}, {"labels", Labels(hash)}};
}

Json Pod(const std::string& name, const std::string& hash, Json args, int64_t memory_bytes,
         int64_t deadline_seconds, const Options& options) {
  Json container = {
      {"name", "builder"},
      {"image", options.builder.image},
      {"command", Json::array({"envicutor-builder"})},
      {"args", std::move(args)},
      {"resources", {{"limits", {{"memory", api::FormatQuantity(memory_bytes)}}}}},
      // Nix's own sandbox needs namespaces and mounts.
      {"securityContext", {{"privileged", true}}},
      {"terminationMessagePath", "/dev/termination-log"},
      {"volumeMounts", Json::array({{{"name", "store"}, {"mountPath", kStoreMount}}})}};
  Json volumes = Json::array(
      {{{"name", "store"},
        {"hostPath", {{"path", options.builder.store_host_path}, {"type", "DirectoryOrCreate"}}}}});
  return {{"apiVersion", "v1"},
          {"kind", "Pod"},
          {"metadata", Metadata(name, hash, options)},
          {"spec",
           {{"restartPolicy", "Never"},
            {"activeDeadlineSeconds", deadline_seconds},
            {"terminationGracePeriodSeconds", 5},
            {"automountServiceAccountToken", false},
            {"enableServiceLinks", false},
            {"containers", Json::array({std::move(container)})},
            {"volumes", std::move(volumes)}}}};
}

// The first container's terminated state, or null.
const Json& Terminated(const Json& pod) {
  static const Json null;
  const Json& containers = At(pod, {"status", "containerStatuses"});
  if (!containers.is_array() || containers.empty()) return null;
  return At(containers[0], {"state", "terminated"});
}

std::string WaitingReason(const Json& pod) {
  const Json& containers = At(pod, {"status", "containerStatuses"});
  if (containers.is_array() && !containers.empty()) {
    const Json& waiting = At(containers[0], {"state", "waiting"});
    const std::string reason = GetString(waiting, "reason");
    const std::string message = GetString(waiting, "message");
    if (!reason.empty()) return message.empty() ? reason : reason + ": " + message;
  }
  if (GetString(At(pod, {"spec"}), "nodeName").empty()) return "no node has taken it yet";
  return "";
}

bool IsFileUrl(const std::string& url) { return url.rfind("file://", 0) == 0; }

std::string Words(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

void Append(Json* list, std::initializer_list<std::string> items) {
  for (const std::string& item : items) list->push_back(item);
}

// The cache: its address, its folder where it is one, and for who writes it the key's Secret.
void AddCache(const Options& options, Json* pod) {
  const CacheOptions& cache = options.cache;
  if (cache.url.empty()) return;
  Json& container = (*pod)["spec"]["containers"][0];
  Json& volumes = (*pod)["spec"]["volumes"];
  Append(&container["args"],
         {"--cache-url", cache.url, "--cache-key-file", std::string(kCacheMount) + "/secret-key",
          "--cache-netrc-file", std::string(kCacheMount) + "/netrc", "--cache-public-keys",
          Words(cache.public_keys), "--publish-timeout", std::to_string(kPublishSeconds) + "s"});
  container["volumeMounts"].push_back(
      {{"name", "cache-key"}, {"mountPath", kCacheMount}, {"readOnly", true}});
  volumes.push_back({{"name", "cache-key"},
                     {"secret", {{"secretName", cache.key_secret}, {"defaultMode", 0400}}}});
  if (!IsFileUrl(cache.url)) return;
  const std::string folder = cache.url.substr(std::string_view("file://").size());
  container["volumeMounts"].push_back({{"name", "cache"}, {"mountPath", folder}});
  volumes.push_back(
      {{"name", "cache"}, {"hostPath", {{"path", folder}, {"type", "DirectoryOrCreate"}}}});
}

// What the builds may fetch from besides the cache.
void AddUpstreams(const Options& options, Json* args) {
  if (options.cache.upstreams.empty()) return;
  std::vector<std::string> urls;
  std::vector<std::string> keys;
  for (const CacheUpstream& upstream : options.cache.upstreams) {
    urls.push_back(upstream.url);
    keys.push_back(upstream.public_key);
  }
  Append(args, {"--substituters", Words(urls), "--trusted-public-keys", Words(keys)});
}

void Fail(PodOutcome* outcome, bool infrastructure, std::string message) {
  outcome->infrastructure = infrastructure;
  outcome->state.phase = BuildState::Phase::kFailed;
  outcome->state.infrastructure = infrastructure;
  outcome->state.message = std::move(message);
}

void ReadMessage(const Json& message, PodOutcome* outcome) {
  BuildState& state = outcome->state;
  if (Result<api::StageResult> stage = api::StageResultFromJson(At(message, {"stage"}));
      stage.ok()) {
    state.stage = std::move(stage).value();
  }
  const std::string name = GetString(message, "outcome");
  const std::string text = GetString(message, "message", "no reason given");
  if (name == "Built" || name == "PublishFailed") {
    const Json& built = At(message, {"environment"});
    state.phase = BuildState::Phase::kReady;
    state.message = GetString(message, "message");
    state.store_path = GetString(built, "storePath");
    state.closure_size_bytes = GetInt(built, "closureSizeBytes");
    state.closure_paths = GetInt(built, "closurePaths");
    state.signed_by = GetString(built, "signedBy");
    if (name == "Built") return;
    Fail(outcome, true, text);
    state.unpublished = GetString(message, "reason", "PublishFailed");
    return;
  }
  const bool known = name == "BuildFailed" || name == "EvaluationFailed" || name == "TimedOut" ||
                     name == "OutOfMemory";
  if (known) {
    Fail(outcome, false, name + ": " + text);
  } else {
    Fail(outcome, true, text);
  }
}

}  // namespace

std::string BuilderName(const std::string& hash) { return "builder-" + hash; }
std::string RemoverName(const std::string& hash) { return "remove-" + hash; }

Json BuilderConfigMap(const std::string& hash, const api::EnvironmentSpec& spec,
                      const Options& options) {
  const Json request = {{"hash", hash}, {"environment", api::EnvironmentSpecToJson(spec)}};
  return {{"apiVersion", "v1"},
          {"kind", "ConfigMap"},
          {"metadata", Metadata(BuilderName(hash), hash, options)},
          {"data", {{"request.json", DumpJson(request)}}}};
}

Json BuilderPod(const std::string& hash, const api::EnvironmentSpec& spec, const Options& options,
                bool doubted) {
  Json args = {"--store", kStoreMount, "--request", std::string(kRequestMount) + "/request.json",
               "--timeout", std::to_string(options.builder.timeout_millis) + "ms",
               // Half for the evaluation's heap, as the builds share the pod's memory with it.
               "--memory", std::to_string(MemoryBytes(spec, options) / 2),
               // Also where no control group bounds the pod.
               "--build-memory", std::to_string(MemoryBytes(spec, options))};
  if (!options.builder.nixpkgs.empty()) {
    args.push_back("--nixpkgs");
    args.push_back(options.builder.nixpkgs);
  }
  AddUpstreams(options, &args);
  if (doubted) args.push_back("--doubt-cache");
  const int64_t deadline = TimeoutMillis(spec, options) / 1000 + kDeadlineSlackSeconds +
                           (options.cache.url.empty() ? 0 : kPublishSeconds);
  Json pod =
      Pod(BuilderName(hash), hash, std::move(args), MemoryBytes(spec, options), deadline, options);
  if (!spec.node.empty()) pod["spec"]["nodeSelector"] = {{"kubernetes.io/hostname", spec.node}};
  pod["spec"]["containers"][0]["volumeMounts"].push_back(
      {{"name", "request"}, {"mountPath", kRequestMount}, {"readOnly", true}});
  pod["spec"]["volumes"].push_back(
      {{"name", "request"}, {"configMap", {{"name", BuilderName(hash)}}}});
  // One submission's alone is not published: its builder does not get the key.
  if (spec.salt.empty()) AddCache(options, &pod);
  return pod;
}

Json RemoverPod(const std::string& hash, const Options& options) {
  return Pod(RemoverName(hash), hash, {"--store", kStoreMount, "--remove", hash},
             options.builder.memory_bytes, kRemoveDeadlineSeconds, options);
}

Json CollectorConfigMap(const std::vector<KeptEnvironment>& kept, const Options& options) {
  Json live = Json::array();
  for (const KeptEnvironment& environment : kept) {
    live.push_back({{"hash", environment.hash},
                    {"storePath", environment.store_path},
                    {"pinned", environment.pinned},
                    {"lastUsed", environment.last_used_unix}});
  }
  const Json request = {
      {"live", std::move(live)},
      {"maxBytes", options.cache.max_size_bytes},
      {"graceSeconds", std::max<int64_t>(options.cache.gc_grace_millis / 1000, 1)}};
  return {{"apiVersion", "v1"},
          {"kind", "ConfigMap"},
          {"metadata", Metadata(kCollectorName, kCollectorLabel, options)},
          {"data", {{"collect.json", DumpJson(request)}}}};
}

Json CollectorPod(const Options& options) {
  Json pod = Pod(kCollectorName, kCollectorLabel,
                 {"--store", kStoreMount, "--collect", std::string(kRequestMount) + "/collect.json",
                  "--store-max-size", std::to_string(options.cache.executor_max_size_bytes)},
                 options.builder.memory_bytes, kCollectDeadlineSeconds, options);
  pod["spec"]["containers"][0]["volumeMounts"].push_back(
      {{"name", "request"}, {"mountPath", kRequestMount}, {"readOnly", true}});
  pod["spec"]["volumes"].push_back(
      {{"name", "request"}, {"configMap", {{"name", kCollectorName}}}});
  AddCache(options, &pod);
  return pod;
}

CollectorOutcome ReadCollectorPod(const Json& pod) {
  CollectorOutcome outcome;
  const std::string phase = GetString(At(pod, {"status"}), "phase");
  outcome.ended = phase == "Succeeded" || phase == "Failed";
  if (!outcome.ended) return outcome;
  const Result<Json> message = ParseJson(GetString(Terminated(pod), "message"), 8);
  if (!message.ok() || !message->is_object()) {
    const std::string reason = GetString(At(pod, {"status"}), "reason");
    outcome.message =
        "the collection ended without a result" + (reason.empty() ? "" : ": " + reason);
    return outcome;
  }
  outcome.ok = GetString(*message, "outcome") == "Collected";
  outcome.message = GetString(*message, "message", "no reason given");
  outcome.kept_bytes = GetInt(*message, "keptBytes");
  outcome.changed = GetInt(*message, "paths") > 0 || GetInt(*message, "freedBytes") > 0 ||
                    GetInt(*message, "storeEnvironments") > 0;
  const Json& environments = At(*message, {"environments"});
  for (size_t i = 0; environments.is_array() && i < environments.size(); ++i) {
    if (environments[i].is_string()) outcome.environments.push_back(environments[i]);
  }
  return outcome;
}

PodOutcome ReadBuilderPod(const Json& pod, const Options& options) {
  PodOutcome outcome;
  const std::string phase = GetString(At(pod, {"status"}), "phase");
  if (phase == "Running") {
    outcome.phase = PodOutcome::Phase::kRunning;
    return outcome;
  }
  outcome.state.node = GetString(At(pod, {"spec"}), "nodeName");
  if (phase != "Succeeded" && phase != "Failed") {
    outcome.waiting = WaitingReason(pod);
    return outcome;
  }
  outcome.phase = PodOutcome::Phase::kEnded;
  const Json& terminated = Terminated(pod);
  const std::string text = GetString(terminated, "message");
  const Result<Json> message = ParseJson(text, 16);
  if (!text.empty() && message.ok() && message->is_object()) {
    ReadMessage(*message, &outcome);
    return outcome;
  }
  const std::string pod_reason = GetString(At(pod, {"status"}), "reason");
  const std::string reason = GetString(terminated, "reason");
  if (pod_reason == "DeadlineExceeded") {
    Fail(&outcome, false, "TimedOut: the build did not end within its pod's deadline");
  } else if (reason == "OOMKilled") {
    Fail(&outcome, false,
         "OutOfMemory: the build used more than its memory (" +
             api::FormatQuantity(options.builder.memory_bytes) + " unless buildMemory is set)");
  } else {
    std::string why = pod_reason.empty() ? reason : pod_reason;
    if (const std::string more = GetString(At(pod, {"status"}), "message"); !more.empty()) {
      why += (why.empty() ? "" : ": ") + more;
    }
    Fail(&outcome, true,
         "the builder ended without a result (exit code " +
             std::to_string(GetInt(terminated, "exitCode", -1)) + (why.empty() ? "" : ", " + why) +
             ")");
  }
  return outcome;
}

}  // namespace envicutor::op
