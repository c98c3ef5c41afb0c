#include "operator/pools/executor_pod.h"

#include <algorithm>

#include "common/api/limits.h"
#include "common/base/encoding.h"
#include "common/kube/resource.h"

namespace envicutor::op {
namespace {

constexpr int64_t kMi = 1LL << 20;
// What the agent itself may use; the rest of the pod's memory belongs to the boxes.
constexpr int64_t kAgentBytes = 128 * kMi;
constexpr int64_t kDefaultBytesPerSlot = 512 * kMi;

int64_t MemoryOf(const Json& resources, int64_t slots) {
  const int64_t fallback = slots * kDefaultBytesPerSlot + kAgentBytes;
  const Json& limit = At(resources, {"limits", "memory"});
  if (limit.is_number_integer()) return limit.get<int64_t>();
  if (!limit.is_string()) return fallback;
  return api::ParseQuantity(limit.get<std::string>()).ok()
             ? *api::ParseQuantity(limit.get<std::string>())
             : fallback;
}

Json FieldEnv(const std::string& name, const std::string& path) {
  return {{"name", name}, {"valueFrom", {{"fieldRef", {{"fieldPath", path}}}}}};
}

Json Probe(const std::string& path, int period, int failures) {
  return {{"httpGet", {{"path", path}, {"port", 8081}}},
          {"periodSeconds", period},
          {"timeoutSeconds", 3},
          {"failureThreshold", failures}};
}

}  // namespace

Json ExecutorPod(const Json& pool, const PoolSpec& spec, const std::string& name,
                 const Options& options) {
  const Json& shape = At(pool, {"spec", "template"});
  Json resources = At(shape, {"resources"}).is_object() ? At(shape, {"resources"}) : Json::object();
  const int64_t memory = MemoryOf(resources, spec.slots_per_executor);
  resources["limits"]["memory"] = api::FormatQuantity(memory);
  const std::string sandbox = GetString(At(pool, {"spec"}), "sandbox", options.executor.sandbox);
  Json args = {"--listen",         "$(POD_IP):8443",
               "--probe-listen",   "$(POD_IP):8081",
               "--metrics-listen", "$(POD_IP):9464",
               "--slots",          std::to_string(spec.slots_per_executor),
               "--sandbox",        sandbox,
               "--memory",         std::to_string(std::max(memory - kAgentBytes, memory / 2)),
               "--store",          "/var/lib/envicutor/store",
               "--state-dir",      "/var/lib/envicutor/agent",
               "--tls-dir",        "/etc/envicutor/tls"};
  if (options.executor.allow_degraded) args.push_back("--allow-degraded");
  const CacheOptions& cache = options.cache;
  for (std::string arg :
       {std::string("--cache-max-size"), std::to_string(cache.executor_max_size_bytes)}) {
    args.push_back(std::move(arg));
  }
  if (!cache.url.empty()) {
    std::string keys;
    std::string upstreams;
    for (const std::string& key : cache.public_keys) keys += (keys.empty() ? "" : " ") + key;
    for (const CacheUpstream& upstream : cache.upstreams) {
      keys += (keys.empty() ? "" : " ") + upstream.public_key;
      upstreams += (upstreams.empty() ? "" : " ") + upstream.url;
    }
    for (const std::string& arg :
         {std::string("--cache-url"), cache.url, std::string("--cache-public-keys"), keys}) {
      args.push_back(arg);
    }
    if (!upstreams.empty()) {
      args.push_back("--cache-upstreams");
      args.push_back(upstreams);
    }
  }
  Json container = {{"name", "agent"},
                    {"image", GetString(shape, "image", options.executor.image)},
                    {"command", Json::array({"envicutor-executor-agent"})},
                    {"args", std::move(args)},
                    {"env",
                     {FieldEnv("POD_IP", "status.podIP"), FieldEnv("POD_NAME", "metadata.name"),
                      FieldEnv("NODE_NAME", "spec.nodeName")}},
                    {"ports",
                     {{{"name", "runs"}, {"containerPort", 8443}},
                      {{"name", "probes"}, {"containerPort", 8081}},
                      {{"name", "metrics"}, {"containerPort", 9464}}}},
                    {"resources", std::move(resources)},
                    {"securityContext", {{"privileged", true}}},
                    {"readinessProbe", Probe("/readyz", 1, 3)},
                    {"livenessProbe", Probe("/healthz", 10, 6)},
                    {"volumeMounts",
                     {{{"name", "store"}, {"mountPath", "/var/lib/envicutor/store"}},
                      {{"name", "agent"}, {"mountPath", "/var/lib/envicutor/agent"}},
                      {{"name", "tls"}, {"mountPath", "/etc/envicutor/tls"}, {"readOnly", true}}}}};
  Json pod_spec = {
      {"restartPolicy", "Always"},
      {"terminationGracePeriodSeconds", 30},
      {"automountServiceAccountToken", false},
      {"enableServiceLinks", false},
      {"containers", Json::array({std::move(container)})},
      {"volumes",
       {{{"name", "store"},
         {"hostPath", {{"path", options.executor.store_host_path}, {"type", "DirectoryOrCreate"}}}},
        {{"name", "agent"}, {"emptyDir", Json::object()}},
        {{"name", "tls"}, {"secret", {{"secretName", "envicutor-executor-tls"}}}}}}};
  // A cache that is a folder: of the node's, read only.
  constexpr std::string_view kFile = "file://";
  if (cache.url.starts_with(kFile)) {
    const std::string folder = cache.url.substr(kFile.size(), cache.url.find('?') - kFile.size());
    pod_spec["volumes"].push_back(
        {{"name", "cache"}, {"hostPath", {{"path", folder}, {"type", "DirectoryOrCreate"}}}});
    pod_spec["containers"][0]["volumeMounts"].push_back(
        {{"name", "cache"}, {"mountPath", folder}, {"readOnly", true}});
  }
  for (const char* field :
       {"nodeSelector", "tolerations", "priorityClassName", "runtimeClassName"}) {
    if (!At(shape, {field}).is_null()) pod_spec[field] = At(shape, {field});
  }
  return {{"apiVersion", "v1"},
          {"kind", "Pod"},
          {"metadata",
           {{"name", name},
            {"namespace", options.executor_namespace},
            {"labels",
             {{"app.kubernetes.io/name", "envicutor"},
              {"app.kubernetes.io/component", "executor"},
              {"envicutor.io/pool", spec.name},
              {"envicutor.io/template-hash", spec.template_hash}}}}},
          {"spec", std::move(pod_spec)}};
}

std::string TemplateHash(const Json& pool, const PoolSpec& spec, const Options& options) {
  PoolSpec bare = spec;
  bare.template_hash.clear();
  return Sha256Hex(DumpJson(ExecutorPod(pool, bare, "", options))).substr(0, 16);
}

}  // namespace envicutor::op
