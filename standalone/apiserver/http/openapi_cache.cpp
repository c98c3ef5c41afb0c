#include "standalone/apiserver/http/openapi_cache.h"

#include <set>

#include "standalone/apiserver/schema/openapi.h"

namespace envicutor::standalone {

std::shared_ptr<const OpenApiCache::Documents> OpenApiCache::Get() {
  const std::lock_guard lock(mutex_);
  const uint64_t generation = api_->registry_generation();
  if (documents_ != nullptr && generation_ == generation) return documents_;
  const auto registry = api_->registry();
  std::vector<schema::OpenApiResource> resources;
  for (schema::OpenApiResource& builtin : schema::BuiltinOpenApiResources()) {
    if (registry->Find(builtin.group, builtin.version, builtin.plural) != nullptr) {
      resources.push_back(std::move(builtin));
    }
  }
  for (const ResourcePtr& resource : registry->all()) {
    if (resource->crd_version != nullptr) {
      resources.push_back(schema::OpenApiResourceOf(*resource->crd, *resource->crd_version));
    }
  }
  auto documents = std::make_shared<Documents>();
  std::set<std::pair<std::string, std::string>> versions;
  for (const auto& resource : resources) versions.emplace(resource.group, resource.version);
  for (const auto& [group, version] : versions) {
    const std::string path = group.empty() ? "api/" + version : "apis/" + group + "/" + version;
    documents->v3[path] = DumpJson(schema::OpenApiV3Document(group, version, resources));
  }
  documents->v3_index = DumpJson(schema::OpenApiV3Index(documents->v3));
  const Json v2 = schema::OpenApiV2Document(resources);
  documents->v2_json = DumpJson(v2);
  documents->v2_protobuf = schema::OpenApiV2Protobuf(v2);
  documents_ = std::move(documents);
  generation_ = generation;
  return documents_;
}

}  // namespace envicutor::standalone
