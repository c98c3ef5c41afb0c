#include "standalone/apiserver/schema/crd.h"

namespace envicutor::standalone::schema {
namespace {

using Values = std::vector<std::pair<std::string, std::string>>;

std::string Text(const Json* value) {
  if (value == nullptr || value->is_null() || value->is_structured()) return "";
  return value->is_string() ? value->get<std::string>() : DumpJson(*value);
}

Values MetadataValues(const Json& object) {
  const Json& metadata = At(object, {"metadata"});
  return {{"metadata.name", GetString(metadata, "name")},
          {"metadata.namespace", GetString(metadata, "namespace")}};
}

// "spec.nodeName" of an object; dots separate.
std::string DottedValue(const Json& object, std::string_view path) {
  const Json* at = &object;
  while (!path.empty()) {
    const size_t end = std::min(path.find('.'), path.size());
    if (!at->is_object()) return "";
    const auto it = at->find(path.substr(0, end));
    if (it == at->end()) return "";
    at = &*it;
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return Text(at);
}

void AddDotted(const Json& object, std::initializer_list<const char*> paths, Values* out) {
  for (const char* path : paths) out->emplace_back(path, DottedValue(object, path));
}

}  // namespace

Values SelectableValues(const CompiledVersion& version, const Json& object) {
  Values values = MetadataValues(object);
  for (const SelectableField& field : version.selectable_fields) {
    values.emplace_back(field.name, Text(field.path.First(object)));
  }
  return values;
}

Values SelectableValues(std::string_view group, std::string_view resource, const Json& object) {
  Values values = MetadataValues(object);
  if (group.empty() && resource == "pods") {
    AddDotted(
        object,
        {"spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName",
         "status.phase", "status.podIP", "status.nominatedNodeName"},
        &values);
    const bool host_network = GetBool(At(object, {"spec"}), "hostNetwork");
    values.emplace_back("spec.hostNetwork", host_network ? "true" : "false");
  } else if (group.empty() && resource == "events") {
    AddDotted(object,
              {"involvedObject.kind", "involvedObject.namespace", "involvedObject.name",
               "involvedObject.uid", "involvedObject.apiVersion", "involvedObject.resourceVersion",
               "involvedObject.fieldPath", "reason", "reportingComponent", "type"},
              &values);
    std::string source = DottedValue(object, "source.component");
    if (source.empty()) source = DottedValue(object, "reportingComponent");
    values.emplace_back("source", std::move(source));
  } else if (group.empty() && resource == "secrets") {
    AddDotted(object, {"type"}, &values);
  } else if (group.empty() && resource == "namespaces") {
    AddDotted(object, {"status.phase"}, &values);
  } else if (group.empty() && resource == "nodes") {
    const bool unschedulable = GetBool(At(object, {"spec"}), "unschedulable");
    values.emplace_back("spec.unschedulable", unschedulable ? "true" : "false");
  } else if (group == "events.k8s.io" && resource == "events") {
    AddDotted(object,
              {"reason", "reportingController", "regarding.kind", "regarding.namespace",
               "regarding.name", "regarding.uid", "type"},
              &values);
  }
  return values;
}

}  // namespace envicutor::standalone::schema
