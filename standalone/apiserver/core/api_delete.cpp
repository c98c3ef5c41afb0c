// delete and deletecollection: preconditions, grace, finalizers, propagation.
#include <algorithm>

#include "standalone/apiserver/core/api.h"
#include "standalone/apiserver/core/object.h"

namespace envicutor::standalone {
namespace {

constexpr const char* kOrphan = "orphan";
constexpr const char* kForeground = "foregroundDeletion";

// Kinds whose delete answers the object instead of a Status.
bool ReturnsDeleted(const ResourceInfo& resource) {
  const std::string name = resource.StorageName();
  return name == kPods || name == "/serviceaccounts";
}

Json SuccessStatus(const ResourceInfo& resource, const Object& object) {
  Json details = {{"name", object.Name()}, {"kind", resource.plural}};
  if (!resource.group.empty()) details["group"] = resource.group;
  details["uid"] = object.Uid();
  return {{"kind", "Status"},
          {"apiVersion", "v1"},
          {"metadata", Json::object()},
          {"status", "Success"},
          {"details", std::move(details)}};
}

std::optional<ApiError> CheckPreconditions(const ResourceInfo& resource, const Object& object,
                                           const DeleteQuery& query) {
  const std::string uid(object.Uid());
  if (!query.uid.empty() && query.uid != uid) {
    return ConflictError(resource.KindTarget(object.Name()),
                         "the UID in the precondition (" + query.uid +
                             ") does not match the UID in record (" + uid +
                             "). The object might have been deleted and then recreated");
  }
  const std::string version = std::to_string(object.revision);
  if (!query.resource_version.empty() && query.resource_version != version) {
    return ConflictError(resource.KindTarget(object.Name()),
                         "the ResourceVersion in the precondition (" + query.resource_version +
                             ") does not match the ResourceVersion in record (" + version +
                             "). The object might have been modified");
  }
  return std::nullopt;
}

// How long the object lives on, in seconds: only pods that run somewhere have a grace.
int64_t GraceOf(const ResourceInfo& resource, const Json& object, const DeleteQuery& query) {
  if (resource.StorageName() != kPods) return 0;
  const std::string phase = GetString(At(object, {"status"}), "phase");
  if (GetString(At(object, {"spec"}), "nodeName").empty() || phase == "Succeeded" ||
      phase == "Failed") {
    return 0;
  }
  int64_t grace = query.grace_period_seconds;
  if (grace < 0) grace = GetInt(At(object, {"spec"}), "terminationGracePeriodSeconds", 30);
  if (IsTerminating(object)) {  // a later delete can only shorten it
    grace = std::min(grace, GetInt(At(object, {"metadata"}), "deletionGracePeriodSeconds"));
  }
  return grace;
}

void MarkTerminating(const ResourceInfo& resource, Json* object, int64_t grace, WallTime now) {
  Json& metadata = (*object)["metadata"];
  metadata["deletionTimestamp"] = FormatRfc3339(now + std::chrono::seconds(grace));
  metadata["deletionGracePeriodSeconds"] = grace;
  if (metadata.contains("generation")) {
    metadata["generation"] = GetInt(metadata, "generation") + 1;
  }
  if (resource.StorageName() == kNamespaces) {
    (*object)["status"]["phase"] = "Terminating";
  }
}

// Whether nothing holds the object: what most deletes are, and they need no tree.
bool GoesAtOnce(const ResourceInfo& resource, const Object& object, const DeleteQuery& query) {
  const std::string storage = resource.StorageName();
  return !object.HasFinalizers() && query.propagation != "Orphan" &&
         query.propagation != "Foreground" && storage != kCrds && storage != kNamespaces &&
         storage != kPods && !ReturnsDeleted(resource);
}

}  // namespace

ApiResult<Answer> Api::Delete(const ResourceInfo& resource, const std::string& ns,
                              const std::string& name, const DeleteQuery& query) {
  for (int tries = 0; tries < kMaxTries; ++tries) {
    bool raced = false;
    ObjectPtr seen;
    ApiResult<Answer> answer = DeleteOnce(resource, ns, name, query, &seen, &raced);
    if (raced) continue;
    if (answer.ok()) return answer;
    ApiError error = answer.error();
    if (Stands(resource.StorageName(), KeyOf(ns, name), seen, query.deferred, &error)) return error;
  }
  return ModifiedError(resource.Target(name));
}

ApiResult<Answer> Api::DeleteOnce(const ResourceInfo& resource, const std::string& ns,
                                  const std::string& name, const DeleteQuery& query,
                                  ObjectPtr* seen, bool* raced) {
  *seen = store_->GetHead(resource.StorageName(), KeyOf(ns, name));
  const ObjectPtr& stored = *seen;
  if (stored == nullptr) return NotFoundError(resource.Target(name));
  if (auto error = CheckPreconditions(resource, *stored, query)) return *error;
  const std::string storage = resource.StorageName();
  if (storage == kNamespaces &&
      (name == "default" || name == "kube-system" || name == "kube-public")) {
    return ForbiddenError(resource.Target(name), "this namespace may not be deleted");
  }
  StoreWrite write;
  write.resource = storage;
  write.key = KeyOf(ns, name);
  write.expected = stored;
  Answer answer;
  WriteOptions options;
  options.dry_run = query.dry_run;
  options.deferred = query.deferred;
  if (GoesAtOnce(resource, *stored, query)) {
    options.stored_is_enough = true;
    API_ASSIGN(answer, Commit(resource, &write, options, std::move(answer)));
    *raced = answer.code == 0;
    answer.stored = nullptr;
    answer.object = SuccessStatus(resource, *stored);
    return answer;
  }
  Json object = stored->Tree().Copy();
  if (!stored->IsTerminating()) {
    if (query.propagation == "Orphan") AddFinalizer(&object, kOrphan);
    if (query.propagation == "Foreground") AddFinalizer(&object, kForeground);
    if (storage == kCrds) {
      AddFinalizer(&object, "customresourcecleanup.apiextensions.k8s.io");
    }
  }
  const int64_t grace = GraceOf(resource, object, query);
  const bool held = HasFinalizers(object) || storage == kNamespaces || grace > 0;
  const bool only_success = !held && !ReturnsDeleted(resource);
  options.stored_is_enough = only_success;
  if (held) {
    const int64_t before = GetInt(object["metadata"], "deletionGracePeriodSeconds");
    if (!IsTerminating(object) || grace < before) {
      MarkTerminating(resource, &object, grace, clock_->WallNow());
    }
    const JsonRef present = stored->Tree();
    if (object == *present) {  // already on its way
      answer.object = std::move(object);
      if (query.dry_run) return answer;
      API_ASSIGN(answer, Unchanged(resource, write.key, stored, query.deferred, std::move(answer)));
      *raced = answer.code == 0;
      return answer;
    }
    write.object = DraftObject(std::move(object));
  }
  API_ASSIGN(answer, Commit(resource, &write, options, std::move(answer)));
  if (answer.code == 0) {
    *raced = true;
    return answer;
  }
  if (only_success) {
    answer.stored = nullptr;
    answer.object = SuccessStatus(resource, *stored);
  }
  return answer;
}

ApiResult<Answer> Api::DeleteCollection(const ResourceInfo& resource, const std::string& ns,
                                        const ListQuery& list, const DeleteQuery& query) {
  API_ASSIGN(const ListAnswer listed, List(resource, ns, list));
  Answer answer;
  Json items = Json::array();
  for (const ObjectPtr& object : listed.objects) {
    DeleteQuery one = query;
    one.deferred = false;
    one.uid = object->Uid();
    ApiResult<Answer> deleted = Delete(resource, object->Namespace(), object->Name(), one);
    // Gone already, or another object of that name by now: not ours to delete.
    if (!deleted.ok() && deleted.error().code != 404 && deleted.error().code != 409) {
      return deleted;
    }
    items.push_back(object->Tree().Copy());
  }
  answer.object = {{"kind", resource.list_kind},
                   {"apiVersion", resource.ApiVersion()},
                   {"metadata", {{"resourceVersion", std::to_string(listed.revision)}}},
                   {"items", std::move(items)}};
  return answer;
}

}  // namespace envicutor::standalone
