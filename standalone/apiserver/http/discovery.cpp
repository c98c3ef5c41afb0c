#include "standalone/apiserver/http/discovery.h"

namespace envicutor::standalone {
namespace {

struct Subresource {
  std::string name;
  std::string group;  // of the kind that it takes
  std::string version;
  std::string kind;
  std::vector<std::string> verbs;
};

const std::vector<std::string>& Verbs(const ResourceInfo& resource) {
  static const std::vector<std::string> all = {"create", "delete", "deletecollection", "get",
                                               "list",   "patch",  "update",           "watch"};
  static const std::vector<std::string> create = {"create"};
  return resource.virtual_kind ? create : all;
}

std::vector<Subresource> Subresources(const ResourceInfo& resource) {
  std::vector<Subresource> all;
  const std::vector<std::string> modify = {"get", "patch", "update"};
  for (const std::string& name : resource.subresources) {
    if (name == "binding") all.push_back({name, "", "v1", "Binding", {"create"}});
    if (name == "eviction") all.push_back({name, "policy", "v1", "Eviction", {"create"}});
    if (name == "log") all.push_back({name, "", "v1", resource.kind, {"get"}});
    if (name == "finalize") all.push_back({name, "", "v1", resource.kind, {"update"}});
  }
  if (resource.has_scale) all.push_back({"scale", "autoscaling", "v1", "Scale", modify});
  if (resource.has_status) {
    all.push_back({"status", resource.group, resource.version, resource.kind, modify});
  }
  return all;
}

Json GroupEntry(const Registry& registry, const std::string& group) {
  Json versions = Json::array();
  for (const std::string& version : registry.Versions(group)) {
    versions.push_back({{"groupVersion", group + "/" + version}, {"version", version}});
  }
  return {{"name", group}, {"versions", versions}, {"preferredVersion", versions[0]}};
}

Json DiscoveryEntry(const ResourceInfo& resource) {
  const auto kind = [](const std::string& group, const std::string& version,
                       const std::string& name) {
    return Json{{"group", group}, {"version", version}, {"kind", name}};
  };
  Json entry = {{"resource", resource.plural},
                {"responseKind", kind(resource.group, resource.version, resource.kind)},
                {"scope", resource.namespaced ? "Namespaced" : "Cluster"},
                {"singularResource", resource.singular},
                {"verbs", Verbs(resource)}};
  if (!resource.short_names.empty()) entry["shortNames"] = resource.short_names;
  if (!resource.categories.empty()) entry["categories"] = resource.categories;
  for (const Subresource& sub : Subresources(resource)) {
    entry["subresources"].push_back({{"subresource", sub.name},
                                     {"responseKind", kind(sub.group, sub.version, sub.kind)},
                                     {"verbs", sub.verbs}});
  }
  return entry;
}

}  // namespace

Json ApiVersionsDocument(const std::string& server_address) {
  return {{"kind", "APIVersions"},
          {"versions", {"v1"}},
          {"serverAddressByClientCIDRs",
           Json::array({{{"clientCIDR", "0.0.0.0/0"}, {"serverAddress", server_address}}})}};
}

Json ApiGroupListDocument(const Registry& registry) {
  Json groups = Json::array();
  for (const std::string& group : registry.Groups()) groups.push_back(GroupEntry(registry, group));
  return {{"kind", "APIGroupList"}, {"apiVersion", "v1"}, {"groups", std::move(groups)}};
}

Json ApiGroupDocument(const Registry& registry, const std::string& group) {
  Json document = GroupEntry(registry, group);
  document["kind"] = "APIGroup";
  document["apiVersion"] = "v1";
  return document;
}

Json ApiResourceListDocument(const Registry& registry, const std::string& group,
                             const std::string& version) {
  Json resources = Json::array();
  for (const ResourcePtr& resource : registry.all()) {
    if (resource->group != group || resource->version != version) continue;
    Json entry = {{"name", resource->plural},
                  {"singularName", resource->singular},
                  {"namespaced", resource->namespaced},
                  {"kind", resource->kind},
                  {"verbs", Verbs(*resource)}};
    if (!resource->short_names.empty()) entry["shortNames"] = resource->short_names;
    if (!resource->categories.empty()) entry["categories"] = resource->categories;
    resources.push_back(std::move(entry));
    for (const Subresource& sub : Subresources(*resource)) {
      Json part = {{"name", resource->plural + "/" + sub.name},
                   {"singularName", ""},
                   {"namespaced", resource->namespaced},
                   {"kind", sub.kind},
                   {"verbs", sub.verbs}};
      if (sub.group != resource->group || sub.version != resource->version) {
        part["group"] = sub.group;
        part["version"] = sub.version;
      }
      resources.push_back(std::move(part));
    }
  }
  return {{"kind", "APIResourceList"},
          {"apiVersion", "v1"},
          {"groupVersion", group.empty() ? version : group + "/" + version},
          {"resources", std::move(resources)}};
}

Json AggregatedDiscoveryDocument(const Registry& registry, bool core) {
  const std::vector<std::string> groups = core ? std::vector<std::string>{""} : registry.Groups();
  Json items = Json::array();
  for (const std::string& group : groups) {
    Json versions = Json::array();
    for (const std::string& version : registry.Versions(group)) {
      Json resources = Json::array();
      for (const ResourcePtr& resource : registry.all()) {
        if (resource->group == group && resource->version == version) {
          resources.push_back(DiscoveryEntry(*resource));
        }
      }
      versions.push_back(
          {{"version", version}, {"resources", std::move(resources)}, {"freshness", "Current"}});
    }
    Json metadata = Json::object();
    if (!group.empty()) metadata["name"] = group;
    items.push_back({{"metadata", std::move(metadata)}, {"versions", std::move(versions)}});
  }
  return {{"kind", "APIGroupDiscoveryList"},
          {"apiVersion", "apidiscovery.k8s.io/v2"},
          {"metadata", Json::object()},
          {"items", std::move(items)}};
}

Json VersionDocument() {
  return {{"major", "1"},
          {"minor", "32"},
          {"gitVersion", "v1.32.0+envicutor-" ENVICUTOR_VERSION},
          {"gitCommit", ""},
          {"gitTreeState", "clean"},
          {"buildDate", "1970-01-01T00:00:00Z"},
          {"goVersion", "none"},
          {"compiler", "gcc"},
          {"platform", "linux/amd64"}};
}

}  // namespace envicutor::standalone
