#include "common/base/encoding.h"
#include "standalone/apiserver/schema/openapi_names.h"

namespace envicutor::standalone::schema {
namespace {

const std::string kPrefix = "#/components/schemas/";

Json Parameter(const std::string& name, bool in_path) {
  Json parameter = {{"name", name},
                    {"in", in_path ? "path" : "query"},
                    {"description", ParameterDescription(name)},
                    {"schema", {{"type", ParameterType(name)}, {"uniqueItems", true}}}};
  if (in_path) parameter["required"] = true;
  return parameter;
}

Json Content(const std::string& definition, const std::vector<std::string>& types) {
  Json content = Json::object();
  for (const std::string& type : types) {
    content[type] = {{"schema", {{"$ref", kPrefix + definition}}}};
  }
  return content;
}

Json Operation(const OpenApiResource& resource, const OpenApiOperation& operation) {
  Json parameters = Json::array();
  for (const std::string& name : operation.query) parameters.push_back(Parameter(name, false));
  Json out = {
      {"operationId", operation.id},
      {"description", operation.action + " " + resource.kind},
      {"parameters", std::move(parameters)},
      {"responses",
       {{"200",
         {{"description", "OK"}, {"content", Content(operation.answer, {"application/json"})}}},
        {"401", {{"description", "Unauthorized"}}}}},
      {"x-kubernetes-action", operation.action},
      {"x-kubernetes-group-version-kind", GroupVersionKind(resource)}};
  if (!operation.body.empty()) {
    const std::vector<std::string> types = operation.consumes.empty()
                                               ? std::vector<std::string>{"application/json"}
                                               : operation.consumes;
    out["requestBody"] = {{"content", Content(operation.body, types)}, {"required", true}};
  }
  return out;
}

}  // namespace

Json OpenApiV3Index(const std::map<std::string, std::string>& documents) {
  Json paths = Json::object();
  for (const auto& [path, text] : documents) {
    paths[path] = {{"serverRelativeURL", "/openapi/v3/" + path + "?hash=" + Sha256Hex(text)}};
  }
  return {{"paths", std::move(paths)}};
}

Json OpenApiV3Document(std::string_view group, std::string_view version,
                       const std::vector<OpenApiResource>& resources) {
  Json paths = Json::object();
  Json schemas = Json::object();
  for (auto& [name, schema] : SharedSchemas(kPrefix)) schemas[name] = std::move(schema);
  for (const OpenApiResource& resource : resources) {
    if (resource.group != group || resource.version != version) continue;
    const std::string name = DefinitionName(resource);
    schemas[name] = KindSchema(resource, kPrefix);
    schemas[name + "List"] = ListSchema(resource, kPrefix);
    for (const OpenApiOperation& operation : OperationsOf(resource)) {
      Json& path = paths[operation.path];
      path[operation.verb] = Operation(resource, operation);
      if (!path.contains("parameters")) {
        path["parameters"] = Json::array();
        for (const std::string& parameter : operation.in_path) {
          path["parameters"].push_back(Parameter(parameter, true));
        }
      }
    }
  }
  return {{"openapi", "3.0.0"},
          {"info", {{"title", "Kubernetes"}, {"version", "v" ENVICUTOR_VERSION}}},
          {"paths", std::move(paths)},
          {"components", {{"schemas", std::move(schemas)}}}};
}

}  // namespace envicutor::standalone::schema
