// create.
#include "standalone/apiserver/core/api.h"
#include "standalone/apiserver/core/apply/ownership.h"
#include "standalone/apiserver/core/metadata.h"
#include "standalone/apiserver/core/object.h"
#include "standalone/apiserver/core/quota.h"

namespace envicutor::standalone {
namespace {

constexpr int kMaxTries = 100;
constexpr size_t kMaxGeneratedBase = 58;  // 63 less the five characters of the tail

// apiVersion, kind and namespace of the body against those of the URL.
std::optional<ApiError> CheckIdentity(const ResourceInfo& resource, const std::string& ns,
                                      Json* object) {
  if (!object->is_object()) return BadRequestError("the object provided is not a JSON object");
  const std::string api_version = GetString(*object, "apiVersion");
  const std::string kind = GetString(*object, "kind");
  if (resource.crd != nullptr && kind.empty()) {
    return BadRequestError("Object 'Kind' is missing in '" + DumpJson(*object).substr(0, 512) +
                           "'");
  }
  if (resource.crd != nullptr && api_version.empty()) {
    return BadRequestError("Object 'apiVersion' is missing in '" +
                           DumpJson(*object).substr(0, 512) + "'");
  }
  if (!api_version.empty() && api_version != resource.ApiVersion()) {
    return BadRequestError("the API version in the data (" + api_version +
                           ") does not match the expected API version (" + resource.ApiVersion() +
                           ")");
  }
  if (!kind.empty() && kind != resource.kind) {
    return BadRequestError("the kind in the data (" + kind +
                           ") does not match the expected kind (" + resource.kind + ")");
  }
  (*object)["apiVersion"] = resource.ApiVersion();
  (*object)["kind"] = resource.kind;
  if (auto error = CheckMetadataTypes(object, resource)) return error;
  Json& metadata = (*object)["metadata"];
  if (!resource.namespaced) {
    metadata.erase("namespace");
    return std::nullopt;
  }
  const std::string own = GetString(metadata, "namespace");
  if (!own.empty() && own != ns) {
    return BadRequestError(
        "the namespace of the provided object does not match the namespace sent on the request");
  }
  metadata["namespace"] = ns;
  return std::nullopt;
}

}  // namespace

ApiResult<Answer> Api::Create(const ResourceInfo& resource, const std::string& ns, Json object,
                              const WriteOptions& options) {
  if (resource.virtual_kind) {
    // Everyone who is authenticated may do everything.
    object["apiVersion"] = resource.ApiVersion();
    object["kind"] = resource.kind;
    if (resource.kind == "SelfSubjectReview") {
      object["status"] = {{"userInfo", {{"username", options.user}, {"groups", options.groups}}}};
    } else {
      object["status"] = {{"allowed", true}};
    }
    return Answer{201, std::move(object), {}};
  }
  if (auto error = CheckIdentity(resource, ns, &object)) return *error;
  Json& metadata = object["metadata"];
  if (!GetString(metadata, "resourceVersion").empty()) {
    return BadRequestError("resourceVersion should not be set on objects to be created");
  }
  const std::string prefix = GetString(metadata, "generateName");
  const bool generated = GetString(metadata, "name").empty() && !prefix.empty();
  for (int tries = 0; tries < kMaxTries; ++tries) {
    Json attempt = object;
    if (generated) {
      attempt["metadata"]["name"] = prefix.substr(0, kMaxGeneratedBase) + ids_->NameSuffix();
    }
    const std::string name = NameOf(attempt);
    ApiResult<Answer> answer = CreateOnce(resource, ns, std::move(attempt), options);
    if (!answer.ok()) {
      if (generated && answer.error().reason == "AlreadyExists") continue;
      return answer;
    }
    if (answer->code != 0) return answer;
  }
  return ServiceUnavailableError(
      "the object could not be created: its namespace changes too often");
}

ApiResult<Answer> Api::CreateOnce(const ResourceInfo& resource, const std::string& ns, Json object,
                                  const WriteOptions& options) {
  Json& metadata = object["metadata"];
  const std::string name = GetString(metadata, "name");
  API_ASSIGN(std::vector<StoreWrite::Guard> guards, CreateGuards(resource, ns, name));
  const Json asked = At(metadata, {"managedFields"});
  for (const char* member : {"resourceVersion", "selfLink", "managedFields", "deletionTimestamp",
                             "deletionGracePeriodSeconds", "generation"}) {
    metadata.erase(member);
  }
  metadata["uid"] = ids_->Uuid();
  metadata["creationTimestamp"] = FormatRfc3339(clock_->WallNow());
  if (resource.crd != nullptr || resource.StorageName() == kCrds) metadata["generation"] = 1;
  Answer answer;
  answer.code = 201;
  // A status is written by its own subresource. Nodes register with theirs, as kubelets do.
  const bool keeps_status = !resource.has_status || resource.StorageName() == kNodes;
  if (!keeps_status) object.erase("status");
  if (auto error = Admit(resource, nullptr, "", &object, options, &answer.warnings)) return *error;
  Json managed = options.owned ? asked
                               : TrackWrite(resource, nullptr, object, asked,
                                            {options.manager, "", clock_->WallNow()});
  if (!managed.is_null()) object["metadata"]["managedFields"] = std::move(managed);
  const std::string key = KeyOf(ns, name);
  if (store_->GetHead(resource.StorageName(), key) != nullptr) {
    return AlreadyExistsError(resource.Target(name));
  }
  // Creates in a namespace with a quota take turns, so that none is counted without the other.
  std::unique_lock<std::mutex> turn;
  if (resource.namespaced && store_->AnyHead(std::string(kQuotas), ns + "/")) {
    turn = std::unique_lock(quota_mutex_);
    if (auto error = CheckQuotas(*store_, resource, ns, name)) return *error;
  }
  StoreWrite write;
  write.resource = resource.StorageName();
  write.key = key;
  write.object = std::move(object);
  write.guards = std::move(guards);
  return Commit(resource, std::move(write), options, std::move(answer));
}

}  // namespace envicutor::standalone
