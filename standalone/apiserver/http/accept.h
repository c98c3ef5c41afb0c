// What form of answer a client asked for. Pure.
#pragma once

#include <optional>
#include <string_view>

namespace envicutor::standalone {

enum class Form {
  kJson,
  kTable,                // as=Table;v=v1;g=meta.k8s.io
  kPartialMetadata,      // as=PartialObjectMetadata
  kPartialMetadataList,  // as=PartialObjectMetadataList
  kAggregatedDiscovery,  // g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList
  kOpenApiV2Protobuf,
};

// The first clause of an Accept header that is one of these forms; "" is
// JSON. Nothing: not acceptable. Quality values are not looked at: Kubernetes' clients list by
// preference.
[[nodiscard]] std::optional<Form> NegotiateForm(std::string_view accept, bool discovery = false);

}  // namespace envicutor::standalone
