#include "standalone/apiserver/schema/schema.h"

#include <algorithm>
#include <array>

#include "standalone/apiserver/schema/compile.h"
#include "standalone/apiserver/schema/node.h"
#include "standalone/apiserver/schema/validate.h"

namespace envicutor::standalone::schema {
namespace {

constexpr size_t kMaxUnknownFields = 100;

constexpr std::array<std::string_view, 15> kObjectMetaFields = {"name",
                                                                "generateName",
                                                                "namespace",
                                                                "selfLink",
                                                                "uid",
                                                                "resourceVersion",
                                                                "generation",
                                                                "creationTimestamp",
                                                                "deletionTimestamp",
                                                                "labels",
                                                                "annotations",
                                                                "deletionGracePeriodSeconds",
                                                                "finalizers",
                                                                "ownerReferences",
                                                                "managedFields"};

bool IsTypeMeta(std::string_view name) {
  return name == "apiVersion" || name == "kind" || name == "metadata";
}

// Every resource has these, and rules may name them, whether its schema does or not.
void AddTypeMeta(SchemaNode* node) {
  const auto string_node = [] {
    auto text = std::make_unique<SchemaNode>();
    text->type = NodeType::kString;
    return text;
  };
  for (const char* name : {"apiVersion", "kind"}) {
    if (node->Property(name) == nullptr) node->properties.emplace(name, string_node());
  }
  if (node->Property("metadata") == nullptr) {
    auto metadata = std::make_unique<SchemaNode>();
    metadata->type = NodeType::kObject;
    node->properties.emplace("metadata", std::move(metadata));
  }
  SchemaNode& metadata = *node->properties.find("metadata")->second;
  metadata.preserve_unknown = true;
  for (const char* name : {"name", "generateName"}) {
    if (metadata.Property(name) == nullptr) metadata.properties.emplace(name, string_node());
  }
}

void AddTypeMetaEverywhere(SchemaNode* node) {
  if (node->is_root || node->embedded_resource) AddTypeMeta(node);
  for (auto& [name, property] : node->properties) AddTypeMetaEverywhere(property.get());
  if (node->additional != nullptr) AddTypeMetaEverywhere(node->additional.get());
  if (node->items != nullptr) AddTypeMetaEverywhere(node->items.get());
}

bool Keeps(const SchemaNode& node, bool resource, std::string_view name) {
  return node.preserve_unknown || node.additional_allowed || (resource && IsTypeMeta(name));
}

void PruneNode(Json* value, const SchemaNode& node) {
  if (value->is_array()) {
    if (node.items == nullptr) return;
    for (Json& element : *value) PruneNode(&element, *node.items);
    return;
  }
  if (!value->is_object() || node.int_or_string) return;
  const bool resource = node.is_root || node.embedded_resource;
  for (auto it = value->begin(); it != value->end();) {
    const SchemaNode* member = node.Member(it.key());
    const bool metadata = resource && it.key() == "metadata";
    if (!metadata && member == nullptr && !Keeps(node, resource, it.key())) {
      it = value->erase(it);
      continue;
    }
    if (!metadata && member != nullptr) PruneNode(&*it, *member);
    ++it;
  }
}

// What PruneNode would take away, and members of metadata that no object has. Paths are made for
// what is found only: nearly always that is nothing.
class UnknownFinder {
 public:
  explicit UnknownFinder(std::vector<std::string>* found) : found_(found) {}

  void Look(const Json& value, const SchemaNode& node) {
    if (value.is_array()) {
      if (node.items == nullptr) return;
      for (size_t i = 0; i < value.size(); ++i) {
        path_.push_back({{}, i});
        Look(value[i], *node.items);
        path_.pop_back();
      }
      return;
    }
    if (!value.is_object() || node.int_or_string) return;
    const bool resource = node.is_root || node.embedded_resource;
    for (auto it = value.begin(); it != value.end(); ++it) {
      path_.push_back({it.key(), 0});
      const SchemaNode* member = node.Member(it.key());
      if (resource && it.key() == "metadata") {
        LookAtMetadata(*it);
      } else if (member != nullptr) {
        Look(*it, *member);
      } else if (!Keeps(node, resource, it.key())) {
        Note();
      }
      path_.pop_back();
    }
  }

 private:
  struct Step {
    std::string_view name;  // empty: the element `index`; a member's name is never a null view
    size_t index;
  };

