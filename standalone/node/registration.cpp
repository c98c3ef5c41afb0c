#include "standalone/node/registration.h"

#include <sys/utsname.h>

#include "common/kube/resource.h"

namespace envicutor::standalone {
namespace {

constexpr char kLeaseNamespace[] = "kube-node-lease";
constexpr int kLeaseSeconds = 40;

Json NodeCondition(const char* type, const char* status, const char* reason, const char* message,
                   const std::string& now) {
  return {{"type", type},       {"status", status},         {"reason", reason},
          {"message", message}, {"lastHeartbeatTime", now}, {"lastTransitionTime", now}};
}

}  // namespace

Json MakeNode(const Registration& registration) {
  Json labels = Json::object();
  for (const auto& [key, value] : registration.capacity.labels) labels[key] = value;
  return {{"apiVersion", "v1"},
          {"kind", "Node"},
          {"metadata", {{"name", registration.name}, {"labels", labels}}},
          // Other pods have no business here: it runs Envicutor's programs only.
          {"spec",
           {{"taints", Json::array({{{"key", "envicutor.io/executors-only"},
                                     {"value", "true"},
                                     {"effect", "NoSchedule"}}})}}}};
}

Json MakeNodeStatus(const Registration& registration, bool ready, WallTime now) {
  const std::string time = FormatRfc3339(now);
  const std::string cpu = std::to_string(registration.capacity.cpu_millis) + "m";
  const std::string memory = std::to_string(registration.capacity.memory_bytes >> 10) + "Ki";
  const Json amounts = {
      {"cpu", cpu}, {"memory", memory}, {"pods", std::to_string(registration.capacity.pods)}};
  utsname kernel{};
  ::uname(&kernel);
  return {
      {"capacity", amounts},
      {"allocatable", amounts},
      {"conditions",
       Json::array(
           {NodeCondition("MemoryPressure", "False", "KubeletHasSufficientMemory", "", time),
            NodeCondition("DiskPressure", "False", "KubeletHasNoDiskPressure", "", time),
            NodeCondition("PIDPressure", "False", "KubeletHasSufficientPID", "", time),
            NodeCondition("Ready", ready ? "True" : "False", ready ? "NodeReady" : "NodeStopping",
                          registration.mode.explanation.c_str(), time)})},
      // No Hostname: API servers prefer it for logs, and the name need not resolve.
      {"addresses", Json::array({{{"type", "InternalIP"}, {"address", registration.host_ip}}})},
      {"daemonEndpoints", {{"kubeletEndpoint", {{"Port", registration.log_port}}}}},
      {"nodeInfo",
       {{"machineID", ""},
        {"systemUUID", ""},
        {"bootID", ""},
        {"kernelVersion", kernel.release},
        {"osImage", "Envicutor local node"},
        {"containerRuntimeVersion", std::string("envicutor://") + ENVICUTOR_VERSION},
        {"kubeletVersion", std::string("envicutor-") + ENVICUTOR_VERSION},
        {"kubeProxyVersion", ""},
        {"operatingSystem", "linux"},
        {"architecture", "amd64"}}}};
}

Status RegisterNode(kube::Client& client, const Registration& registration, bool ready,
                    WallTime now) {
  const Result<Json> created = client.Create(kube::kNodes, "", MakeNode(registration));
  if (!created.ok() && created.status().code() != Code::kAlreadyExists) return created.status();
  const Result<Json> patched =
      client.Patch(kube::kNodes, "", registration.name, kube::PatchType::kMerge,
                   {{"status", MakeNodeStatus(registration, ready, now)}}, "status");
  return patched.status();
}

Status RenewNodeLease(kube::Client& client, const std::string& name, WallTime now) {
  const Json spec = {{"holderIdentity", name},
                     {"leaseDurationSeconds", kLeaseSeconds},
                     {"renewTime", FormatRfc3339Micro(now)}};
  const Result<Json> patched =
      client.Patch(kube::kLeases, kLeaseNamespace, name, kube::PatchType::kMerge, {{"spec", spec}});
  if (patched.ok() || patched.status().code() != Code::kNotFound) return patched.status();
  const Json lease = {{"apiVersion", "coordination.k8s.io/v1"},
                      {"kind", "Lease"},
                      {"metadata", {{"name", name}, {"namespace", kLeaseNamespace}}},
                      {"spec", spec}};
  return client.Create(kube::kLeases, kLeaseNamespace, lease).status();
}

}  // namespace envicutor::standalone
