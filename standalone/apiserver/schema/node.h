// A node of a compiled structural schema. Inside of schema.h; the CEL checker reads it too.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/json.h"
#include "standalone/apiserver/schema/cel.h"
#include "standalone/apiserver/schema/regex.h"

namespace envicutor::standalone::schema {

enum class NodeType { kUnset, kObject, kArray, kString, kInteger, kNumber, kBoolean };
enum class ListType { kAtomic, kSet, kMap };

// One x-kubernetes-validations entry.
struct Rule {
  std::string text;
  std::string message;  // as written or "failed rule: TEXT"
  cel::Program program;
  std::optional<cel::Program> message_expression;
  std::string reason;      // cause reason; FieldValueInvalid where the rule has none
  std::string field_path;  // ".status" or "" : appended to the path of the node
  bool optional_old_self = false;
};

struct SchemaNode {
  NodeType type = NodeType::kUnset;
  bool nullable = false;
  bool int_or_string = false;
  bool preserve_unknown = false;
  bool embedded_resource = false;
  bool is_root = false;
  std::optional<Json> default_value;
  std::map<std::string, std::unique_ptr<SchemaNode>, std::less<>> properties;
  std::unique_ptr<SchemaNode> additional;  // additionalProperties with a schema
  bool additional_allowed = false;         // additionalProperties: true
  std::unique_ptr<SchemaNode> items;
  ListType list_type = ListType::kAtomic;
  std::vector<std::string> list_keys;
  bool atomic_map = false;
  std::vector<Rule> rules;
  bool has_transition_rules = false;  // here or below: rules that name oldSelf

  // Value validations: of this node, or of a branch of allOf, anyOf, oneOf and not, which are nodes
  // of their own.
  std::string format;
  std::optional<double> minimum;
  std::optional<double> maximum;
  bool exclusive_minimum = false;
  bool exclusive_maximum = false;
  std::optional<double> multiple_of;
  std::optional<int64_t> min_length;
  std::optional<int64_t> max_length;
  std::optional<int64_t> min_items;
  std::optional<int64_t> max_items;
  std::optional<int64_t> min_properties;
  std::optional<int64_t> max_properties;
  std::string pattern;
  std::optional<Regex> regex;
  std::vector<Json> enum_values;
  std::vector<std::string> required;
  std::vector<std::unique_ptr<SchemaNode>> all_of;
  std::vector<std::unique_ptr<SchemaNode>> any_of;
  std::vector<std::unique_ptr<SchemaNode>> one_of;
  std::unique_ptr<SchemaNode> not_of;

  [[nodiscard]] const SchemaNode* Property(std::string_view name) const {
    const auto it = properties.find(name);
    return it == properties.end() ? nullptr : it->second.get();
  }
  // The schema of a member of an object: its property's or the one of additionalProperties.
  [[nodiscard]] const SchemaNode* Member(std::string_view name) const {
    const SchemaNode* property = Property(name);
    return property != nullptr ? property : additional.get();
  }
};

// "object", "array", ...; "" for kUnset.
[[nodiscard]] std::string_view NodeTypeName(NodeType type);

}  // namespace envicutor::standalone::schema
