// Inside of openapi.h: names and pieces that v2 and v3 documents share.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "standalone/apiserver/schema/openapi.h"

namespace envicutor::standalone::schema {

inline constexpr std::string_view kObjectMetaName =
    "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
inline constexpr std::string_view kListMetaName = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";
inline constexpr std::string_view kStatusName = "io.k8s.apimachinery.pkg.apis.meta.v1.Status";
inline constexpr std::string_view kDeleteOptionsName =
    "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";
inline constexpr std::string_view kPatchName = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch";

// "io.envicutor.v1alpha1.Submission", "io.k8s.api.core.v1.Pod".
[[nodiscard]] std::string DefinitionName(const OpenApiResource& resource);
// {"group", "version", "kind"}.
[[nodiscard]] Json GroupVersionKind(const OpenApiResource& resource);
// Schemas of the shared metav1 types by name; `prefix` is "#/components/schemas/" or
// "#/definitions/".
[[nodiscard]] std::vector<std::pair<std::string, Json>> SharedSchemas(const std::string& prefix);
// The kind's schema with type meta and x-kubernetes-group-version-kind, and that of its list.
[[nodiscard]] Json KindSchema(const OpenApiResource& resource, const std::string& prefix);
[[nodiscard]] Json ListSchema(const OpenApiResource& resource, const std::string& prefix);

// One operation of a resource, from which both versions make theirs.
struct OpenApiOperation {
  std::string path;    // "/apis/envicutor.io/v1alpha1/namespaces/{namespace}/submissions/{name}"
  std::string verb;    // get, post, put, patch, delete
  std::string action;  // x-kubernetes-action: list, get, post, put, patch, delete, deletecollection
  std::string id;      // operationId
  std::string body;    // definition name of the request's body; ""
  std::string answer;  // definition name of the answer
  std::vector<std::string> consumes;
  std::vector<std::string> query;  // names of query parameters
  std::vector<std::string> in_path;
};
[[nodiscard]] std::vector<OpenApiOperation> OperationsOf(const OpenApiResource& resource);
[[nodiscard]] std::string ParameterDescription(std::string_view name);
// "string", "integer" or "boolean".
[[nodiscard]] std::string ParameterType(std::string_view name);

}  // namespace envicutor::standalone::schema
