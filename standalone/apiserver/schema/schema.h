// A structural schema (apiextensions.k8s.io/v1 openAPIV3Schema), compiled once with its CEL rules.
//
// The order of an API server's write: UnknownFields (for strict field validation) -> Prune ->
// Default
// -> Validate. Compiled schemas are immutable: all methods are thread-safe.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/base/json.h"
#include "common/base/status.h"
#include "standalone/apiserver/schema/errors.h"

namespace envicutor::standalone::schema {

struct SchemaNode;  // node.h

class Schema {
 public:
  // Every mistake of the schema (not structural, bad default, CEL that does not compile) is
  // appended to `errors` with `path` as prefix; null is returned when there are any.
  [[nodiscard]] static std::shared_ptr<const Schema> Compile(const Json& open_api_v3_schema,
                                                             const std::string& path,
                                                             std::vector<FieldError>* errors);
  ~Schema();
  Schema(const Schema&) = delete;
  Schema& operator=(const Schema&) = delete;

  // Sets defaults where a member is absent (or null and not nullable).
  void Default(Json* object) const;
  // Drops members that the schema does not have, apart from apiVersion, kind and metadata at the
  // root and in embedded resources.
  void Prune(Json* object) const;
  // What Prune would drop, as Kubernetes names it: `unknown field "spec.run.foo"`. Sorted by
  // traversal, at most 100. The answer of a strict write: "strict decoding error: " + joined by ",
  // ".
  [[nodiscard]] std::vector<std::string> UnknownFields(const Json& object) const;
  // Types, bounds, list types and CEL rules. `old` is the stored object on update (transition
  // rules), null on create. At most 100 errors.
  [[nodiscard]] std::vector<FieldError> Validate(const Json& object, const Json* old) const;

  [[nodiscard]] const SchemaNode& root() const { return *root_; }

 private:
  explicit Schema(std::unique_ptr<SchemaNode> root);
  std::unique_ptr<SchemaNode> root_;
};

}  // namespace envicutor::standalone::schema
