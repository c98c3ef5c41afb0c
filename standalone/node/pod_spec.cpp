#include "standalone/node/pod_spec.h"

#include <algorithm>

#include "common/api/limits.h"
#include "common/kube/resource.h"

namespace envicutor::standalone {
namespace {

constexpr int64_t kMaxSeconds = 10LL * 365 * 24 * 3600;

Status Unsupported(const std::string& field, const std::string& why) {
  return InvalidArgument(field + ": " + why + " is not supported by this node");
}

std::map<std::string, std::string> StringMap(const Json& object) {
  std::map<std::string, std::string> map;
  if (!object.is_object()) return map;
  for (const auto& [key, value] : object.items()) {
    if (value.is_string()) map.emplace(key, value.get<std::string>());
  }
  return map;
}

std::vector<std::string> StringList(const Json& list) {
  std::vector<std::string> strings;
  if (!list.is_array()) return strings;
  for (const Json& item : list) {
    if (item.is_string()) strings.push_back(item.get<std::string>());
  }
  return strings;
}

const Json& ListOf(const Json& object, std::string_view key) {
  static const Json empty = Json::array();
  const Json& list = At(object, {key});
  return list.is_array() ? list : empty;
}

std::chrono::seconds Seconds(const Json& object, std::string_view key, int64_t fallback) {
  return std::chrono::seconds(std::clamp<int64_t>(GetInt(object, key, fallback), 0, kMaxSeconds));
}

Result<EnvEntry> ParseEnv(const Json& json, const std::string& field) {
  EnvEntry entry;
  entry.name = GetString(json, "name");
  if (entry.name.empty() || entry.name.find('=') != std::string::npos) {
    return InvalidArgument(field + ".name: \"" + entry.name + "\" is not a name");
  }
  const Json& from = At(json, {"valueFrom"});
  if (!from.is_object()) {
    entry.value = GetString(json, "value");
    return entry;
  }
  const Json& config = At(from, {"configMapKeyRef"});
  const Json& secret = At(from, {"secretKeyRef"});
  if (At(from, {"fieldRef"}).is_object()) {
    entry.from = EnvEntry::From::kField;
    entry.value = GetString(At(from, {"fieldRef"}), "fieldPath");
  } else if (config.is_object() || secret.is_object()) {
    const Json& ref = config.is_object() ? config : secret;
    entry.from = config.is_object() ? EnvEntry::From::kConfigMap : EnvEntry::From::kSecret;
    entry.object = GetString(ref, "name");
    entry.key = GetString(ref, "key");
    entry.optional = GetBool(ref, "optional");
  } else {
    return Unsupported(field + ".valueFrom", "this source");
  }
  return entry;
}

// Of a projected volume: a Secret, a ConfigMap, fields of the pod, or the service account's token.
Result<VolumeSpec> ParseSource(const Json& json, const std::string& field) {
  VolumeSpec source;
  const Json& secret = At(json, {"secret"});
  const Json& config = At(json, {"configMap"});
  const Json& fields = At(json, {"downwardAPI"});
  const Json& token = At(json, {"serviceAccountToken"});
  if (token.is_object()) {
    source.kind = VolumeSpec::Kind::kToken;
    source.source = GetString(token, "audience");
    source.items.push_back({"token", GetString(token, "path"), 0600});
  } else if (fields.is_object()) {
    source.kind = VolumeSpec::Kind::kFields;
    for (const Json& item : ListOf(fields, "items")) {
      const Json& ref = At(item, {"fieldRef"});
      if (!ref.is_object()) return Unsupported(field + ".downwardAPI", "other than fieldRef");
      source.items.push_back(
          {GetString(ref, "fieldPath"), GetString(item, "path"), GetInt(item, "mode")});
    }
  } else if (secret.is_object() || config.is_object()) {
    const Json& from = secret.is_object() ? secret : config;
    source.kind = secret.is_object() ? VolumeSpec::Kind::kSecret : VolumeSpec::Kind::kConfigMap;
    source.source = GetString(from, "name");
    source.optional = GetBool(from, "optional");
    for (const Json& item : ListOf(from, "items")) {
      source.items.push_back(
          {GetString(item, "key"), GetString(item, "path"), GetInt(item, "mode")});
    }
  } else {
    return Unsupported(field, "this source of a projected volume");
  }
  return source;
}

Result<VolumeSpec> ParseVolume(const Json& json, const std::string& field) {
  VolumeSpec volume;
  volume.name = GetString(json, "name");
  if (volume.name.empty() || volume.name.find('/') != std::string::npos || volume.name[0] == '.') {
    return InvalidArgument(field + ".name: \"" + volume.name + "\" is not a name");
  }
  const Json& empty_dir = At(json, {"emptyDir"});
  const Json& host_path = At(json, {"hostPath"});
  const Json& secret = At(json, {"secret"});
  const Json& config = At(json, {"configMap"});
  if (host_path.is_object()) {
    volume.kind = VolumeSpec::Kind::kHostPath;
    volume.source = GetString(host_path, "path");
    volume.host_path_type = GetString(host_path, "type");
    if (volume.source.empty() || volume.source[0] != '/') {
      return InvalidArgument(field + ".hostPath.path: must be absolute");
    }
  } else if (secret.is_object() || config.is_object()) {
    const Json& source = secret.is_object() ? secret : config;
    volume.kind = secret.is_object() ? VolumeSpec::Kind::kSecret : VolumeSpec::Kind::kConfigMap;
    volume.source = GetString(source, secret.is_object() ? "secretName" : "name");
    volume.optional = GetBool(source, "optional");
    volume.default_mode = GetInt(source, "defaultMode", 0644);
    for (const Json& item : ListOf(source, "items")) {
      volume.items.push_back(
          {GetString(item, "key"), GetString(item, "path"), GetInt(item, "mode")});
    }
  } else if (const Json& projected = At(json, {"projected"}); projected.is_object()) {
    volume.kind = VolumeSpec::Kind::kProjected;
    volume.default_mode = GetInt(projected, "defaultMode", 0644);
    for (const Json& item : ListOf(projected, "sources")) {
      const std::string at =
          field + ".projected.sources[" + std::to_string(volume.sources.size()) + "]";
      ENVICUTOR_ASSIGN(VolumeSpec source, ParseSource(item, at));
      source.name = volume.name;
      source.default_mode = volume.default_mode;
      volume.sources.push_back(std::move(source));
    }
  } else if (empty_dir.is_object() || json.size() == 1) {
    volume.in_memory = GetString(empty_dir, "medium") == "Memory";
    const std::string size = GetString(empty_dir, "sizeLimit");
    if (!size.empty()) {
      ENVICUTOR_ASSIGN(volume.size_bytes, api::ParseQuantity(size));
    }
  } else {
    return Unsupported(field, "this kind of volume");
  }
  return volume;
}

Result<ProbeSpec> ParseProbe(const Json& json, const Json& container, const std::string& field) {
  const Json& http = At(json, {"httpGet"});
  if (!http.is_object()) return Unsupported(field, "a probe other than httpGet");
  if (const std::string scheme = GetString(http, "scheme", "HTTP"); scheme != "HTTP") {
    return Unsupported(field + ".httpGet.scheme", scheme);
  }
  ProbeSpec probe;
  probe.path = GetString(http, "path", "/");
  const Json& port = At(http, {"port"});
  int64_t number = port.is_number_integer() ? port.get<int64_t>() : 0;
  for (const Json& named : ListOf(container, "ports")) {
    if (port.is_string() && GetString(named, "name") == port.get<std::string>()) {
      number = GetInt(named, "containerPort");
    }
  }
  if (number < 1 || number > 65535) return InvalidArgument(field + ".httpGet.port: not a port");
  probe.port = static_cast<int>(number);
  probe.initial_delay = Seconds(json, "initialDelaySeconds", 0);
  probe.period = std::max(std::chrono::seconds(1), Seconds(json, "periodSeconds", 10));
  probe.timeout = std::max(std::chrono::seconds(1), Seconds(json, "timeoutSeconds", 1));
  probe.success_threshold =
      static_cast<int>(std::clamp<int64_t>(GetInt(json, "successThreshold", 1), 1, 1000));
  probe.failure_threshold =
      static_cast<int>(std::clamp<int64_t>(GetInt(json, "failureThreshold", 3), 1, 1000));
  return probe;
}

Status ParseContainer(const Json& json, PodSpec* pod) {
  const std::string field = "spec.containers[0]";
  pod->container = GetString(json, "name");
  pod->image = GetString(json, "image");
  pod->command = StringList(At(json, {"command"}));
  pod->args = StringList(At(json, {"args"}));
  pod->working_dir = GetString(json, "workingDir", "/");
  pod->privileged = GetBool(At(json, {"securityContext"}), "privileged");
  pod->termination_path = GetString(json, "terminationMessagePath", pod->termination_path);
  for (const Json& item : ListOf(json, "env")) {
    ENVICUTOR_ASSIGN(EnvEntry entry,
                     ParseEnv(item, field + ".env[" + std::to_string(pod->env.size()) + "]"));
    pod->env.push_back(std::move(entry));
  }
  if (!ListOf(json, "envFrom").empty()) return Unsupported(field, "envFrom");
  for (const Json& item : ListOf(json, "volumeMounts")) {
    VolumeMountSpec mount{GetString(item, "name"), GetString(item, "mountPath"),
                          GetString(item, "subPath"), GetBool(item, "readOnly")};
    const std::string at = field + ".volumeMounts[" + std::to_string(pod->mounts.size()) + "]";
    if (mount.path.empty() || mount.path[0] != '/' || mount.path.find("..") != std::string::npos) {
      return InvalidArgument(at + ".mountPath: \"" + mount.path + "\" is not an absolute path");
    }
    if (mount.sub_path.find("..") != std::string::npos || mount.sub_path.rfind('/', 0) == 0) {
      return InvalidArgument(at + ".subPath: \"" + mount.sub_path + "\" leaves the volume");
    }
    if (std::none_of(pod->volumes.begin(), pod->volumes.end(),
                     [&](const VolumeSpec& volume) { return volume.name == mount.volume; })) {
      return InvalidArgument(at + ".name: there is no volume \"" + mount.volume + "\"");
    }
    pod->mounts.push_back(std::move(mount));
  }
  for (const Json& item : ListOf(json, "ports")) {
    const int64_t port = GetInt(item, "containerPort");
    if (port >= 1 && port <= 65535) pod->ports.push_back(static_cast<int>(port));
  }
  const Json& limits = At(json, {"resources", "limits"});
  const Json& memory = At(limits, {"memory"});
  const Json& cpu = At(limits, {"cpu"});
  if (memory.is_string() || memory.is_number()) {
    const std::string text = memory.is_string() ? memory.get<std::string>() : DumpJson(memory);
    ENVICUTOR_ASSIGN(pod->memory_bytes, api::ParseQuantity(text));
  }
  if (cpu.is_string() || cpu.is_number()) {
    const std::string text = cpu.is_string() ? cpu.get<std::string>() : DumpJson(cpu);
    ENVICUTOR_ASSIGN(pod->cpu_millis, ParseCpuMillis(text));
  }
  if (const Json& probe = At(json, {"readinessProbe"}); probe.is_object()) {
    ENVICUTOR_ASSIGN(pod->readiness, ParseProbe(probe, json, field + ".readinessProbe"));
  }
  if (const Json& probe = At(json, {"livenessProbe"}); probe.is_object()) {
    ENVICUTOR_ASSIGN(pod->liveness, ParseProbe(probe, json, field + ".livenessProbe"));
  }
  if (pod->command.empty()) {
    return Unsupported(field + ".command",
                       "an image's own entry point: this node has no images, so "
                       "an absent command");
  }
  return OkStatus();
}

}  // namespace

Result<PodSpec> ParsePodSpec(const Json& object) {
  PodSpec pod;
  pod.ns = kube::NamespaceOf(object);
  pod.name = kube::NameOf(object);
  pod.uid = kube::UidOf(object);
  pod.labels = StringMap(At(object, {"metadata", "labels"}));
  pod.annotations = StringMap(At(object, {"metadata", "annotations"}));
  if (const auto it = pod.labels.find("app.kubernetes.io/component"); it != pod.labels.end()) {
    pod.component = it->second;
  }
  const Json& spec = At(object, {"spec"});
  pod.service_account = GetString(spec, "serviceAccountName", "default");
  const std::string restart = GetString(spec, "restartPolicy", "Always");
  pod.restart_policy = restart == "Never"       ? RestartPolicy::kNever
                       : restart == "OnFailure" ? RestartPolicy::kOnFailure
                                                : RestartPolicy::kAlways;
  pod.grace = Seconds(spec, "terminationGracePeriodSeconds", 30);
  if (const int64_t deadline = GetInt(spec, "activeDeadlineSeconds"); deadline > 0) {
    pod.active_deadline = std::chrono::seconds(std::min(deadline, kMaxSeconds));
  }
  if (!ListOf(spec, "initContainers").empty()) {
    return Unsupported("spec.initContainers", "an init container");
  }
  for (const Json& item : ListOf(spec, "volumes")) {
    ENVICUTOR_ASSIGN(VolumeSpec volume,
                     ParseVolume(item, "spec.volumes[" + std::to_string(pod.volumes.size()) + "]"));
    pod.volumes.push_back(std::move(volume));
  }
  const Json& containers = ListOf(spec, "containers");
  if (containers.size() != 1) {
    return Unsupported("spec.containers", "a pod of " + std::to_string(containers.size()) +
                                              " containers instead of one");
  }
  ENVICUTOR_RETURN_IF_ERROR(ParseContainer(containers[0], &pod));
  return pod;
}

Result<int64_t> ParseCpuMillis(std::string_view text) {
  if (!text.empty() && text.back() == 'm') {
    ENVICUTOR_ASSIGN(const int64_t millis, api::ParseQuantity(text.substr(0, text.size() - 1)));
    return millis;
  }
  // ParseQuantity rounds up to whole units: count in thousandths.
  const size_t dot = text.find('.');
  if (dot == std::string_view::npos) {
    ENVICUTOR_ASSIGN(const int64_t whole, api::ParseQuantity(text));
    if (whole > 1'000'000) return InvalidArgument("too many CPUs: " + std::string(text));
    return whole * 1000;
  }
  std::string digits(text.substr(0, dot));
  std::string fraction(text.substr(dot + 1, 3));
  fraction.resize(3, '0');
  return api::ParseQuantity(digits + fraction);
}

}  // namespace envicutor::standalone
