#include "common/kube/resource.h"

#include "common/http/types.h"

namespace envicutor::kube {

std::string ResourceType::Path(const std::string& ns, const std::string& name,
                               const std::string& subresource) const {
  std::string path = group.empty() ? "/api/" + version : "/apis/" + group + "/" + version;
  if (namespaced && !ns.empty()) path += "/namespaces/" + http::PercentEncode(ns);
  path += "/" + plural;
  if (!name.empty()) path += "/" + http::PercentEncode(name);
  if (!subresource.empty()) path += "/" + subresource;
  return path;
}

std::string NameOf(const Json& object) { return GetString(At(object, {"metadata"}), "name"); }
std::string NamespaceOf(const Json& object) {
  return GetString(At(object, {"metadata"}), "namespace");
}
std::string UidOf(const Json& object) { return GetString(At(object, {"metadata"}), "uid"); }
std::string ResourceVersionOf(const Json& object) {
  return GetString(At(object, {"metadata"}), "resourceVersion");
}

std::string KeyOf(const Json& object) {
  const std::string ns = NamespaceOf(object);
  return ns.empty() ? NameOf(object) : ns + "/" + NameOf(object);
}

bool SetCondition(Json* conditions, const Condition& condition, const std::string& now_rfc3339) {
  if (!conditions->is_array()) *conditions = Json::array();
  Json* existing = nullptr;
  for (Json& entry : *conditions) {
    if (GetView(entry, "type") == condition.type) existing = &entry;
  }
  Json wanted = {{"type", condition.type},
                 {"status", condition.status},
                 {"reason", condition.reason},
                 {"message", condition.message},
                 {"lastTransitionTime", now_rfc3339}};
  if (condition.observed_generation > 0) {
    wanted["observedGeneration"] = condition.observed_generation;
  }
  if (existing == nullptr) {
    conditions->push_back(std::move(wanted));
    return true;
  }
  if (GetView(*existing, "status") == condition.status) {
    wanted["lastTransitionTime"] = GetString(*existing, "lastTransitionTime", now_rfc3339);
  }
  if (*existing == wanted) return false;
  *existing = std::move(wanted);
  return true;
}

std::string ConditionStatus(const Json& object, std::string_view type) {
  const Json& conditions = At(object, {"status", "conditions"});
  if (conditions.is_array()) {
    for (const Json& entry : conditions) {
      if (GetView(entry, "type") == type) return GetString(entry, "status", "Unknown");
    }
  }
  return "Unknown";
}

}  // namespace envicutor::kube
