#include "standalone/apiserver/core/apply/shape.h"

#include "standalone/apiserver/core/apply/field_set.h"

namespace envicutor::standalone {
namespace {

Json Fields(Json properties) {
  return {{"type", "object"},
          {"x-kubernetes-preserve-unknown-fields", true},
          {"properties", std::move(properties)}};
}
Json Atomic() {
  return {{"type", "object"},
          {"x-kubernetes-preserve-unknown-fields", true},
          {"x-kubernetes-map-type", "atomic"}};
}
// A list of objects by `keys`, the properties that are listed being those that matter for merging.
Json ListMap(const std::vector<std::string>& keys, Json properties = Json::object(),
             bool atomic = false) {
  for (const std::string& key : keys) {
    if (!properties.contains(key)) {
      const bool number = key == "containerPort";
      properties[key] = {{"type", number ? "integer" : "string"}};
    }
  }
  Json items = Fields(std::move(properties));
  items["required"] = keys;
  if (atomic) items["x-kubernetes-map-type"] = "atomic";
  return {{"type", "array"},
          {"x-kubernetes-list-type", "map"},
          {"x-kubernetes-list-map-keys", keys},
          {"items", std::move(items)}};
}
Json Set() {
  return {{"type", "array"}, {"x-kubernetes-list-type", "set"}, {"items", {{"type", "string"}}}};
}

Json Containers() {
  const Json source = Fields({{"fieldRef", Atomic()},
                              {"resourceFieldRef", Atomic()},
                              {"configMapKeyRef", Atomic()},
                              {"secretKeyRef", Atomic()}});
  Json ports = ListMap({"containerPort", "protocol"},
                       {{"protocol", {{"type", "string"}, {"default", "TCP"}}}});
  return ListMap({"name"}, {{"env", ListMap({"name"}, {{"valueFrom", source}})},
                            {"ports", std::move(ports)},
                            {"volumeMounts", ListMap({"mountPath"})},
                            {"volumeDevices", ListMap({"devicePath"})},
                            {"resources", Fields({{"claims", ListMap({"name"})}})}});
}

// The +listType, +listMapKey, +mapType and +structType marks of k8s.io/api for the kinds that are
// served; a list that is not here is atomic there, too.
Json BuiltinMarks(const std::string& plural) {
  const Json conditions = ListMap({"type"});
  if (plural == "pods") {
    return {{"spec",
             Fields({{"containers", Containers()},
                     {"initContainers", Containers()},
                     {"ephemeralContainers", Containers()},
                     {"volumes", ListMap({"name"})},
                     {"imagePullSecrets", ListMap({"name"}, Json::object(), true)},
                     {"hostAliases", ListMap({"ip"})},
                     {"topologySpreadConstraints", ListMap({"topologyKey", "whenUnsatisfiable"})},
                     {"schedulingGates", ListMap({"name"})},
                     {"nodeSelector", Atomic()}})},
            {"status", Fields({{"conditions", conditions}, {"podIPs", ListMap({"ip"})}})}};
  }
  if (plural == "nodes") {
    return {{"spec", Fields({{"podCIDRs", Set()}})},
            {"status", Fields({{"conditions", conditions}, {"addresses", ListMap({"type"})}})}};
  }
  if (plural == "namespaces" || plural == "customresourcedefinitions") {
    return {{"status", Fields({{"conditions", conditions}})}};
  }
  if (plural == "serviceaccounts") return {{"secrets", ListMap({"name"})}};
  if (plural == "events") return {{"involvedObject", Atomic()}, {"related", Atomic()}};
  return Json::object();
}

std::shared_ptr<const schema::Schema> Compiled(const Json& json) {
  std::vector<schema::FieldError> errors;
  auto compiled = schema::Schema::Compile(json, "", &errors);
  CHECK(compiled != nullptr, "the marks of built-in kinds: " +
                                 (errors.empty() ? "" : errors[0].field + " " + errors[0].detail));
  return compiled;
}

const schema::SchemaNode* BuiltinNode(const std::string& plural) {
  static std::mutex mutex;
  static std::map<std::string, std::shared_ptr<const schema::Schema>> compiled;
  const std::lock_guard lock(mutex);
  auto& schema = compiled[plural];
  if (schema == nullptr) schema = Compiled(Fields(BuiltinMarks(plural)));
  return &schema->root();
}

const schema::SchemaNode* MetadataNode() {
  static const auto schema = Compiled(
      Fields({{"finalizers", Set()}, {"ownerReferences", ListMap({"uid"}, Json::object(), true)}}));
  return &schema->root();
}

}  // namespace

Shape Shape::Of(const ResourceInfo& resource) {
  if (resource.crd_version != nullptr) return {&resource.crd_version->schema->root(), false, true};
  return {BuiltinNode(resource.plural), true, true};
}

Shape Shape::Member(const std::string& name) const {
  if (root_ && name == "metadata") return {MetadataNode(), true, false};
  return {node_ == nullptr ? nullptr : node_->Member(name), builtin_, false};
}

Shape Shape::Element() const {
  return {node_ == nullptr ? nullptr : node_->items.get(), builtin_, false};
}

bool Shape::IsField(const std::string& name) const {
  return builtin_ || root_ || (node_ != nullptr && node_->Property(name) != nullptr);
}

std::optional<std::string> Shape::ElementPath(const Json& element) const {
  if (node_->list_type == schema::ListType::kSet) {
    if (element.is_structured()) return std::nullopt;
    return ValueElement(element);
  }
  if (!element.is_object()) return std::nullopt;
  Json keys = Json::object();
  for (const std::string& name : node_->list_keys) {
    const auto it = element.find(name);
    if (it != element.end()) {
      if (it->is_structured()) return std::nullopt;
      keys[name] = *it;
      continue;
    }
    const schema::SchemaNode* property =
        node_->items == nullptr ? nullptr : node_->items->Property(name);
    if (property == nullptr || !property->default_value) return std::nullopt;
    keys[name] = *property->default_value;
  }
  return "k:" + DumpJson(keys);
}

}  // namespace envicutor::standalone
