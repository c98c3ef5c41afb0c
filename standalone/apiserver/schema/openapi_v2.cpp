#include "standalone/apiserver/schema/openapi_names.h"

namespace envicutor::standalone::schema {
namespace {

const std::string kPrefix = "#/definitions/";

// What Swagger 2.0 and old kubectls understand of a structural schema, as Kubernetes publishes it:
// no junctors, and no type where a value may have several.
Json Reduce(const Json& schema) {
  Json out = schema;
  for (const char* key : {"anyOf", "oneOf", "not", "default", "nullable"}) out.erase(key);
  if (out.contains("allOf") && !At(out, {"allOf"}).empty() &&
      !At(schema, {"allOf"})[0].contains("$ref")) {
    out.erase("allOf");
  }
  if (GetBool(schema, "nullable") || GetBool(schema, "x-kubernetes-int-or-string")) {
    for (const char* key : {"type", "items", "properties", "pattern", "minimum", "maxLength"}) {
      out.erase(key);
    }
  }
  if (GetBool(schema, "x-kubernetes-preserve-unknown-fields")) {
    for (const char* key : {"items", "properties", "type"}) out.erase(key);
  }
  if (out.contains("properties")) {
    for (Json& property : out["properties"]) property = Reduce(property);
  }
  if (out.contains("items")) out["items"] = Reduce(out["items"]);
  if (At(out, {"additionalProperties"}).is_object()) {
    out["additionalProperties"] = Reduce(out["additionalProperties"]);
  }
  return out;
}

Json Parameter(const std::string& name, bool in_path) {
  Json parameter = {{"name", name},
                    {"in", in_path ? "path" : "query"},
                    {"description", ParameterDescription(name)},
                    {"type", ParameterType(name)},
                    {"uniqueItems", true}};
  if (in_path) parameter["required"] = true;
  return parameter;
}

Json Operation(const OpenApiResource& resource, const OpenApiOperation& operation) {
  Json parameters = Json::array();
  for (const std::string& name : operation.query) parameters.push_back(Parameter(name, false));
  if (!operation.body.empty()) {
    parameters.push_back({{"name", "body"},
                          {"in", "body"},
                          {"required", true},
                          {"schema", {{"$ref", kPrefix + operation.body}}}});
  }
  Json consumes = Json::array();
  for (const std::string& type : operation.consumes) consumes.push_back(type);
  if (consumes.empty()) consumes.push_back("application/json");
  return {{"operationId", operation.id},
          {"description", operation.action + " " + resource.kind},
          {"consumes", std::move(consumes)},
          {"produces", Json::array({"application/json"})},
          {"schemes", Json::array({"https"})},
          {"parameters", std::move(parameters)},
          {"responses",
           {{"200", {{"description", "OK"}, {"schema", {{"$ref", kPrefix + operation.answer}}}}},
            {"401", {{"description", "Unauthorized"}}}}},
          {"x-kubernetes-action", operation.action},
          {"x-kubernetes-group-version-kind", GroupVersionKind(resource)}};
}

}  // namespace

Json OpenApiV2Document(const std::vector<OpenApiResource>& resources) {
  Json paths = Json::object();
  Json definitions = Json::object();
  for (auto& [name, schema] : SharedSchemas(kPrefix)) definitions[name] = std::move(schema);
  for (const OpenApiResource& resource : resources) {
    const std::string name = DefinitionName(resource);
    OpenApiResource reduced = resource;
    reduced.schema = Reduce(resource.schema);
    definitions[name] = KindSchema(reduced, kPrefix);
    // Old kubectls follow plain references only.
    definitions[name]["properties"]["metadata"] = {{"$ref", kPrefix + std::string(kObjectMetaName)},
                                                   {"description", "Standard object's metadata."}};
    definitions[name + "List"] = ListSchema(resource, kPrefix);
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
  return {{"swagger", "2.0"},
          {"info", {{"title", "Kubernetes"}, {"version", "v" ENVICUTOR_VERSION}}},
          {"paths", std::move(paths)},
          {"definitions", std::move(definitions)}};
}

}  // namespace envicutor::standalone::schema
