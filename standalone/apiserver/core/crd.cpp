// CustomResourceDefinitions: defaults and status, done at once instead of by a controller.
#include <algorithm>

#include "standalone/apiserver/core/builtin.h"

namespace envicutor::standalone {
namespace {

bool HasCondition(const Json& crd, std::string_view type) {
  for (const Json& condition : At(crd, {"status", "conditions"})) {
    if (GetString(condition, "type") == type) return GetString(condition, "status") == "True";
  }
  return false;
}

// Kubernetes' own groups are only for what its community has looked at.
bool IsApproved(const Json& crd) {
  const std::string group = "." + GetString(At(crd, {"spec"}), "group");
  if (!group.ends_with(".k8s.io") && !group.ends_with(".kubernetes.io")) return true;
  return !GetString(At(crd, {"metadata", "annotations"}), "api-approved.kubernetes.io").empty();
}

bool IsEstablished(const Json& crd) { return HasCondition(crd, "Established"); }

}  // namespace

void PrepareCrd(const Json* old, Json* crd, const std::string& taken, WallTime now) {
  Json& spec = (*crd)["spec"];
  if (At(spec, {"conversion"}).is_null()) spec["conversion"] = {{"strategy", "None"}};
  Json& names = spec["names"];
  const std::string kind = GetString(names, "kind");
  if (GetString(names, "singular").empty()) {
    std::string singular = kind;
    std::transform(singular.begin(), singular.end(), singular.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    names["singular"] = singular;
  }
  if (GetString(names, "listKind").empty()) names["listKind"] = kind + "List";

  Json status = old == nullptr ? Json::object() : At(*old, {"status"});
  if (!status.is_object()) status = Json::object();
  // Established is for good: its objects stay reachable, whoever has taken its names since.
  const bool established = old != nullptr && IsEstablished(*old);
  if (taken.empty()) {
    status["acceptedNames"] = names;
  } else if (!established) {
    status["acceptedNames"] = {{"plural", ""}, {"kind", ""}};
  }
  // What is of a wrong type came from an older server, and typed clients cannot read it.
  Json stored = Json::array();
  for (const Json& version : At(status, {"storedVersions"})) {
    if (version.is_string()) stored.push_back(version);
  }
  for (const Json& version : At(spec, {"versions"})) {
    if (!GetBool(version, "storage")) continue;
    const Json name = GetString(version, "name");
    if (std::find(stored.begin(), stored.end(), name) == stored.end()) stored.push_back(name);
  }
  status["storedVersions"] = std::move(stored);
  Json conditions = Json::array();
  for (const Json& condition : At(status, {"conditions"})) {
    if (condition.is_object()) conditions.push_back(condition);
  }
  SetCondition(&conditions, "NamesAccepted", taken.empty(),
               taken.empty() ? "NoConflicts" : "NameConflict",
               taken.empty() ? "no conflicts found" : taken, now);
  if (!established) {
    SetCondition(
        &conditions, "Established", taken.empty(),
        taken.empty() ? "InitialNamesAccepted" : "NotAccepted",
        taken.empty() ? "the initial names have been accepted" : "not all names are accepted", now);
  }
  status["conditions"] = std::move(conditions);
  (*crd)["status"] = std::move(status);
}

bool NamesAccepted(const Json& crd) { return HasCondition(crd, "NamesAccepted"); }

Causes ValidateCrd(const Json& crd, const Json* old) {
  Causes causes;
  if (!IsApproved(crd) && (old == nullptr || IsApproved(*old))) {
    causes.push_back(schema::RequiredError(
        "metadata.annotations[api-approved.kubernetes.io]",
        "protected groups must have approval annotation \"api-approved.kubernetes.io\", see "
        "https://github.com/kubernetes/enhancements/pull/1111"));
  }
  if (old == nullptr || !IsEstablished(*old)) return causes;
  // Objects are there by them: under another scope nobody would find those that there are.
  const std::string scope = GetString(At(crd, {"spec"}), "scope");
  if (scope != GetString(At(*old, {"spec"}), "scope")) {
    causes.push_back(schema::InvalidError("spec.scope", ShowValue(scope), "field is immutable"));
  }
  const std::string kind = GetString(At(crd, {"spec", "names"}), "kind");
  if (kind != GetString(At(*old, {"spec", "names"}), "kind")) {
    causes.push_back(
        schema::InvalidError("spec.names.kind", ShowValue(kind), "field is immutable"));
  }
  return causes;
}

Causes ValidateCrdStatus(const Json& crd) {
  Causes causes;
  const auto expect = [&](bool holds, const std::string& field, const Json& value,
                          const char* wanted) {
    if (!holds) causes.push_back(schema::TypeError(field, ShowValue(value), wanted));
  };
  const Json& status = At(crd, {"status"});
  expect(status.is_null() || status.is_object(), "status", status, "must be an object");
  const Json& stored = At(status, {"storedVersions"});
  expect(stored.is_null() || stored.is_array(), "status.storedVersions", stored,
         "must be an array of strings");
  if (stored.is_array()) {
    for (size_t i = 0; i < stored.size() && causes.empty(); ++i) {
      expect(stored[i].is_string(), "status.storedVersions[" + std::to_string(i) + "]", stored[i],
             "must be a string");
    }
  }
  const Json& conditions = At(status, {"conditions"});
  expect(conditions.is_null() || conditions.is_array(), "status.conditions", conditions,
         "must be an array of objects");
  if (!conditions.is_array()) return causes;
  for (size_t i = 0; i < conditions.size() && causes.empty(); ++i) {
    const std::string path = "status.conditions[" + std::to_string(i) + "]";
    expect(conditions[i].is_object(), path, conditions[i], "must be an object");
    for (const char* member : {"type", "status", "reason", "message"}) {
      const Json& value = At(conditions[i], {member});
      expect(value.is_null() || value.is_string(), path + "." + member, value, "must be a string");
    }
    const Json& time = At(conditions[i], {"lastTransitionTime"});
    expect(time.is_null() ||
               (time.is_string() && ParseRfc3339(time.get_ref<const std::string&>()).ok()),
           path + ".lastTransitionTime", time, "must be a time as 2006-01-02T15:04:05Z");
  }
  return causes;
}

void KeepEstablished(const Json& old, Json* crd) {
  const auto ours = [](const Json& condition) {
    const std::string type = GetString(condition, "type");
    return type == "NamesAccepted" || type == "Established";
  };
  Json conditions = Json::array();
  for (const Json& condition : At(old, {"status", "conditions"})) {
    if (ours(condition)) conditions.push_back(condition);
  }
  for (const Json& condition : At(*crd, {"status", "conditions"})) {
    if (!ours(condition)) conditions.push_back(condition);
  }
  Json& status = (*crd)["status"];
  if (!status.is_object()) status = Json::object();
  status["acceptedNames"] = At(old, {"status", "acceptedNames"});
  status["conditions"] = std::move(conditions);
}

}  // namespace envicutor::standalone
