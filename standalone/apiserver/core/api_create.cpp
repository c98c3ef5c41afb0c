// create.
#include "standalone/apiserver/core/api.h"
#include "standalone/apiserver/core/apply/ownership.h"
#include "standalone/apiserver/core/metadata.h"
#include "standalone/apiserver/core/object.h"
#include "standalone/apiserver/core/quota.h"

namespace envicutor::standalone {
namespace {

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
  if (!generated) return CreateNamed(resource, ns, std::move(object), options);
  for (int tries = 1; true; ++tries) {
    Json attempt = object;
    attempt["metadata"]["name"] = prefix.substr(0, kMaxGeneratedBase) + ids_->NameSuffix();
    ApiResult<Answer> answer = CreateNamed(resource, ns, std::move(attempt), options);
    if (answer.ok() || answer.error().reason != "AlreadyExists" || tries == kMaxTries) {
      return answer;
    }
  }
}

ApiResult<Answer> Api::CreateNamed(const ResourceInfo& resource, const std::string& ns, Json object,
                                   const WriteOptions& options) {
  Json& metadata = object["metadata"];
  const std::string name = GetString(metadata, "name");
  StoreWrite write;
  API_ASSIGN(write.guards, CreateGuards(resource, ns, name, options.deferred));
  Json asked = At(metadata, {"managedFields"});
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
  const std::unique_lock<std::mutex> names = DefinitionsTurn(resource);
  if (auto error = Admit(resource, nullptr, "", &object, options, &answer.warnings)) return *error;
  Json managed = options.owned ? std::move(asked)
                               : TrackWrite(resource, nullptr, object, std::move(asked), nullptr,
                                            {options.manager, "", clock_->WallNow()});
  if (!managed.is_null()) object["metadata"]["managedFields"] = std::move(managed);
  write.resource = resource.StorageName();
  write.key = KeyOf(ns, name);
  write.object = DraftObject(std::move(object));
  for (int tries = 0; tries < kMaxTries; ++tries) {
    if (const ObjectPtr present = store_->GetHead(write.resource, write.key)) {
      ApiError error = AlreadyExistsError(resource.Target(name));
      if (Stands(write.resource, write.key, present, options.deferred, &error)) return error;
      continue;
    }
    // Creates in a namespace with a quota take turns, so that none is counted without the other.
    std::unique_lock<std::mutex> turn;
    if (resource.namespaced && store_->AnyHead(std::string(kQuotas), ns + "/")) {
      if (auto error = OverQuota(resource, ns, name, options.deferred, &turn)) return *error;
    }
    API_ASSIGN(answer, Commit(resource, &write, options, std::move(answer)));
    if (answer.code != 0) return answer;
    // The namespace or the kind has changed, or the name was taken: the object is as good as it
    // was.
    answer.code = 201;
    API_ASSIGN(write.guards, CreateGuards(resource, ns, name, options.deferred));
  }
  return ServiceUnavailableError(
      "the object could not be created: its namespace changes too often");
}

std::optional<ApiError> Api::OverQuota(const ResourceInfo& resource, const std::string& ns,
                                       const std::string& name, bool deferred,
                                       std::unique_lock<std::mutex>* turn) {
  *turn = std::unique_lock(quota_mutex_);
  std::optional<ApiError> error = CheckQuotas(*store_, resource, ns, name);
  if (!error) return std::nullopt;
  // Those that wait for the disk have been counted. Nobody adds to them now: counted again, none of
  // them is newer than this one.
  std::shared_ptr<WriteTicket> ticket = store_->Newest(resource.StorageName(), ns + "/");
  error = CheckQuotas(*store_, resource, ns, name);
  if (!error) return std::nullopt;
  turn->unlock();
  TellWhenDurable(std::move(ticket), deferred, &*error);
  return error;
}

}  // namespace envicutor::standalone
