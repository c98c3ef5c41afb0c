#include "standalone/apiserver/schema/openapi_names.h"

#include <array>

namespace envicutor::standalone::schema {
namespace {

Json Described(const char* type, const char* description) {
  return {{"type", type}, {"description", description}};
}
Json StringMap(const char* description) {
  return {{"type", "object"},
          {"description", description},
          {"additionalProperties", {{"type", "string"}}}};
}
Json Time(const char* description) {
  return {{"type", "string"}, {"format", "date-time"}, {"description", description}};
}
Json ObjectList(const char* description) {
  return {{"type", "array"}, {"description", description}, {"items", {{"type", "object"}}}};
}

Json ObjectMeta() {
  return {{"type", "object"},
          {"description", "ObjectMeta is metadata that all persisted resources must have."},
          {"properties",
           {{"name", Described("string", "Name must be unique within a namespace.")},
            {"generateName", Described("string", "Prefix of a name that the server makes unique.")},
            {"namespace", Described("string", "The space within which the name must be unique.")},
            {"selfLink", Described("string", "Deprecated.")},
            {"uid", Described("string", "Unique in time and space; set by the server.")},
            {"resourceVersion",
             Described("string", "Internal version of the object, to tell when it has changed.")},
            {"generation",
             {{"type", "integer"},
              {"format", "int64"},
              {"description", "Counts the changes of the desired state."}}},
            {"creationTimestamp", Time("When the object was created.")},
            {"deletionTimestamp", Time("When the object will be or was asked to be deleted.")},
            {"deletionGracePeriodSeconds",
             {{"type", "integer"},
              {"format", "int64"},
              {"description", "Seconds that the object has to end gracefully."}}},
            {"labels", StringMap("Labels to organize and select objects.")},
            {"annotations", StringMap("Arbitrary metadata of tools.")},
            {"ownerReferences", ObjectList("Objects that this one depends on.")},
            {"finalizers",
             {{"type", "array"},
              {"description", "Must be empty before the object goes away."},
              {"items", {{"type", "string"}}}}},
            {"managedFields", ObjectList("Which manager set which fields.")}}}};
}

std::string Capitalized(std::string text) {
  if (!text.empty()) text[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(text[0])));
  return text;
}

std::string GroupId(const OpenApiResource& resource) {
  std::string id;
  const std::string group = resource.group.empty() ? "core" : resource.group;
  for (size_t i = 0; i < group.size();) {
    const size_t end = std::min(group.find('.', i), group.size());
    id += Capitalized(group.substr(i, end - i));
    i = end + 1;
  }
  return id + Capitalized(resource.version);
}

constexpr std::array<const char*, 2> kPatchTypes = {"application/json-patch+json",
                                                    "application/merge-patch+json"};
const std::vector<std::string> kWriteQuery = {"dryRun", "fieldManager", "fieldValidation"};
const std::vector<std::string> kListQuery = {
    "allowWatchBookmarks",  "continue",       "fieldSelector",
    "labelSelector",        "limit",          "resourceVersion",
    "resourceVersionMatch", "timeoutSeconds", "watch"};

}  // namespace

std::string DefinitionName(const OpenApiResource& resource) {
  const std::string tail = "." + resource.version + "." + resource.kind;
  if (resource.group.empty()) return "io.k8s.api.core" + tail;
  if (resource.group == "apiextensions.k8s.io") {
    return "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions" + tail;
  }
  constexpr std::string_view kSuffix = ".k8s.io";
  if (std::string_view(resource.group).ends_with(kSuffix)) {
    return "io.k8s.api." + resource.group.substr(0, resource.group.size() - kSuffix.size()) + tail;
  }
  std::string reversed;
  for (size_t end = resource.group.size(); end != std::string::npos;) {
    const size_t dot = end == 0 ? std::string::npos : resource.group.rfind('.', end - 1);
    const size_t begin = dot == std::string::npos ? 0 : dot + 1;
    if (!reversed.empty()) reversed += ".";
    reversed += resource.group.substr(begin, end - begin);
    end = dot;
  }
  return reversed + tail;
}

Json GroupVersionKind(const OpenApiResource& resource) {
  return {{"group", resource.group}, {"version", resource.version}, {"kind", resource.kind}};
}

