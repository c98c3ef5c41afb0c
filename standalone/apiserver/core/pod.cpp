// Pods: defaults, validation, and what an update may change.
#include <set>

#include "standalone/apiserver/core/builtin.h"
#include "standalone/apiserver/core/metadata.h"

namespace envicutor::standalone {
namespace {

void SetDefault(Json* object, const char* member, Json value) {
  if (!object->contains(member) || (*object)[member].is_null())
    (*object)[member] = std::move(value);
}

// ":latest" or no tag is pulled always.
std::string PullPolicy(const std::string& image) {
  if (image.find('@') != std::string::npos) return "IfNotPresent";
  const size_t slash = image.rfind('/');
  const size_t colon = image.rfind(':');
  const bool tagged = colon != std::string::npos && (slash == std::string::npos || colon > slash);
  return !tagged || image.substr(colon) == ":latest" ? "Always" : "IfNotPresent";
}

void DefaultProbe(Json* container, const char* member) {
  if (!At(*container, {member}).is_object()) return;
  Json& probe = (*container)[member];
  SetDefault(&probe, "timeoutSeconds", 1);
  SetDefault(&probe, "periodSeconds", 10);
  SetDefault(&probe, "successThreshold", 1);
  SetDefault(&probe, "failureThreshold", 3);
  if (At(probe, {"httpGet"}).is_object()) {
    SetDefault(&probe["httpGet"], "path", "/");
    SetDefault(&probe["httpGet"], "scheme", "HTTP");
  }
}

void DefaultContainer(Json* container) {
  SetDefault(container, "terminationMessagePath", "/dev/termination-log");
  SetDefault(container, "terminationMessagePolicy", "File");
  SetDefault(container, "imagePullPolicy", PullPolicy(GetString(*container, "image")));
  SetDefault(container, "resources", Json::object());
  // Limits are the requests where none are given.
  const Json limits = At((*container)["resources"], {"limits"});
  if (limits.is_object()) {
    for (const auto& [name, quantity] : limits.items()) {
      Json& requests = (*container)["resources"]["requests"];
      if (requests.is_null() || (requests.is_object() && !requests.contains(name))) {
        requests[name] = quantity;
      }
    }
  }
  for (const char* probe : {"livenessProbe", "readinessProbe", "startupProbe"}) {
    DefaultProbe(container, probe);
  }
  if (At(*container, {"ports"}).is_array()) {
    for (Json& port : (*container)["ports"]) {
      if (port.is_object()) SetDefault(&port, "protocol", "TCP");
    }
  }
  if (At(*container, {"env"}).is_array()) {
    for (Json& variable : (*container)["env"]) {
      if (At(variable, {"valueFrom", "fieldRef"}).is_object()) {
        SetDefault(&variable["valueFrom"]["fieldRef"], "apiVersion", "v1");
      }
    }
  }
}

void DefaultVolume(Json* volume) {
  if (!volume->is_object()) return;
  for (const char* source : {"secret", "configMap", "projected", "downwardAPI"}) {
    if (At(*volume, {source}).is_object()) SetDefault(&(*volume)[source], "defaultMode", 0644);
  }
  if (At(*volume, {"hostPath"}).is_object()) SetDefault(&(*volume)["hostPath"], "type", "");
}

void ValidateContainers(const Json& spec, const char* member, std::set<std::string>* names,
                        const std::set<std::string>& volumes, Causes* causes) {
  const Json& containers = At(spec, {member});
  for (size_t i = 0; i < containers.size(); ++i) {
    const Json& container = containers[i];
    const std::string path = "spec." + std::string(member) + "[" + std::to_string(i) + "]";
    const std::string name = GetString(container, "name");
    if (name.empty()) {
      causes->push_back(schema::RequiredError(path + ".name", ""));
    } else if (!IsDns1123Label(name)) {
      causes->push_back(
          schema::InvalidError(path + ".name", ShowValue(name), Dns1123LabelMessage()));
    } else if (!names->insert(name).second) {
      causes->push_back(schema::DuplicateError(path + ".name", ShowValue(name)));
    }
    if (GetString(container, "image").empty()) {
      causes->push_back(schema::RequiredError(path + ".image", ""));
    }
    const Json& mounts = At(container, {"volumeMounts"});
    for (size_t j = 0; j < mounts.size(); ++j) {
      const std::string mount = path + ".volumeMounts[" + std::to_string(j) + "]";
      const std::string volume = GetString(mounts[j], "name");
      if (!volumes.contains(volume)) {
        causes->push_back(schema::FieldError{mount + ".name", "FieldValueNotFound",
                                             "Not found: " + ShowValue(volume)});
      }
      if (GetString(mounts[j], "mountPath").empty()) {
        causes->push_back(schema::RequiredError(mount + ".mountPath", ""));
      }
    }
  }
}

// The spec without what an update may change.
Json Unchangeable(const Json& pod) {
  Json spec = At(pod, {"spec"});
  if (!spec.is_object()) return spec;
  for (const char* list : {"containers", "initContainers"}) {
    if (!spec.contains(list) || !spec[list].is_array()) continue;
    for (Json& container : spec[list]) {
      if (container.is_object()) container.erase("image");
    }
  }
  for (const char* member :
       {"activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds"}) {
    spec.erase(member);
  }
  return spec;
}

bool HasResources(const Json& container, const char* which) {
  const Json& resources = At(container, {"resources", which});
  return resources.is_object() && resources.contains("cpu") && resources.contains("memory");
}

std::string QosClass(const Json& pod) {
  bool any = false;
  bool guaranteed = true;
  for (const Json& container : At(pod, {"spec", "containers"})) {
    const Json& requests = At(container, {"resources", "requests"});
    const Json& limits = At(container, {"resources", "limits"});
    any = any || !requests.empty() || !limits.empty();
    guaranteed = guaranteed && HasResources(container, "limits") && requests == limits;
  }
  return !any ? "BestEffort" : guaranteed ? "Guaranteed" : "Burstable";
}

}  // namespace

void DefaultPod(Json* pod) {
  Json& spec = (*pod)["spec"];
  if (spec.is_null()) spec = Json::object();
  SetDefault(&spec, "restartPolicy", "Always");
  SetDefault(&spec, "terminationGracePeriodSeconds", 30);
  SetDefault(&spec, "dnsPolicy", "ClusterFirst");
  SetDefault(&spec, "schedulerName", "default-scheduler");
  SetDefault(&spec, "serviceAccountName", "default");
  spec["serviceAccount"] = spec["serviceAccountName"];
  SetDefault(&spec, "securityContext", Json::object());
  SetDefault(&spec, "enableServiceLinks", true);
  SetDefault(&spec, "preemptionPolicy", "PreemptLowerPriority");
  SetDefault(&spec, "priority", 0);
  for (const char* list : {"containers", "initContainers"}) {
    if (!At(spec, {list}).is_array()) continue;
    for (Json& container : spec[list]) {
      if (container.is_object()) DefaultContainer(&container);
    }
  }
  if (At(spec, {"volumes"}).is_array()) {
    for (Json& volume : spec["volumes"]) DefaultVolume(&volume);
  }
}

void InitPodStatus(Json* pod) {
  (*pod)["status"] = {{"phase", "Pending"}, {"qosClass", QosClass(*pod)}};
}

Causes ValidatePod(const Json& pod, const Json* old) {
  Causes causes;
  const Json& spec = At(pod, {"spec"});
  if (!At(spec, {"containers"}).is_array() || At(spec, {"containers"}).empty()) {
    causes.push_back(schema::RequiredError("spec.containers", ""));
  }
  std::set<std::string> volumes;
  const Json& listed = At(spec, {"volumes"});
  for (size_t i = 0; i < listed.size(); ++i) {
    const std::string path = "spec.volumes[" + std::to_string(i) + "].name";
    const std::string name = GetString(listed[i], "name");
    if (name.empty()) {
      causes.push_back(schema::RequiredError(path, ""));
    } else if (!IsDns1123Label(name)) {
      causes.push_back(schema::InvalidError(path, ShowValue(name), Dns1123LabelMessage()));
    } else if (!volumes.insert(name).second) {
      causes.push_back(schema::DuplicateError(path, ShowValue(name)));
    }
  }
  std::set<std::string> names;
  ValidateContainers(spec, "containers", &names, volumes, &causes);
  ValidateContainers(spec, "initContainers", &names, volumes, &causes);
  const std::string policy = GetString(spec, "restartPolicy");
  if (policy != "Always" && policy != "OnFailure" && policy != "Never") {
    causes.push_back(schema::NotSupportedError("spec.restartPolicy", ShowValue(policy),
                                               {"Always", "Never", "OnFailure"}));
  }
  const Json& deadline = At(spec, {"activeDeadlineSeconds"});
  if (!deadline.is_null() && (!deadline.is_number_integer() || deadline < 1)) {
    causes.push_back(schema::InvalidError("spec.activeDeadlineSeconds", ShowValue(deadline),
                                          "must be between 1 and 2147483647, inclusive"));
  }
  if (GetInt(spec, "terminationGracePeriodSeconds") < 0) {
    causes.push_back(schema::InvalidError("spec.terminationGracePeriodSeconds",
                                          ShowValue(spec["terminationGracePeriodSeconds"]),
                                          "must be greater than or equal to 0"));
  }
  if (old != nullptr && causes.empty() && Unchangeable(pod) != Unchangeable(*old)) {
    causes.push_back(schema::ForbiddenError(
        "spec",
        "pod updates may not change fields other than `spec.containers[*].image`,"
        "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only "
        "additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be "
        "set "
        "to 1 if it was previously negative)"));
  }
  return causes;
}

}  // namespace envicutor::standalone
