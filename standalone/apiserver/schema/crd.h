// A CustomResourceDefinition, checked and compiled: what the API server needs to serve its kinds.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/base/json.h"
#include "standalone/apiserver/schema/errors.h"
#include "standalone/apiserver/schema/jsonpath.h"
#include "standalone/apiserver/schema/schema.h"

namespace envicutor::standalone::schema {

struct PrinterColumn {
  std::string name;
  std::string type;  // string, integer, number, boolean, date
  std::string format;
  std::string description;
  int64_t priority = 0;
  JsonPath path;
};

struct ScalePaths {  // simple dotted paths without the leading dot: {"spec", "minReplicas"}
  std::vector<std::string> spec_replicas;
  std::vector<std::string> status_replicas;
  std::vector<std::string> label_selector;  // empty: none
};

struct CrdNames {
  std::string plural;
  std::string singular;  // defaulted: the kind in lower case
  std::string kind;
  std::string list_kind;  // defaulted: KindList
  std::vector<std::string> short_names;
  std::vector<std::string> categories;
};

struct SelectableField {
  std::string name;  // as in a field selector: "status.phase"
  JsonPath path;
};

struct CompiledVersion {
  std::string name;
  bool served = false;
  bool storage = false;
  bool deprecated = false;
  std::string deprecation_warning;
  bool has_status = false;
  std::optional<ScalePaths> scale;
  std::vector<PrinterColumn> columns;  // an Age column where the CRD has none
  std::vector<SelectableField> selectable_fields;
  std::shared_ptr<const Schema> schema;
  Json open_api_v3_schema;  // as written, for OpenAPI documents
};

struct CompiledCrd {
  std::string name;  // PLURAL.GROUP
  std::string group;
  CrdNames names;
  bool namespaced = false;
  std::vector<CompiledVersion> versions;

  [[nodiscard]] const CompiledVersion* Version(std::string_view version) const;
  [[nodiscard]] const CompiledVersion* StorageVersion() const;
};

// Null when the CRD is not valid; `errors` then has every mistake, by field
// ("spec.versions[0]...").
[[nodiscard]] std::shared_ptr<const CompiledCrd> CompileCrd(const Json& crd,
                                                            std::vector<FieldError>* errors);

// Name and value of each selectable field of `object`, metadata.name and metadata.namespace
// included, for field selectors. Absent values are "".
[[nodiscard]] std::vector<std::pair<std::string, std::string>> SelectableValues(
    const CompiledVersion& version, const Json& object);
// The same for the built-in kinds: pods have spec.nodeName, spec.restartPolicy,
// spec.serviceAccountName, status.phase, status.podIP; events involvedObject.*, reason, type,
// source; secrets type; namespaces status.phase. `group` "" is core.
[[nodiscard]] std::vector<std::pair<std::string, std::string>> SelectableValues(
    std::string_view group, std::string_view resource, const Json& object);

}  // namespace envicutor::standalone::schema
