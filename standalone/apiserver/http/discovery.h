// Discovery documents of a Registry: what kubectl api-resources and every client's RESTMapper read.
// Pure.
#pragma once

#include "common/base/json.h"
#include "standalone/apiserver/core/resource.h"

namespace envicutor::standalone {

[[nodiscard]] Json ApiVersionsDocument(const std::string& server_address);                // /api
[[nodiscard]] Json ApiGroupListDocument(const Registry& registry);                        // /apis
[[nodiscard]] Json ApiGroupDocument(const Registry& registry, const std::string& group);  // /apis/G
// /api/v1 and /apis/G/V.
[[nodiscard]] Json ApiResourceListDocument(const Registry& registry, const std::string& group,
                                           const std::string& version);
// The aggregated form of /api (`core`) or of /apis.
[[nodiscard]] Json AggregatedDiscoveryDocument(const Registry& registry, bool core);
[[nodiscard]] Json VersionDocument();

}  // namespace envicutor::standalone
