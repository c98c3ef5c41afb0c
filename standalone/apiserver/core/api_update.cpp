// update, patch: one path for both, main resource and subresources.
#include "standalone/apiserver/core/api.h"
#include "standalone/apiserver/core/apply/ownership.h"
#include "standalone/apiserver/core/builtin.h"
#include "standalone/apiserver/core/metadata.h"
#include "standalone/apiserver/core/object.h"
#include "standalone/apiserver/core/patch.h"

namespace envicutor::standalone {
namespace {

// name, namespace, uid and resourceVersion of the new object against the current one.
std::optional<ApiError> CheckIdentity(const ResourceInfo& resource, const Json& current,
                                      Json* object) {
  if (!object->is_object()) return BadRequestError("the object provided is not a JSON object");
  const std::string api_version = GetString(*object, "apiVersion", resource.ApiVersion());
  if (api_version != resource.ApiVersion()) {
    return BadRequestError("the API version in the data (" + api_version +
                           ") does not match the expected API version (" + resource.ApiVersion() +
                           ")");
  }
  const std::string kind = GetString(*object, "kind", resource.kind);
  if (kind != resource.kind) {
    return BadRequestError("the kind in the data (" + kind +
                           ") does not match the expected kind (" + resource.kind + ")");
  }
  if (auto error = CheckMetadataTypes(object, resource)) return error;
  const Json& metadata = (*object)["metadata"];
  const std::string name = NameOf(current);
  if (const std::string own = GetString(metadata, "name", name); own != name) {
    return BadRequestError("the name of the object (" + own +
                           ") does not match the name on the URL (" + name + ")");
  }
  if (const std::string own = GetString(metadata, "namespace");
      resource.namespaced && !own.empty() && own != NamespaceOf(current)) {
    return BadRequestError("the namespace of the object (" + own +
                           ") does not match the namespace on the URL (" + NamespaceOf(current) +
                           ")");
  }
  const std::string uid = GetString(metadata, "uid");
  if (!uid.empty() && uid != MetaString(current, "uid")) {
    return ConflictError(resource.Target(name),
                         "Precondition failed: UID in precondition: " + uid +
                             ", UID in object meta: " + MetaString(current, "uid"));
  }
  const std::string version = GetString(metadata, "resourceVersion");
  if (!version.empty() && version != "0" && version != MetaString(current, "resourceVersion")) {
    return ModifiedError(resource.Target(name));
  }
  return std::nullopt;
}

// A patched object is mostly a copy of the current one: to look is cheaper than to copy again.
void Keep(const Json& current, const std::string& member, Json* object) {
  const auto old = current.find(member);
  if (old == current.end()) {
    object->erase(member);
    return;
  }
  const auto own = object->find(member);
  if (own == object->end()) {
    (*object)[member] = *old;
  } else if (!Identical(*own, *old)) {
    *own = *old;
  }
}

// What clients do not change: identity and deletion. managedFields are kept too; who owns what
// after this write is tracked when the object is complete.
void KeepSystemMetadata(const ResourceInfo& resource, const Json& current, Json* object) {
  (*object)["apiVersion"] = resource.ApiVersion();
  (*object)["kind"] = resource.kind;
  Json& metadata = (*object)["metadata"];
  const Json& old = At(current, {"metadata"});
  for (const char* member :
       {"name", "namespace", "generateName", "uid", "creationTimestamp", "generation",
        "deletionTimestamp", "deletionGracePeriodSeconds", "resourceVersion", "managedFields"}) {
    Keep(old, member, &metadata);
  }
  metadata.erase("selfLink");
}

// Lets the parts through that the subresource may write; the others stay. What comes back is the
// metadata that was sent with the status of a custom resource, where that differs: it is not
// written, but kube-apiserver takes what it says for who owns it.
std::optional<Json> Isolate(const ResourceInfo& resource, const std::string& subresource,
                            const Json& current, Json* object) {
  if (subresource.empty()) {
    if (resource.has_status) Keep(current, "status", object);
    return std::nullopt;
  }
  const std::string_view written = subresource == "finalize" ? "spec" : "status";
  std::vector<std::string> others;
  for (const Json* members : {&current, static_cast<const Json*>(object)}) {
    for (auto it = members->begin(); it != members->end(); ++it) {
      if (it.key() != written) others.emplace_back(it.key());
    }
  }
  std::optional<Json> sent;
  for (const std::string& member : others) {
    if (member == "metadata" && resource.crd != nullptr) {
      Json& own = (*object)["metadata"];
      const Json& old = At(current, {"metadata"});
      if (!Identical(own, old)) sent = std::exchange(own, old);
      continue;
    }
    Keep(current, member, object);
  }
  return sent;
}

// metadata.managedFields of an object that gets others.
Json KeptOf(Json* object) {
  Json& metadata = (*object)["metadata"];
  const auto kept = metadata.find("managedFields");
  return kept == metadata.end() ? Json() : std::move(*kept);
}

// managedFields after the write that makes `object` of `current`, with `sent` of Isolate.
Json TrackChange(const ResourceInfo& resource, const Json& current, Json* object,
                 std::optional<Json> sent, const Json& asked, const Writer& writer) {
  Json kept = KeptOf(object);
  if (!sent) return TrackWrite(resource, &current, *object, std::move(kept), asked, writer);
  sent->erase("managedFields");
  std::swap((*object)["metadata"], *sent);
  Json managed = TrackWrite(resource, &current, *object, std::move(kept), asked, writer);
  std::swap((*object)["metadata"], *sent);
  return managed;
}

// Whether the desired state is the same: everything but metadata and, where it has its own
// subresource, status.
bool SameDesiredState(const ResourceInfo& resource, const Json& a, const Json& b) {
  return resource.has_status ? SameBut({"metadata", "status"}, a, b) : SameBut({"metadata"}, a, b);
}

}  // namespace

bool ReadyToRemove(const ResourceInfo& resource, const Json& object) {
  if (!IsTerminating(object) || HasFinalizers(object)) return false;
  if (resource.StorageName() == kNamespaces) return At(object, {"spec", "finalizers"}).empty();
  return GetInt(At(object, {"metadata"}), "deletionGracePeriodSeconds") == 0;
}

ApiResult<Answer> Api::Modify(const ResourceInfo& resource, const std::string& ns,
                              const std::string& name, const std::string& subresource,
                              const Mutation& mutation, const WriteOptions& options) {
  const std::string key = KeyOf(ns, name);
  const std::unique_lock<std::mutex> names = DefinitionsTurn(resource);
  for (int tries = 0; tries < kMaxTries; ++tries) {
    ObjectPtr seen;
    ApiResult<Answer> answer =
        ModifyOnce(resource, key, name, subresource, mutation, options, &seen);
    if (answer.ok()) {
      if (answer->code != 0) return answer;
      continue;
    }
    ApiError error = answer.error();
    if (Stands(resource.StorageName(), key, seen, options.deferred, &error)) return error;
  }
  return ModifiedError(resource.Target(name));
}

ApiResult<Answer> Api::ModifyOnce(const ResourceInfo& resource, const std::string& key,
                                  const std::string& name, const std::string& subresource,
                                  const Mutation& mutation, const WriteOptions& options,
                                  ObjectPtr* seen) {
  *seen = store_->GetHead(resource.StorageName(), key);
  const ObjectPtr& stored = *seen;
  if (stored == nullptr) return NotFoundError(resource.Target(name));
  const JsonRef shown = Shown(resource, *stored);
  const Json& current = *shown;
  API_ASSIGN(Json object, mutation(current));
  if (auto error = CheckIdentity(resource, current, &object)) return *error;
  Json asked = object["metadata"].value("managedFields", Json());
  KeepSystemMetadata(resource, current, &object);
  Answer answer;
  // Fields first: what is dropped by isolation is still reported.
  if (auto error = AdmitFields(resource, &object, options, &answer.warnings)) return *error;
  WriteOptions quiet = options;
  quiet.field_validation = FieldValidation::kIgnore;
  std::optional<Json> sent = Isolate(resource, subresource, current, &object);
  if (auto error = Admit(resource, &current, subresource, &object, quiet, &answer.warnings)) {
    return *error;
  }
  if (At(object, {"metadata", "generation"}).is_number() &&
      !SameDesiredState(resource, object, current)) {
    object["metadata"]["generation"] = GetInt(object["metadata"], "generation") + 1;
  }
  const Json& present = At(current, {"metadata", "managedFields"});
  const bool same = Identical(object, current);
  Json managed = options.owned ? std::move(asked)
                 : same && !sent && (!subresource.empty() || asked.is_null() || asked == present)
                     ? present
                     : TrackChange(resource, current, &object, std::move(sent), asked,
                                   {options.manager, subresource, clock_->WallNow()});
  if (same && SameButTimes(managed, present)) {  // nothing changes: no write
    if (!present.is_null()) object["metadata"]["managedFields"] = present;
    answer.object = std::move(object);
    if (options.dry_run) return answer;
    API_ASSIGN(answer, Unchanged(resource, key, stored, options.deferred, std::move(answer)));
    return answer;
  }
  if (managed.is_null()) {
    object["metadata"].erase("managedFields");
  } else {
    object["metadata"]["managedFields"] = std::move(managed);
  }
  StoreWrite write;
  write.resource = resource.StorageName();
  write.key = key;
  write.expected = stored;
  if (ReadyToRemove(resource, object)) {
    // The last finalizer is gone: the deletion that waited for it happens now. The final state
    // that watchers see is the one before; the one who took it away sees what it made.
    WriteOptions version_only = options;
    version_only.stored_is_enough = true;
    API_ASSIGN(answer, Commit(resource, &write, version_only, std::move(answer)));
    const std::string revision = answer.stored != nullptr
                                     ? std::to_string(answer.stored->revision)
                                     : MetaString(answer.object, "resourceVersion");
    answer.stored = nullptr;
    answer.object = std::move(object);
    answer.object["metadata"]["resourceVersion"] = revision;
  } else {
    write.object = DraftObject(std::move(object));
    API_ASSIGN(answer, Commit(resource, &write, options, std::move(answer)));
  }
  return answer;
}

ApiResult<Answer> Api::Update(const ResourceInfo& resource, const std::string& ns,
                              const std::string& name, const std::string& subresource,
                              const Json& object, const WriteOptions& options) {
  if (resource.crd != nullptr && MetaString(object, "resourceVersion").empty()) {
    // As kube-apiserver: custom resources have no unconditional update.
    if (const std::string own = MetaString(object, "name"); !own.empty() && own != name) {
      return BadRequestError("the name of the object (" + own +
                             ") does not match the name on the URL (" + name + ")");
    }
    const auto judge = [&](const ObjectPtr& present) -> std::optional<ApiError> {
      if (present == nullptr) return NotFoundError(resource.Target(name));
      return InvalidError(resource.Target(name),
                          {schema::InvalidError("metadata.resourceVersion", "0",
                                                "must be specified for an update")});
    };
    return Agreed(resource.StorageName(), KeyOf(ns, name), options.deferred, judge).error();
  }
  return Modify(
      resource, ns, name, subresource, [&object](const Json&) -> ApiResult<Json> { return object; },
      options);
}

ApiResult<Answer> Api::Patch(const ResourceInfo& resource, const std::string& ns,
                             const std::string& name, const std::string& subresource,
                             PatchKind kind, const Json& patch, const WriteOptions& options) {
  if (kind == PatchKind::kStrategicMerge && resource.crd != nullptr) {
    return UnsupportedMediaTypeError(
        "the body of the request was in an unknown format - accepted media types include: "
        "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml");
  }
  return Modify(
      resource, ns, name, subresource,
      [&](const Json& current) -> ApiResult<Json> {
        switch (kind) {
          case PatchKind::kJson:
            return ApplyJsonPatch(current, patch);
          case PatchKind::kStrategicMerge:
            return ApplyStrategicMergePatch(current, patch);
          case PatchKind::kMerge:
            break;
        }
        if (!patch.is_object()) return BadRequestError("a merge patch must be an object");
        Json result = current;
        ApplyMergePatch(&result, patch);
        return result;
      },
      options);
}

}  // namespace envicutor::standalone
