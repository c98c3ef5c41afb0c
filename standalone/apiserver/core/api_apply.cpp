// server-side apply.
#include "standalone/apiserver/core/api.h"
#include "standalone/apiserver/core/apply/ownership.h"
#include "standalone/apiserver/core/metadata.h"
#include "standalone/apiserver/core/object.h"

namespace envicutor::standalone {
namespace {

// What the configuration itself may be, before anything is merged.
std::optional<ApiError> CheckConfig(const ResourceInfo& resource, const std::string& ns,
                                    const std::string& name, Json* config) {
  if (!config->is_object())
    return BadRequestError("error decoding YAML: the body is not an object");
  if (GetString(*config, "kind").empty()) {
    return BadRequestError("Object 'Kind' is missing in '" + DumpJson(*config).substr(0, 512) +
                           "'");
  }
  const std::string version = GetString(*config, "apiVersion");
  if (version != resource.ApiVersion() || GetString(*config, "kind") != resource.kind) {
    const std::string group_version =
        version.find('/') == std::string::npos ? "/" + version : version;
    return BadRequestError("invalid object type: " + group_version +
                           ", Kind=" + GetString(*config, "kind"));
  }
  if (auto error = CheckMetadataTypes(config, resource)) return error;
  Json& metadata = (*config)["metadata"];
  if (!At(metadata, {"managedFields"}).empty()) {
    return BadRequestError("metadata.managedFields must be nil");
  }
  metadata.erase("managedFields");
  if (const std::string own = GetString(metadata, "name", name); own != name) {
    return BadRequestError("the name of the object (" + own +
                           ") does not match the name on the URL (" + name + ")");
  }
  if (const std::string own = GetString(metadata, "namespace", ns);
      resource.namespaced && own != ns) {
    return BadRequestError(
        "the namespace of the provided object does not match the namespace sent on the request");
  }
  metadata["name"] = name;
  if (resource.namespaced) metadata["namespace"] = ns;
  return std::nullopt;
}

// Fields that the schema does not have cannot be owned.
std::optional<ApiError> UndeclaredFields(const ResourceInfo& resource, const Json& config) {
  const schema::Schema* schema = resource.crd_version != nullptr
                                     ? resource.crd_version->schema.get()
                                     : resource.builtin_schema.get();
  if (schema == nullptr) return std::nullopt;
  std::vector<std::string> unknown = schema->UnknownFields(config);
  if (unknown.empty()) return std::nullopt;
  std::string list;
  for (const std::string& field : unknown) {  // unknown field "spec.a"
    const size_t start = field.find('"') + 1;
    list += (unknown.size() == 1 ? "." : "\n  .") + field.substr(start, field.size() - start - 1) +
            ": field not declared in schema";
  }
  ApiError error;
  error.code = 500;
  error.message = "failed to create typed patch object (" + NamespaceOf(config) + "/" +
                  NameOf(config) + "; " + resource.group + "/" + resource.version +
                  ", Kind=" + resource.kind + "): " + (unknown.size() == 1 ? "" : "errors:") + list;
  return error;
}

Json Owned(Applied applied) {
  Json managed = WriteManaged(std::move(applied.managed));
  if (managed.is_null()) {
    applied.object["metadata"].erase("managedFields");
  } else {
    applied.object["metadata"]["managedFields"] = std::move(managed);
  }
  return std::move(applied.object);
}

}  // namespace

ApiResult<Answer> Api::Apply(const ResourceInfo& resource, const std::string& ns,
                             const std::string& name, const std::string& subresource,
                             const Json& config_as_sent, bool force, const WriteOptions& options) {
  Json config = config_as_sent;
  if (auto error = CheckConfig(resource, ns, name, &config)) return *error;
  if (auto error = UndeclaredFields(resource, config_as_sent)) return *error;
  WriteOptions owned = options;
  owned.owned = true;
  const Writer writer{options.manager, subresource, clock_->WallNow()};
  for (int tries = 0; tries < kMaxTries; ++tries) {
    if (!subresource.empty() ||
        store_->GetHead(resource.StorageName(), KeyOf(ns, name)) != nullptr) {
      ApiResult<Answer> answer = Modify(
          resource, ns, name, subresource,
          [&](const Json& current) -> ApiResult<Json> {
            std::optional<Managed> managed =
                ReadManaged(At(current, {"metadata", "managedFields"}));
            API_ASSIGN(Applied applied,
                       OwnApply(resource, &current, config, std::move(managed).value_or(Managed()),
                                writer, force));
            return Owned(std::move(applied));
          },
          owned);
      // Deleted in between: then it is made.
      if (answer.ok() || answer.error().code != 404 || !subresource.empty()) return answer;
      continue;
    }
    API_ASSIGN(Applied applied, OwnApply(resource, nullptr, config, {}, writer, force));
    ApiResult<Answer> answer = Create(resource, ns, Owned(std::move(applied)), owned);
    if (answer.ok() || answer.error().reason != "AlreadyExists") return answer;
  }
  return ModifiedError(resource.Target(name));
}

}  // namespace envicutor::standalone
