#include "standalone/apiserver/core/quota.h"

#include <algorithm>

#include "standalone/apiserver/core/object.h"
#include "standalone/apiserver/schema/cel/quantity.h"

namespace envicutor::standalone {
namespace {

using schema::cel::ParseQuantity;
using schema::cel::Quantity;

Quantity Whole(int64_t value) { return {static_cast<Quantity::Nanos>(value) * 1'000'000'000}; }

int64_t Count(const Store& store, const ResourceInfo& resource, const std::string& ns) {
  return static_cast<int64_t>(store.List(resource.StorageName(), ns + "/").objects.size());
}

bool LooksCounted(const std::string& entry) {
  return entry.starts_with("count/") || entry == "pods" || entry == "configmaps" ||
         entry == "secrets" || entry == "resourcequotas";
}

}  // namespace

std::vector<std::string> QuotaNames(const ResourceInfo& resource) {
  if (!resource.group.empty()) return {"count/" + resource.plural + "." + resource.group};
  return {"count/" + resource.plural, resource.plural};
}

std::optional<ApiError> CheckQuotas(const Store& store, const ResourceInfo& resource,
                                    const std::string& ns, const std::string& name) {
  const std::vector<std::string> names = QuotaNames(resource);
  std::optional<int64_t> used;
  for (const ObjectPtr& quota : store.List(std::string(kQuotas), ns + "/").objects) {
    const JsonRef tree = quota->Tree();
    const Json& hard = At(*tree, {"spec", "hard"});
    for (const std::string& entry : names) {
      const Json& limit = At(hard, {entry});
      if (!limit.is_string()) continue;
      const auto allowed = ParseQuantity(limit.get_ref<const std::string&>());
      if (!allowed.ok()) continue;
      // Those that wait for the disk, too: they have been let through.
      if (!used) used = static_cast<int64_t>(store.CountHead(resource.StorageName(), ns + "/"));
      if (Compare(Whole(*used + 1), *allowed) <= 0) continue;
      return ForbiddenError(resource.Target(name),
                            "exceeded quota: " + quota->Name() + ", requested: " + entry +
                                "=1, used: " + entry + "=" + std::to_string(*used) +
                                ", limited: " + entry + "=" + limit.get<std::string>());
    }
  }
  return std::nullopt;
}

Causes ValidateQuota(const Json& quota) {
  Causes causes;
  for (const auto& [entry, limit] : At(quota, {"spec", "hard"}).items()) {
    const std::string path = "spec.hard[" + entry + "]";
    const auto value = limit.is_string() ? ParseQuantity(limit.get_ref<const std::string&>())
                                         : Result<Quantity>(InvalidArgument("must be a quantity"));
    if (!value.ok()) {
      causes.push_back(schema::InvalidError(path, ShowValue(limit), value.status().message()));
    } else if (value->nanos < 0) {
      causes.push_back(
          schema::InvalidError(path, ShowValue(limit), "must be greater than or equal to 0"));
    }
  }
  return causes;
}

std::vector<std::string> QuotaWarnings(const Json& quota) {
  std::vector<std::string> warnings;
  for (const auto& [entry, limit] : At(quota, {"spec", "hard"}).items()) {
    if (LooksCounted(entry)) continue;
    warnings.push_back("spec.hard[" + entry +
                       "] is not enforced: this API server counts objects only (count/...)");
  }
  return warnings;
}

Json QuotaStatus(const Store& store, const std::vector<ResourcePtr>& resources, const Json& quota) {
  const std::string ns = NamespaceOf(quota);
  const Json& hard = At(quota, {"spec", "hard"});
  Json used = Json::object();
  for (const ResourcePtr& resource : resources) {
    if (!resource->namespaced) continue;
    for (const std::string& entry : QuotaNames(*resource)) {
      if (hard.contains(entry)) used[entry] = std::to_string(Count(store, *resource, ns));
    }
  }
  return {{"hard", hard.is_object() ? hard : Json::object()}, {"used", std::move(used)}};
}

}  // namespace envicutor::standalone
