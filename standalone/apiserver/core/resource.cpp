#include "standalone/apiserver/core/resource.h"

#include <algorithm>
#include <set>

#include "standalone/apiserver/schema/openapi.h"

namespace envicutor::standalone {
namespace {

struct BuiltinKind {
  const char* group;
  const char* version;
  const char* plural;
  const char* kind;
  bool namespaced;
  bool has_status;
  std::vector<std::string> short_names;
  std::vector<std::string> subresources;
  std::vector<std::string> categories;
  bool virtual_kind = false;
};

const std::vector<BuiltinKind>& BuiltinKinds() {
  static const std::vector<BuiltinKind> kinds = {
      {"", "v1", "configmaps", "ConfigMap", true, false, {"cm"}, {}, {}},
      {"", "v1", "events", "Event", true, false, {"ev"}, {}, {}},
      {"", "v1", "namespaces", "Namespace", false, true, {"ns"}, {"finalize"}, {}},
      {"", "v1", "nodes", "Node", false, true, {"no"}, {}, {}},
      {"", "v1", "pods", "Pod", true, true, {"po"}, {"binding", "eviction", "log"}, {"all"}},
      {"", "v1", "resourcequotas", "ResourceQuota", true, true, {"quota"}, {}, {}},
      {"", "v1", "secrets", "Secret", true, false, {}, {}, {}},
      {"", "v1", "serviceaccounts", "ServiceAccount", true, false, {"sa"}, {}, {}},
      {"apiextensions.k8s.io",
       "v1",
       "customresourcedefinitions",
       "CustomResourceDefinition",
       false,
       true,
       {"crd", "crds"},
       {},
       {"api-extensions"}},
      {"authentication.k8s.io",
       "v1",
       "selfsubjectreviews",
       "SelfSubjectReview",
       false,
       false,
       {},
       {},
       {},
       true},
      {"authorization.k8s.io",
       "v1",
       "selfsubjectaccessreviews",
       "SelfSubjectAccessReview",
       false,
       false,
       {},
       {},
       {},
       true},
      {"coordination.k8s.io", "v1", "leases", "Lease", true, false, {}, {}, {}},
  };
  return kinds;
}

std::string Lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

std::shared_ptr<const schema::Schema> BuiltinSchema(const BuiltinKind& kind) {
  static const std::vector<schema::OpenApiResource> resources = schema::BuiltinOpenApiResources();
  for (const schema::OpenApiResource& resource : resources) {
    if (resource.group == kind.group && resource.version == kind.version &&
        resource.plural == kind.plural && resource.schema.is_object()) {
      std::vector<schema::FieldError> errors;
      return schema::Schema::Compile(resource.schema, "", &errors);
    }
  }
  return nullptr;
}

const std::vector<ResourcePtr>& BuiltinResources() {
  static const std::vector<ResourcePtr> resources = [] {
    std::vector<ResourcePtr> made;
    for (const BuiltinKind& kind : BuiltinKinds()) {
      auto info = std::make_shared<ResourceInfo>();
      info->group = kind.group;
      info->version = kind.version;
      info->plural = kind.plural;
      info->kind = kind.kind;
      info->singular = Lower(kind.kind);
      info->list_kind = info->kind + "List";
      info->short_names = kind.short_names;
      info->categories = kind.categories;
      info->namespaced = kind.namespaced;
      info->has_status = kind.has_status;
      info->subresources = kind.subresources;
      info->virtual_kind = kind.virtual_kind;
      info->builtin_schema = BuiltinSchema(kind);
      made.push_back(std::move(info));
    }
    return made;
  }();
  return resources;
}

// Kubernetes' version priority: GA before beta before alpha, higher numbers first, others last.
std::tuple<int, int, int, std::string> VersionRank(const std::string& version) {
  int major = 0;
  int minor = 0;
  char stage[6] = {};
  int used = 0;
  const int length = static_cast<int>(version.size());
  // NOLINTNEXTLINE(cert-err34-c): a number that is too large only sorts elsewhere
  if (std::sscanf(version.c_str(), "v%d%n", &major, &used) == 1 && used == length) {
    return {0, -major, 0, version};
  }
  // NOLINTNEXTLINE(cert-err34-c): likewise
  if (std::sscanf(version.c_str(), "v%d%5[a-z]%d%n", &major, stage, &minor, &used) == 3 &&
      used == length) {
    if (std::string_view(stage) == "beta") return {1, -major, -minor, version};
    if (std::string_view(stage) == "alpha") return {2, -major, -minor, version};
  }
  return {3, 0, 0, version};
}

ResourcePtr FromCrd(const std::shared_ptr<const schema::CompiledCrd>& crd,
                    const schema::CompiledVersion& version) {
  auto info = std::make_shared<ResourceInfo>();
  info->group = crd->group;
  info->version = version.name;
  info->plural = crd->names.plural;
  info->singular = crd->names.singular;
  info->kind = crd->names.kind;
  info->list_kind = crd->names.list_kind;
  info->short_names = crd->names.short_names;
  info->categories = crd->names.categories;
  info->namespaced = crd->namespaced;
  info->has_status = version.has_status;
  info->has_scale = version.scale.has_value();
  info->crd = crd;
  info->crd_version = &version;
  return info;
}

}  // namespace

std::shared_ptr<const Registry> Registry::Builtin() { return With({}); }

std::shared_ptr<const Registry> Registry::With(
    const std::map<std::string, std::shared_ptr<const schema::CompiledCrd>>& crds) {
  auto registry = std::make_shared<Registry>();
  for (const ResourcePtr& resource : BuiltinResources()) registry->Add(resource);
  for (const auto& [name, crd] : crds) {
    for (const schema::CompiledVersion& version : crd->versions) {
      if (version.served) registry->Add(FromCrd(crd, version));
    }
  }
  std::stable_sort(registry->all_.begin(), registry->all_.end(),
                   [](const ResourcePtr& a, const ResourcePtr& b) {
                     return std::make_tuple(a->group, VersionRank(a->version), a->plural) <
                            std::make_tuple(b->group, VersionRank(b->version), b->plural);
                   });
  return registry;
}

void Registry::Add(ResourcePtr resource) {
  by_path_[resource->group + "/" + resource->version + "/" + resource->plural] = resource;
  by_kind_[resource->ApiVersion() + "/" + resource->kind] = resource;
  all_.push_back(std::move(resource));
}

ResourcePtr Registry::Find(std::string_view group, std::string_view version,
                           std::string_view resource) const {
  std::string path(group);
  path.append("/").append(version).append("/").append(resource);
  const auto it = by_path_.find(path);
  return it == by_path_.end() ? nullptr : it->second;
}

ResourcePtr Registry::FindKind(std::string_view api_version, std::string_view kind) const {
  std::string path(api_version);
  path.append("/").append(kind);
  const auto it = by_kind_.find(path);
  return it == by_kind_.end() ? nullptr : it->second;
}

bool Registry::HasGroupVersion(std::string_view group, std::string_view version) const {
  return std::any_of(all_.begin(), all_.end(), [&](const ResourcePtr& resource) {
    return resource->group == group && resource->version == version;
  });
}

std::vector<std::string> Registry::Versions(std::string_view group) const {
  std::vector<std::string> versions;
  for (const ResourcePtr& resource : all_) {
    if (resource->group == group && (versions.empty() || versions.back() != resource->version)) {
      versions.push_back(resource->version);
    }
  }
  return versions;
}

std::vector<std::string> Registry::Groups() const {
  std::vector<std::string> groups;
  for (const ResourcePtr& resource : all_) {
    if (!resource->group.empty() && (groups.empty() || groups.back() != resource->group)) {
      groups.push_back(resource->group);
    }
  }
  return groups;
}

std::vector<ResourcePtr> Registry::StorageResources() const {
  std::vector<ResourcePtr> resources;
  std::set<std::string> seen;
  for (const ResourcePtr& resource : all_) {
    if (!resource->virtual_kind && seen.insert(resource->StorageName()).second) {
      resources.push_back(resource);
    }
  }
  return resources;
}

}  // namespace envicutor::standalone
