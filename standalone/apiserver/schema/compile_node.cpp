#include <array>
#include <utility>

#include "standalone/apiserver/schema/compile.h"
#include "standalone/apiserver/schema/validate.h"

namespace envicutor::standalone::schema {
namespace {

constexpr int kMaxDepth = 64;

class Compiler {
 public:
  explicit Compiler(std::vector<FieldError>* errors) : errors_(errors) {}

  enum class Place { kRoot, kField, kItems, kJunctor };

  std::unique_ptr<SchemaNode> Compile(const Json& schema, const std::string& path, Place place,
                                      int depth) {
    auto node = std::make_unique<SchemaNode>();
    if (!schema.is_object() || depth > kMaxDepth) {
      Add(InvalidError(path, "", depth > kMaxDepth ? "nests too deeply" : "must be an object"));
      return node;
    }
    if (schema.contains("$ref")) Add(ForbiddenError(path + ".$ref", "is not supported"));
    if (GetBool(schema, "uniqueItems")) {
      Add(ForbiddenError(path + ".uniqueItems",
                         "uniqueItems cannot be set to true since the "
                         "runtime complexity becomes quadratic"));
    }
    ReadValidations(schema, path, node.get());
    if (place == Place::kJunctor) {
      ReadJunctorMembers(schema, path, node.get(), depth);
    } else {
      ReadStructure(schema, path, place, node.get(), depth);
    }
    ReadJunctors(schema, path, node.get(), depth);
    return node;
  }

 private:
  void Add(FieldError error) {
    if (errors_->size() < kMaxErrors) errors_->push_back(std::move(error));
  }

  NodeType ReadType(const Json& schema, const std::string& path) {
    constexpr std::array<NodeType, 6> kTypes = {NodeType::kObject, NodeType::kArray,
                                                NodeType::kString, NodeType::kInteger,
                                                NodeType::kNumber, NodeType::kBoolean};
    const std::string name = GetString(schema, "type");
    if (name.empty()) return NodeType::kUnset;
    for (const NodeType type : kTypes) {
      if (NodeTypeName(type) == name) return type;
    }
    Add(NotSupportedError(path + ".type", '"' + name + '"',
                          {"array", "boolean", "integer", "number", "object", "string"}));
    return NodeType::kUnset;
  }

  static std::optional<double> Number(const Json& schema, const char* key) {
    const Json& value = At(schema, {key});
    return value.is_number() ? std::optional<double>(value.get<double>()) : std::nullopt;
  }
  static std::optional<int64_t> Count(const Json& schema, const char* key) {
    const Json& value = At(schema, {key});
    return value.is_number() ? std::optional<int64_t>(value.get<int64_t>()) : std::nullopt;
  }

  void ReadValidations(const Json& schema, const std::string& path, SchemaNode* node) {
    node->format = GetString(schema, "format");
    node->minimum = Number(schema, "minimum");
    node->maximum = Number(schema, "maximum");
    node->exclusive_minimum = GetBool(schema, "exclusiveMinimum");
    node->exclusive_maximum = GetBool(schema, "exclusiveMaximum");
    node->multiple_of = Number(schema, "multipleOf");
    node->min_length = Count(schema, "minLength");
    node->max_length = Count(schema, "maxLength");
    node->min_items = Count(schema, "minItems");
    node->max_items = Count(schema, "maxItems");
    node->min_properties = Count(schema, "minProperties");
    node->max_properties = Count(schema, "maxProperties");
    node->pattern = GetString(schema, "pattern");
    if (!node->pattern.empty()) {
      Result<Regex> regex = Regex::Compile(node->pattern);
      if (regex.ok()) {
        node->regex = *std::move(regex);
      } else {
        Add(InvalidError(
            path + ".pattern", DumpJson(Json(node->pattern)),
            "must be a valid regular expression, but isn't: " + regex.status().message()));
      }
    }
    if (const Json& values = At(schema, {"enum"}); values.is_array()) {
      node->enum_values.assign(values.begin(), values.end());
    }
    if (const Json& names = At(schema, {"required"}); names.is_array()) {
      for (const Json& name : names) {
        if (name.is_string()) node->required.push_back(name.get<std::string>());
      }
    }
  }

  void ReadStructure(const Json& schema, const std::string& path, Place place, SchemaNode* node,
                     int depth) {
    node->type = ReadType(schema, path);
    node->nullable = GetBool(schema, "nullable");
    node->int_or_string = GetBool(schema, "x-kubernetes-int-or-string");
    node->preserve_unknown = GetBool(schema, "x-kubernetes-preserve-unknown-fields");
    node->embedded_resource = GetBool(schema, "x-kubernetes-embedded-resource");
    node->atomic_map = GetString(schema, "x-kubernetes-map-type") == "atomic";
    CheckTypeIsThere(path, place, *node);
    ReadProperties(schema, path, node, depth);
    if (node->type == NodeType::kArray) {
      if (const Json& items = At(schema, {"items"}); items.is_object()) {
        node->items = Compile(items, path + ".items", Place::kItems, depth + 1);
      } else {
        Add(RequiredError(path + ".items", "must be specified"));
      }
    }
    ReadListType(schema, path, node);
    if (schema.contains("default")) {
      if (place == Place::kRoot) {
        Add(ForbiddenError(path + ".default", "must not be set at the root"));
      }
      node->default_value = schema["default"];
    }
  }

