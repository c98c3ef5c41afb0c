#include "standalone/apiserver/core/controllers.h"

#include "standalone/apiserver/core/object.h"
#include "standalone/apiserver/core/quota.h"

namespace envicutor::standalone {
namespace {

constexpr const char* kOrphan = "orphan";
constexpr const char* kForeground = "foregroundDeletion";
constexpr size_t kMaxChanges = 1000;

}  // namespace

bool Controllers::Step() {
  ReadChanges();
  bool wrote = false;
  for (const std::string& ns : std::exchange(new_namespaces_, {})) {
    wrote = EnsureServiceAccount(ns) || wrote;
  }
  for (const Ref& ref : std::exchange(dirty_, {})) wrote = CollectGarbage(ref) || wrote;
  // These stay listed until they are gone: their dependents may take time.
  for (const Ref& ref : std::set<Ref>(terminating_)) wrote = FinishOwner(ref) || wrote;
  for (const std::string& ns : std::set<std::string>(namespaces_)) {
    wrote = EmptyNamespace(ns) || wrote;
  }
  for (const std::string& crd : std::set<std::string>(crds_)) wrote = EmptyCrd(crd) || wrote;
  for (const std::string& ns : std::exchange(counted_, {})) wrote = RefreshQuotas(ns) || wrote;
  return ExpireEvents() || wrote;
}

ResourcePtr Controllers::ResourceOf(const std::string& storage_name) const {
  const auto it = resources_.find(storage_name);
  return it == resources_.end() ? nullptr : it->second;
}

void Controllers::ReadChanges() {
  const uint64_t generation = api_->registry_generation();
  if (generation != registry_generation_) {
    registry_generation_ = generation;
    resources_.clear();
    for (const ResourcePtr& resource : api_->registry()->StorageResources()) {
      resources_[resource->StorageName()] = resource;
    }
  }
  for (const auto& [name, resource] : resources_) {
    const auto cursor = cursors_.find(name);
    bool relist = cursor == cursors_.end();
    while (!relist) {
      const ChangeBatch batch = api_->store().ChangesSince(name, cursor->second, kMaxChanges);
      relist = batch.expired;
      if (relist) break;
      for (const Change& change : batch.changes) Absorb(name, change);
      cursor->second = batch.up_to;
      if (batch.changes.size() < kMaxChanges) break;
    }
    if (!relist) continue;
    // First sight or too far behind: everything is new, and everything indexed may be gone.
    const ListSnapshot snapshot = api_->store().List(name, "");
    std::set<std::string> live;
    for (const ObjectPtr& object : snapshot.objects) {
      const std::string key = KeyOf(NamespaceOf(object->json), NameOf(object->json));
      live.insert(key);
      Absorb(name, {object->revision, ChangeType::kAdded, key, object, nullptr});
    }
    for (const auto& [uid, refs] : dependents_) {
      for (const Ref& ref : refs) dirty_.insert(ref);
    }
    cursors_[name] = snapshot.revision;
  }
}

void Controllers::Index(const std::string& resource, const std::string& key, const Json* object) {
  const Ref ref(resource, key);
  const auto old = owners_.find(ref);
  if (old != owners_.end()) {
    for (const std::string& uid : old->second) {
      const auto refs = dependents_.find(uid);
      if (refs == dependents_.end()) continue;
      refs->second.erase(ref);
      if (refs->second.empty()) dependents_.erase(refs);
    }
    owners_.erase(old);
  }
  if (object == nullptr) return;
  for (const Json& owner : At(*object, {"metadata", "ownerReferences"})) {
    const std::string uid = GetString(owner, "uid");
    if (uid.empty()) continue;
    owners_[ref].insert(uid);
    dependents_[uid].insert(ref);
  }
  if (owners_.contains(ref)) dirty_.insert(ref);
}

void Controllers::Absorb(const std::string& resource, const Change& change) {
  const Ref ref(resource, change.key);
  const Json& object = change.object->json;
  if (change.type != ChangeType::kModified || resource == kQuotas) {
    if (const std::string ns = NamespaceOf(object); !ns.empty()) counted_.insert(ns);
  }
  if (change.type == ChangeType::kDeleted) {
    Index(resource, change.key, nullptr);
    terminating_.erase(ref);
    dirty_.erase(ref);
    const auto refs = dependents_.find(MetaString(object, "uid"));
    if (refs != dependents_.end()) dirty_.insert(refs->second.begin(), refs->second.end());
    if (resource == kNamespaces) namespaces_.erase(change.key);
    if (resource == kCrds) crds_.erase(change.key);
    return;
  }
  Index(resource, change.key, &object);
  const bool terminating = IsTerminating(object);
  if (terminating && (HasFinalizer(object, kOrphan) || HasFinalizer(object, kForeground))) {
    terminating_.insert(ref);
  }
  if (resource == kNamespaces) {
    if (terminating) {
      namespaces_.insert(change.key);
    } else if (change.type == ChangeType::kAdded) {
      new_namespaces_.insert(change.key);
    }
  }
  if (resource == kCrds && terminating) crds_.insert(change.key);
}

ObjectPtr Controllers::OwnerOf(const std::string& ns, const Json& reference) const {
  const ResourcePtr resource =
      api_->registry()->FindKind(GetString(reference, "apiVersion"), GetString(reference, "kind"));
  if (resource == nullptr) return nullptr;
  ObjectPtr owner = api_->store().GetHead(
      resource->StorageName(), KeyOf(resource->namespaced ? ns : "", GetString(reference, "name")));
  if (owner != nullptr && MetaString(owner->json, "uid") != GetString(reference, "uid")) {
    return nullptr;
  }
  return owner;
}

bool Controllers::CollectGarbage(const Ref& ref) {
  const ResourcePtr resource = ResourceOf(ref.first);
  const ObjectPtr object = api_->store().GetHead(ref.first, ref.second);
  if (resource == nullptr || object == nullptr || IsTerminating(object->json)) return false;
  const std::string ns = NamespaceOf(object->json);
  size_t solid = 0;
  std::set<std::string> dangling;
  bool waiting_owner = false;
  for (const Json& reference : At(object->json, {"metadata", "ownerReferences"})) {
    const ResourcePtr kind = api_->registry()->FindKind(GetString(reference, "apiVersion"),
                                                        GetString(reference, "kind"));
    if (kind == nullptr) {  // a kind that is not served cannot be looked up: leave the object alone
      ++solid;
      continue;
    }
    const ObjectPtr owner = OwnerOf(ns, reference);
    if (owner == nullptr) {
      dangling.insert(GetString(reference, "uid"));
    } else if (IsTerminating(owner->json) && HasFinalizer(owner->json, kForeground)) {
      waiting_owner = true;
    } else {
      ++solid;
    }
  }
  if (solid == 0 && (waiting_owner || !dangling.empty())) {
    DeleteQuery query;
    query.uid = MetaString(object->json, "uid");
    query.propagation = waiting_owner ? "Foreground" : "Background";
    return api_->Delete(*resource, ns, NameOf(object->json), query).ok();
  }
  bool wrote = false;
  for (const std::string& uid : dangling) wrote = DropOwner(ref, uid) || wrote;
  return wrote;
}

bool Controllers::FinishOwner(const Ref& ref) {
  const ObjectPtr object = api_->store().GetHead(ref.first, ref.second);
  if (object == nullptr || !IsTerminating(object->json)) {
    terminating_.erase(ref);
    return false;
  }
  const std::string uid = MetaString(object->json, "uid");
  const auto found = dependents_.find(uid);
  const std::set<Ref> refs = found == dependents_.end() ? std::set<Ref>() : found->second;
  if (HasFinalizer(object->json, kOrphan)) {
    for (const Ref& dependent : refs) DropOwner(dependent, uid);
    return DropFinalizer(ref, kOrphan);
  }
  if (!HasFinalizer(object->json, kForeground)) {
    terminating_.erase(ref);
    return false;
  }
  bool wrote = false;
  bool blocked = false;
  for (const Ref& dependent : refs) {
    const ObjectPtr child = api_->store().GetHead(dependent.first, dependent.second);
    if (child == nullptr) continue;
    wrote = CollectGarbage(dependent) || wrote;
    for (const Json& reference : At(child->json, {"metadata", "ownerReferences"})) {
      blocked = blocked ||
                (GetString(reference, "uid") == uid && GetBool(reference, "blockOwnerDeletion") &&
                 api_->store().GetHead(dependent.first, dependent.second) != nullptr);
    }
  }
  if (!blocked) wrote = DropFinalizer(ref, kForeground) || wrote;
  return wrote;
}

bool Controllers::DropFinalizer(const Ref& ref, const std::string& finalizer) {
  const ResourcePtr resource = ResourceOf(ref.first);
  const ObjectPtr object = api_->store().GetHead(ref.first, ref.second);
  if (resource == nullptr || object == nullptr || !HasFinalizer(object->json, finalizer)) {
    return false;
  }
  return api_
      ->Modify(*resource, NamespaceOf(object->json), NameOf(object->json), "",
               [&](const Json& current) -> ApiResult<Json> {
                 Json changed = current;
                 RemoveFinalizer(&changed, finalizer);
                 return changed;
               },
               {})
      .ok();
}

bool Controllers::DropOwner(const Ref& ref, const std::string& owner_uid) {
  const ResourcePtr resource = ResourceOf(ref.first);
  const ObjectPtr object = api_->store().GetHead(ref.first, ref.second);
  if (resource == nullptr || object == nullptr) return false;
  return api_
      ->Modify(*resource, NamespaceOf(object->json), NameOf(object->json), "",
               [&](const Json& current) -> ApiResult<Json> {
                 Json changed = current;
                 Json kept = Json::array();
                 for (const Json& reference : At(current, {"metadata", "ownerReferences"})) {
                   if (GetString(reference, "uid") != owner_uid) kept.push_back(reference);
                 }
                 if (kept.empty()) {
                   changed["metadata"].erase("ownerReferences");
                 } else {
                   changed["metadata"]["ownerReferences"] = std::move(kept);
                 }
                 return changed;
               },
               {})
      .ok();
}

}  // namespace envicutor::standalone
