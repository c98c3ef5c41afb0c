// Validation of names and ObjectMeta: k8s.io/apimachinery/pkg/api/validation. Pure.
#pragma once

#include "standalone/apiserver/core/api_error.h"
#include "standalone/apiserver/core/resource.h"

namespace envicutor::standalone {

// Dot-separated lower-case labels, at most 253 characters / one label, at most 63.
[[nodiscard]] bool IsDns1123Subdomain(std::string_view name);
[[nodiscard]] bool IsDns1123Label(std::string_view name);
// Keys of ConfigMaps and Secrets.
[[nodiscard]] bool IsConfigMapKey(std::string_view key);
// Explanations, as the API words them.
[[nodiscard]] std::string_view Dns1123SubdomainMessage();
[[nodiscard]] std::string_view Dns1123LabelMessage();

// Types of metadata's members ("metadata.labels must be a map of strings" would otherwise surface
// anywhere): BadRequest in the decoder's words. Null members are dropped.
[[nodiscard]] std::optional<ApiError> CheckMetadataTypes(Json* object,
                                                         const ResourceInfo& resource);

// Name, labels, annotations, ownerReferences, finalizers; with `old` (an update) what may not
// change.
[[nodiscard]] Causes ValidateMetadata(const Json& object, const Json* old,
                                      const ResourceInfo& resource);

}  // namespace envicutor::standalone