  void Note() {
    if (found_->size() >= kMaxUnknownFields) return;
    std::string path;
    for (const Step& step : path_) {
      path = step.name.data() == nullptr ? IndexPath(path, step.index) : ChildPath(path, step.name);
    }
    found_->push_back(std::move(path));
  }
  void LookAtMetadata(const Json& metadata) {
    if (!metadata.is_object()) return;
    for (auto it = metadata.begin(); it != metadata.end(); ++it) {
      if (std::find(kObjectMetaFields.begin(), kObjectMetaFields.end(), it.key()) !=
          kObjectMetaFields.end()) {
        continue;
      }
      path_.push_back({it.key(), 0});
      Note();
      path_.pop_back();
    }
  }

  std::vector<std::string>* found_;
  std::vector<Step> path_;
};

void DefaultNode(Json* value, const SchemaNode& node) {
  if (value->is_array()) {
    if (node.items == nullptr) return;
    for (Json& element : *value) DefaultNode(&element, *node.items);
    return;
  }
  if (!value->is_object()) return;
  for (const auto& [name, property] : node.properties) {
    if (!property->default_value.has_value()) continue;
    const auto it = value->find(name);
    if (it == value->end() || (it->is_null() && !property->nullable)) {
      (*value)[name] = *property->default_value;
    }
  }
  for (auto it = value->begin(); it != value->end(); ++it) {
    if (const SchemaNode* member = node.Member(it.key())) DefaultNode(&*it, *member);
  }
}

// Defaults must themselves be whole and valid: nobody could create the object otherwise.
void CheckDefaults(const SchemaNode& node, const std::string& path,
                   std::vector<FieldError>* errors) {
  if (node.default_value.has_value()) {
    const std::string where = path + ".default";
    Json value = *node.default_value;
    std::vector<std::string> dropped;
    UnknownFinder(&dropped).Look(value, node);
    PruneNode(&value, node);
    for (const std::string& field : dropped) {
      errors->push_back(InvalidError(where, DumpJson(*node.default_value),
                                     "must not have unknown fields: " + field));
    }
    DefaultNode(&value, node);
    std::vector<FieldError> mistakes;
    ValidateValues(value, nullptr, node, &mistakes);
    if (mistakes.empty()) ValidateRules(value, nullptr, node, &mistakes);
    for (const FieldError& mistake : mistakes) {
      errors->push_back(InvalidError(where, DumpJson(*node.default_value), mistake.detail));
    }
  }
  for (const auto& [name, property] : node.properties) {
    CheckDefaults(*property, path + ".properties[" + name + "]", errors);
  }
  if (node.additional != nullptr) {
    CheckDefaults(*node.additional, path + ".additionalProperties", errors);
  }
  if (node.items != nullptr) CheckDefaults(*node.items, path + ".items", errors);
}

// Errors that leave the object in a shape that rules cannot judge.
bool Blocks(const FieldError& error) {
  return error.reason == "FieldValueTypeInvalid" || error.reason == "FieldValueRequired" ||
         error.reason == "FieldValueTooLong" || error.reason == "FieldValueTooMany" ||
         error.reason == "FieldValueNotSupported";
}

}  // namespace

Schema::Schema(std::unique_ptr<SchemaNode> root) : root_(std::move(root)) {}
Schema::~Schema() = default;

std::shared_ptr<const Schema> Schema::Compile(const Json& open_api_v3_schema,
                                              const std::string& path,
                                              std::vector<FieldError>* errors) {
  const size_t before = errors->size();
  std::unique_ptr<SchemaNode> root = CompileNode(open_api_v3_schema, path, errors);
  if (errors->size() != before) return nullptr;
  root->is_root = true;
  AddTypeMetaEverywhere(root.get());
  CompileRules(open_api_v3_schema, path, root.get(), errors);
  if (errors->size() == before) CheckDefaults(*root, path, errors);
  if (errors->size() != before) return nullptr;
  return std::shared_ptr<const Schema>(new Schema(std::move(root)));
}

void Schema::Default(Json* object) const { DefaultNode(object, *root_); }

void Schema::Prune(Json* object) const { PruneNode(object, *root_); }

std::vector<std::string> Schema::UnknownFields(const Json& object) const {
  std::vector<std::string> dropped;
  UnknownFinder(&dropped).Look(object, *root_);
  for (std::string& path : dropped) path = "unknown field \"" + path + "\"";
  return dropped;
}

std::vector<FieldError> Schema::Validate(const Json& object, const Json* old) const {
  std::vector<FieldError> errors;
  ValidateValues(object, old, *root_, &errors);
  if (std::any_of(errors.begin(), errors.end(), Blocks)) {
    errors.push_back(InvalidError("<nil>", "null",
                                  "some validation rules were not checked because the object was "
                                  "invalid; correct the existing errors to complete validation"));
    return errors;
  }
  ValidateRules(object, old, *root_, &errors);
  return errors;
}

}  // namespace envicutor::standalone::schema
