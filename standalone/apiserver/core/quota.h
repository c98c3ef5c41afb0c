// ResourceQuotas: how many objects of a kind a namespace may have. Only object counts are enforced
// ("count/submissions.envicutor.io", "count/configmaps", "pods"); what else a quota names is kept
// and warned about.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "standalone/apiserver/core/resource.h"
#include "standalone/apiserver/core/store.h"

namespace envicutor::standalone {

inline constexpr std::string_view kQuotas = "/resourcequotas";

// The names under which a quota counts objects of `resource`.
[[nodiscard]] std::vector<std::string> QuotaNames(const ResourceInfo& resource);

// 403 in kube-apiserver's words when one more object of `resource` in `ns` is more than a quota of
// the namespace allows. What is published counts: the caller keeps other creates in the namespace
// away.
[[nodiscard]] std::optional<ApiError> CheckQuotas(const Store& store, const ResourceInfo& resource,
                                                  const std::string& ns, const std::string& name);

// spec.hard must be quantities that are not negative.
[[nodiscard]] Causes ValidateQuota(const Json& quota);
// A word about each entry that is not enforced.
[[nodiscard]] std::vector<std::string> QuotaWarnings(const Json& quota);

// {"hard": ..., "used": ...} as it is now, of the kinds in `resources`.
[[nodiscard]] Json QuotaStatus(const Store& store, const std::vector<ResourcePtr>& resources,
                               const Json& quota);

}  // namespace envicutor::standalone