  void CheckTypeIsThere(const std::string& path, Place place, const SchemaNode& node) {
    if (node.int_or_string) {
      if (node.type != NodeType::kUnset) {
        Add(InvalidError(path + ".type", '"' + std::string(NodeTypeName(node.type)) + '"',
                         "must be empty when x-kubernetes-int-or-string is true"));
      }
      return;
    }
    if (place == Place::kRoot && node.type != NodeType::kObject) {
      Add(node.type == NodeType::kUnset
              ? RequiredError(path + ".type", "must not be empty at the root")
              : InvalidError(path + ".type", '"' + std::string(NodeTypeName(node.type)) + '"',
                             "must be object at the root"));
    } else if (node.type == NodeType::kUnset && !node.preserve_unknown) {
      Add(RequiredError(path + ".type", place == Place::kItems
                                            ? "must not be empty for specified array items"
                                            : "must not be empty for specified object fields"));
    }
  }

  void ReadProperties(const Json& schema, const std::string& path, SchemaNode* node, int depth) {
    const Json& properties = At(schema, {"properties"});
    const Json& additional = At(schema, {"additionalProperties"});
    if (properties.is_object()) {
      for (auto it = properties.begin(); it != properties.end(); ++it) {
        node->properties.emplace(it.key(), Compile(*it, path + ".properties[" + it.key() + "]",
                                                   Place::kField, depth + 1));
      }
    }
    if (additional.is_object()) {
      if (!node->properties.empty()) {
        Add(ForbiddenError(path + ".additionalProperties",
                           "additionalProperties and properties are mutual exclusive"));
      }
      node->additional =
          Compile(additional, path + ".additionalProperties", Place::kField, depth + 1);
    } else if (additional.is_boolean()) {
      node->additional_allowed = additional.get<bool>();
    }
  }

  void ReadListType(const Json& schema, const std::string& path, SchemaNode* node) {
    const std::string type = GetString(schema, "x-kubernetes-list-type", "atomic");
    if (type == "set") {
      node->list_type = ListType::kSet;
    } else if (type == "map") {
      node->list_type = ListType::kMap;
      const Json& keys = At(schema, {"x-kubernetes-list-map-keys"});
      if (keys.is_array()) {
        for (const Json& key : keys) {
          if (key.is_string()) node->list_keys.push_back(key.get<std::string>());
        }
      }
      CheckListKeys(path, *node);
    } else if (type != "atomic") {
      Add(NotSupportedError(path + ".x-kubernetes-list-type", '"' + type + '"',
                            {"atomic", "map", "set"}));
    }
  }

  void CheckListKeys(const std::string& path, const SchemaNode& node) {
    if (node.list_keys.empty()) {
      Add(RequiredError(path + ".x-kubernetes-list-map-keys",
                        "must not be empty if x-kubernetes-list-type is map"));
    }
    for (const std::string& key : node.list_keys) {
      const SchemaNode* property = node.items == nullptr ? nullptr : node.items->Property(key);
      if (property == nullptr) {
        Add(InvalidError(path + ".x-kubernetes-list-map-keys", '"' + key + '"',
                         "entries must all be names of item properties"));
        continue;
      }
      bool required = property->default_value.has_value();
      for (const std::string& name : node.items->required) required = required || name == key;
      if (!required) {
        Add(RequiredError(path + ".items.properties[" + key + "].default",
                          "this property is in x-kubernetes-list-map-keys, so it must have a "
                          "default or be a required property"));
      }
    }
  }

  // Branches of junctors name properties only to put validations on them.
  void ReadJunctorMembers(const Json& schema, const std::string& path, SchemaNode* node,
                          int depth) {
    if (const Json& properties = At(schema, {"properties"}); properties.is_object()) {
      for (auto it = properties.begin(); it != properties.end(); ++it) {
        node->properties.emplace(it.key(), Compile(*it, path + ".properties[" + it.key() + "]",
                                                   Place::kJunctor, depth + 1));
      }
    }
    if (const Json& items = At(schema, {"items"}); items.is_object()) {
      node->items = Compile(items, path + ".items", Place::kJunctor, depth + 1);
    }
    for (const char* key : {"description", "title", "default", "nullable",
                            "x-kubernetes-preserve-unknown-fields", "x-kubernetes-list-type"}) {
      if (schema.contains(key)) {
        Add(ForbiddenError(path + "." + key, "must be empty to be structural"));
      }
    }
  }

  void ReadJunctors(const Json& schema, const std::string& path, SchemaNode* node, int depth) {
    // anyOf [{type: integer}, {type: string}] only says again what int-or-string says.
    const std::pair<const char*, std::vector<std::unique_ptr<SchemaNode>>*> junctors[] = {
        {"allOf", &node->all_of}, {"anyOf", &node->any_of}, {"oneOf", &node->one_of}};
    for (const auto& [key, branches] : junctors) {
      const Json& list = At(schema, {key});
      if (!list.is_array() || (node->int_or_string && std::string_view(key) == "anyOf")) continue;
      for (size_t i = 0; i < list.size(); ++i) {
        branches->push_back(Compile(list[i], path + "." + key + "[" + std::to_string(i) + "]",
                                    Place::kJunctor, depth + 1));
      }
    }
    if (const Json& branch = At(schema, {"not"}); branch.is_object()) {
      node->not_of = Compile(branch, path + ".not", Place::kJunctor, depth + 1);
    }
  }

  std::vector<FieldError>* errors_;
};

}  // namespace

std::string_view NodeTypeName(NodeType type) {
  switch (type) {
    case NodeType::kUnset:
      return "";
    case NodeType::kObject:
      return "object";
    case NodeType::kArray:
      return "array";
    case NodeType::kString:
      return "string";
    case NodeType::kInteger:
      return "integer";
    case NodeType::kNumber:
      return "number";
    case NodeType::kBoolean:
      return "boolean";
  }
  return "";
}

std::unique_ptr<SchemaNode> CompileNode(const Json& schema, const std::string& path,
                                        std::vector<FieldError>* errors) {
  return Compiler(errors).Compile(schema, path, Compiler::Place::kRoot, 0);
}

}  // namespace envicutor::standalone::schema
