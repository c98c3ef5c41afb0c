// CustomResourceDefinitions: defaults and status, done at once instead of by a controller.
#include <algorithm>

#include "standalone/apiserver/core/builtin.h"

namespace envicutor::standalone {
namespace {

bool IsEstablished(const Json& crd) {
  for (const Json& condition : At(crd, {"status", "conditions"})) {
    if (GetString(condition, "type") == "Established") {
      return GetString(condition, "status") == "True";
    }
  }
  return false;
}

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
  status["acceptedNames"] = taken.empty() ? names : Json{{"plural", ""}, {"kind", ""}};
  Json stored = At(status, {"storedVersions"});
  if (!stored.is_array()) stored = Json::array();
  for (const Json& version : At(spec, {"versions"})) {
    if (!GetBool(version, "storage")) continue;
    const Json name = GetString(version, "name");
    if (std::find(stored.begin(), stored.end(), name) == stored.end()) stored.push_back(name);
  }
  status["storedVersions"] = std::move(stored);
  Json& conditions = status["conditions"];
  SetCondition(&conditions, "NamesAccepted", taken.empty(),
               taken.empty() ? "NoConflicts" : "NameConflict",
               taken.empty() ? "no conflicts found" : taken, now);
  SetCondition(
      &conditions, "Established", taken.empty(),
      taken.empty() ? "InitialNamesAccepted" : "NotAccepted",
      taken.empty() ? "the initial names have been accepted" : "not all names are accepted", now);
  (*crd)["status"] = std::move(status);
}

Causes ValidateCrd(const Json& crd, const Json* old) {
  Causes causes;
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
