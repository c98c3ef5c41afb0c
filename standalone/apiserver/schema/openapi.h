// OpenAPI documents of what the API server serves: v3 (kubectl 1.24 and newer: explain, apply's
// choice of server-side field validation) and v2 (older kubectl: explain, client-side validation).
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/json.h"
#include "standalone/apiserver/schema/crd.h"

namespace envicutor::standalone::schema {

struct OpenApiResource {
  std::string group;  // "" is core
  std::string version;
  std::string kind;
  std::string plural;
  bool namespaced = false;
  bool has_status = false;
  bool has_scale = false;
  Json schema;  // openAPIV3Schema of the kind
};

// Of a CRD's version.
[[nodiscard]] OpenApiResource OpenApiResourceOf(const CompiledCrd& crd,
                                                const CompiledVersion& version);
// Pod, ConfigMap, Secret, Namespace, Event (core and events.k8s.io), Lease, Node, ServiceAccount,
// CustomResourceDefinition: enough for explain and for validation that never refuses a real object.
[[nodiscard]] std::vector<OpenApiResource> BuiltinOpenApiResources();

// /openapi/v3: `documents` maps "api/v1" or "apis/GROUP/VERSION" to the text of its document, whose
// hash goes into serverRelativeURL so that clients can cache.
[[nodiscard]] Json OpenApiV3Index(const std::map<std::string, std::string>& documents);
// /openapi/v3/apis/GROUP/VERSION: of the resources of that group and version (others are ignored).
[[nodiscard]] Json OpenApiV3Document(std::string_view group, std::string_view version,
                                     const std::vector<OpenApiResource>& resources);
// /openapi/v2 as JSON.
[[nodiscard]] Json OpenApiV2Document(const std::vector<OpenApiResource>& resources);

// Media types of the v2 document's protobuf form, as clients ask for and as we answer.
inline constexpr std::string_view kOpenApiV2ProtobufAccept =
    "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
// gnostic's openapi.v2.Document of a document made by OpenApiV2Document.
[[nodiscard]] std::string OpenApiV2Protobuf(const Json& v2_document);

}  // namespace envicutor::standalone::schema