std::vector<std::pair<std::string, Json>> SharedSchemas(const std::string& prefix) {
  const auto ref = [&prefix](std::string_view name) -> Json {
    return {{"$ref", prefix + std::string(name)}};
  };
  return {{std::string(kObjectMetaName), ObjectMeta()},
          {std::string(kListMetaName),
           {{"type", "object"},
            {"description", "ListMeta describes metadata of lists."},
            {"properties",
             {{"continue", Described("string", "Where the next part of the list begins.")},
              {"remainingItemCount", {{"type", "integer"}, {"format", "int64"}}},
              {"resourceVersion", Described("string", "Version of the list.")},
              {"selfLink", Described("string", "Deprecated.")}}}}},
          {std::string(kStatusName),
           {{"type", "object"},
            {"description", "Status is a return value for calls that don't return other objects."},
            {"properties",
             {{"apiVersion", Described("string", "v1")},
              {"kind", Described("string", "Status")},
              {"metadata", ref(kListMetaName)},
              {"status", Described("string", "Success or Failure.")},
              {"message", Described("string", "What happened, for a person.")},
              {"reason", Described("string", "What happened, for a program.")},
              {"code", {{"type", "integer"}, {"format", "int32"}}},
              {"details", Described("object", "More about the reason.")}}}}},
          {std::string(kDeleteOptionsName),
           {{"type", "object"},
            {"description", "DeleteOptions may be provided when deleting an API object."},
            {"properties",
             {{"apiVersion", Described("string", "v1")},
              {"kind", Described("string", "DeleteOptions")},
              {"dryRun", {{"type", "array"}, {"items", {{"type", "string"}}}}},
              {"gracePeriodSeconds", {{"type", "integer"}, {"format", "int64"}}},
              {"preconditions", Described("object", "Must hold for the object to be deleted.")},
              {"propagationPolicy", Described("string", "Orphan, Background or Foreground.")}}}}},
          {std::string(kPatchName),
           {{"type", "object"},
            {"description", "Patch is the body of a patch: see its content type."}}}};
}

Json KindSchema(const OpenApiResource& resource, const std::string& prefix) {
  Json schema = resource.schema.is_object() ? resource.schema : Json::object();
  schema["type"] = "object";
  Json& properties = schema["properties"];
  if (!properties.is_object()) properties = Json::object();
  properties["apiVersion"] = Described("string", "Version of the schema of this object.");
  properties["kind"] = Described("string", "What kind of object this is.");
  properties["metadata"] = {
      {"description", "Standard object's metadata."},
      {"allOf", Json::array({{{"$ref", prefix + std::string(kObjectMetaName)}}})}};
  schema["x-kubernetes-group-version-kind"] = Json::array({GroupVersionKind(resource)});
  return schema;
}

Json ListSchema(const OpenApiResource& resource, const std::string& prefix) {
  Json gvk = GroupVersionKind(resource);
  gvk["kind"] = resource.kind + "List";
  return {{"type", "object"},
          {"description", resource.kind + "List is a list of " + resource.kind + "."},
          {"required", Json::array({"items"})},
          {"properties",
           {{"apiVersion", Described("string", "Version of the schema of this object.")},
            {"kind", Described("string", "What kind of object this is.")},
            {"metadata", {{"$ref", prefix + std::string(kListMetaName)}}},
            {"items",
             {{"type", "array"},
              {"description", "The objects."},
              {"items", {{"$ref", prefix + DefinitionName(resource)}}}}}}},
          {"x-kubernetes-group-version-kind", Json::array({std::move(gvk)})}};
}

