// managedFields as JSON.
#include <algorithm>
#include <tuple>

#include "standalone/apiserver/core/apply/field_set.h"
#include "standalone/apiserver/core/apply/ownership.h"
#include "standalone/apiserver/core/object.h"

namespace envicutor::standalone {
namespace {

constexpr size_t kMaxEntries = 1000;

}  // namespace

std::optional<Managed> ReadManaged(Json managed_fields) {
  Managed managed;
  if (managed_fields.is_null()) return managed;
  if (!managed_fields.is_array() || managed_fields.size() > kMaxEntries) return std::nullopt;
  managed.reserve(managed_fields.size() + 1);
  for (Json& json : managed_fields) {
    const std::string operation = GetString(json, "operation");
    const Json& fields = At(json, {"fieldsV1"});
    if ((operation != "Apply" && operation != "Update") ||
        GetString(json, "fieldsType") != "FieldsV1" || !IsFieldSet(fields)) {
      return std::nullopt;
    }
    ManagedEntry entry;
    entry.manager = GetString(json, "manager");
    entry.apply = operation == "Apply";
    entry.api_version = GetString(json, "apiVersion");
    entry.subresource = GetString(json, "subresource");
    entry.time = GetString(json, "time");
    if (entry.manager.size() > kMaxManagerBytes || entry.api_version.empty()) return std::nullopt;
    entry.fields = std::move(json["fieldsV1"]);
    managed.push_back(std::move(entry));
  }
  return managed;
}

Json WriteManaged(Managed managed) {
  if (managed.empty()) return nullptr;
  std::sort(managed.begin(), managed.end(), [](const ManagedEntry& a, const ManagedEntry& b) {
    if (a.apply != b.apply) return a.apply;
    return std::tie(a.time, a.manager, a.api_version, a.subresource) <
           std::tie(b.time, b.manager, b.api_version, b.subresource);
  });
  Json out = Json::array();
  for (ManagedEntry& entry : managed) {
    Json json = {{"manager", std::move(entry.manager)},
                 {"operation", entry.apply ? "Apply" : "Update"},
                 {"apiVersion", std::move(entry.api_version)},
                 {"fieldsType", "FieldsV1"}};
    json["fieldsV1"] = std::move(entry.fields);
    if (!entry.time.empty()) json["time"] = std::move(entry.time);
    if (!entry.subresource.empty()) json["subresource"] = std::move(entry.subresource);
    out.push_back(std::move(json));
  }
  return out;
}

bool SameButTimes(const Json& a, const Json& b) {
  if (a.size() != b.size() || a.type() != b.type()) return false;
  if (!a.is_array()) return a == b;
  const auto same = [](const Json& left, const Json& right) {
    return left.is_object() && right.is_object() ? SameBut({"time"}, left, right) : left == right;
  };
  if (std::equal(a.begin(), a.end(), b.begin(), same)) return true;
  // The order follows the times: each has its partner anywhere.
  const auto sorted = [](const Json& entries) {
    std::vector<std::string> texts;
    for (Json entry : entries) {
      if (entry.is_object()) entry.erase("time");
      texts.push_back(DumpJson(entry));
    }
    std::sort(texts.begin(), texts.end());
    return texts;
  };
  return sorted(a) == sorted(b);
}

}  // namespace envicutor::standalone