std::vector<OpenApiOperation> OperationsOf(const OpenApiResource& resource) {
  const std::string root = resource.group.empty()
                               ? "/api/" + resource.version
                               : "/apis/" + resource.group + "/" + resource.version;
  const std::string collection =
      root + (resource.namespaced ? "/namespaces/{namespace}/" : "/") + resource.plural;
  const std::string scope = resource.namespaced ? "Namespaced" : "";
  const std::string name = DefinitionName(resource);
  const std::string tail = scope + resource.kind;
  const std::string group = GroupId(resource);
  const std::vector<std::string> in_collection =
      resource.namespaced ? std::vector<std::string>{"namespace"} : std::vector<std::string>{};
  std::vector<std::string> in_item = in_collection;
  in_item.insert(in_item.begin(), "name");
  const std::vector<std::string> patches(kPatchTypes.begin(), kPatchTypes.end());
  const std::string status(kStatusName);

  std::vector<OpenApiOperation> out = {{collection,
                                        "get",
                                        "list",
                                        "list" + group + tail,
                                        "",
                                        name + "List",
                                        {},
                                        kListQuery,
                                        in_collection},
                                       {collection,
                                        "post",
                                        "post",
                                        "create" + group + tail,
                                        name,
                                        name,
                                        {},
                                        kWriteQuery,
                                        in_collection},
                                       {collection,
                                        "delete",
                                        "deletecollection",
                                        "delete" + group + "Collection" + tail,
                                        "",
                                        status,
                                        {},
                                        kListQuery,
                                        in_collection}};
  const auto add_item = [&](const std::string& path, const std::string& suffix, bool deletes) {
    out.push_back({path, "get", "get", "read" + group + tail + suffix, "", name, {}, {}, in_item});
    out.push_back({path,
                   "put",
                   "put",
                   "replace" + group + tail + suffix,
                   name,
                   name,
                   {},
                   kWriteQuery,
                   in_item});
    out.push_back({path, "patch", "patch", "patch" + group + tail + suffix, std::string(kPatchName),
                   name, patches, kWriteQuery, in_item});
    if (deletes) {
      out.push_back({path,
                     "delete",
                     "delete",
                     "delete" + group + tail,
                     std::string(kDeleteOptionsName),
                     status,
                     {},
                     {"dryRun", "gracePeriodSeconds", "propagationPolicy"},
                     in_item});
    }
  };
  const std::string item = collection + "/{name}";
  add_item(item, "", true);
  if (resource.has_status) add_item(item + "/status", "Status", false);
  if (resource.has_scale) add_item(item + "/scale", "Scale", false);
  if (resource.namespaced) {
    out.push_back({root + "/" + resource.plural,
                   "get",
                   "list",
                   "list" + group + resource.kind + "ForAllNamespaces",
                   "",
                   name + "List",
                   {},
                   kListQuery,
                   {}});
  }
  return out;
}

std::string ParameterDescription(std::string_view name) {
  static const std::map<std::string_view, std::string> kDescriptions = {
      {"name", "Name of the object."},
      {"namespace", "Object name and auth scope, such as for teams and projects."},
      {"dryRun", "All: the request is checked in full and nothing is persisted."},
      {"fieldManager", "Name of the actor that makes the change."},
      {"fieldValidation", "What to do about unknown or duplicate fields: Ignore, Warn or Strict."},
      {"gracePeriodSeconds", "Seconds before the object is deleted."},
      {"propagationPolicy", "Orphan, Background or Foreground."},
      {"allowWatchBookmarks", "Ask for watch events of type BOOKMARK."},
      {"continue", "The token that the part before gave."},
      {"fieldSelector", "Select objects by their fields."},
      {"labelSelector", "Select objects by their labels."},
      {"limit", "The most objects to return at once."},
      {"resourceVersion", "Which version of the list is meant; see the API concepts."},
      {"resourceVersionMatch", "How resourceVersion is applied to a list."},
      {"timeoutSeconds", "Time after which a watch ends."},
      {"watch", "Watch for changes and return them as a stream."}};
  const auto it = kDescriptions.find(name);
  return it == kDescriptions.end() ? "" : it->second;
}

std::string ParameterType(std::string_view name) {
  if (name == "watch" || name == "allowWatchBookmarks") return "boolean";
  if (name == "limit" || name == "timeoutSeconds" || name == "gracePeriodSeconds") return "integer";
  return "string";
}

OpenApiResource OpenApiResourceOf(const CompiledCrd& crd, const CompiledVersion& version) {
  return {crd.group,
          version.name,
          crd.names.kind,
          crd.names.plural,
          crd.namespaced,
          version.has_status,
          version.scale.has_value(),
          version.open_api_v3_schema};
}

}  // namespace envicutor::standalone::schema
