#include "standalone/apiserver/core/controllers.h"

#include "standalone/apiserver/core/builtin.h"
#include "standalone/apiserver/core/object.h"
#include "standalone/apiserver/core/quota.h"

namespace envicutor::standalone {
namespace {

constexpr const char* kOrphan = "orphan";
constexpr const char* kForeground = "foregroundDeletion";
constexpr size_t kMaxChanges = 1000;

bool Holds(const Object& object, std::string_view finalizer) {
  if (!object.HasFinalizers()) return false;
  const JsonRef tree = object.Tree();
  return HasFinalizer(*tree, finalizer);
}

std::string GroupOf(const Object& crd) {
  const JsonRef tree = crd.Tree();
  return GetString(At(*tree, {"spec"}), "group");
}

bool WaitsForNames(const Object& crd) {
  const JsonRef tree = crd.Tree();
  return !NamesAccepted(*tree);
}

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
  for (const std::string& group : std::exchange(freed_names_, {})) {
    wrote = JudgeNames(group) || wrote;
  }
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
      const std::string key = KeyOf(object->Namespace(), object->Name());
      live.insert(key);
      Absorb(name, {object->revision, ChangeType::kAdded, key, object, nullptr});
    }
    for (const auto& [uid, refs] : dependents_) {
      for (const Ref& ref : refs) dirty_.insert(ref);
    }
    cursors_[name] = snapshot.revision;
  }
}

void Controllers::Index(const std::string& resource, const std::string& key, const Object* object) {
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
  if (object == nullptr || !object->HasOwners()) return;
  const JsonRef tree = object->Tree();
  for (const Json& owner : At(*tree, {"metadata", "ownerReferences"})) {
    const std::string uid = GetString(owner, "uid");
    if (uid.empty()) continue;
    owners_[ref].insert(uid);
    dependents_[uid].insert(ref);
  }
  if (owners_.contains(ref)) dirty_.insert(ref);
}

void Controllers::Absorb(const std::string& resource, const Change& change) {
  const Ref ref(resource, change.key);
  const Object& object = *change.object;
  if (change.type != ChangeType::kModified || resource == kQuotas) {
    if (const std::string ns = object.Namespace(); !ns.empty()) counted_.insert(ns);
  }
  if (change.type == ChangeType::kDeleted) {
    Index(resource, change.key, nullptr);
    terminating_.erase(ref);
    dirty_.erase(ref);
    const auto refs = dependents_.find(std::string(object.Uid()));
    if (refs != dependents_.end()) dirty_.insert(refs->second.begin(), refs->second.end());
    if (resource == kNamespaces) namespaces_.erase(change.key);
    if (resource == kCrds) {
      crds_.erase(change.key);
      freed_names_.insert(GroupOf(object));
    }
    return;
  }
  Index(resource, change.key, &object);
  const bool terminating = object.IsTerminating();
  if (terminating && (Holds(object, kOrphan) || Holds(object, kForeground))) {
    terminating_.insert(ref);
  }
  if (resource == kNamespaces) {
    if (terminating) {
      namespaces_.insert(change.key);
    } else if (change.type == ChangeType::kAdded) {
      new_namespaces_.insert(change.key);
    }
  }
  if (resource == kCrds) {
    if (terminating) crds_.insert(change.key);
    // After a start, too: the other may have gone just before the end.
    if (change.type == ChangeType::kAdded && WaitsForNames(object)) {
      freed_names_.insert(GroupOf(object));
    }
  }
}

ObjectPtr Controllers::OwnerOf(const std::string& ns, const Json& reference) const {
  const ResourcePtr resource =
      api_->registry()->FindKind(GetString(reference, "apiVersion"), GetString(reference, "kind"));
  if (resource == nullptr) return nullptr;
  ObjectPtr owner = api_->store().GetHead(
      resource->StorageName(), KeyOf(resource->namespaced ? ns : "", GetString(reference, "name")));
  if (owner != nullptr && owner->Uid() != GetString(reference, "uid")) return nullptr;
  return owner;
}

bool Controllers::CollectGarbage(const Ref& ref) {
  const ResourcePtr resource = ResourceOf(ref.first);
  const ObjectPtr object = api_->store().GetHead(ref.first, ref.second);
  if (resource == nullptr || object == nullptr || object->IsTerminating()) return false;
  const std::string ns = object->Namespace();
  const JsonRef tree = object->Tree();
  size_t solid = 0;
  std::set<std::string> dangling;
  bool waiting_owner = false;
  for (const Json& reference : At(*tree, {"metadata", "ownerReferences"})) {
    const ResourcePtr kind = api_->registry()->FindKind(GetString(reference, "apiVersion"),
                                                        GetString(reference, "kind"));
    if (kind == nullptr) {  // a kind that is not served cannot be looked up: leave the object alone
      ++solid;
      continue;
    }
    const ObjectPtr owner = OwnerOf(ns, reference);
    if (owner == nullptr) {
      dangling.insert(GetString(reference, "uid"));
    } else if (owner->IsTerminating() && Holds(*owner, kForeground)) {
      waiting_owner = true;
    } else {
      ++solid;
    }
  }
  if (solid == 0 && (waiting_owner || !dangling.empty())) {
    DeleteQuery query;
    query.uid = object->Uid();
    query.propagation = waiting_owner ? "Foreground" : "Background";
    return api_->Delete(*resource, ns, object->Name(), query).ok();
  }
  bool wrote = false;
  for (const std::string& uid : dangling) wrote = DropOwner(ref, uid) || wrote;
  return wrote;
}

bool Controllers::FinishOwner(const Ref& ref) {
  const ObjectPtr object = api_->store().GetHead(ref.first, ref.second);
  if (object == nullptr || !object->IsTerminating()) {
    terminating_.erase(ref);
    return false;
  }
  const std::string uid(object->Uid());
  const auto found = dependents_.find(uid);
  const std::set<Ref> refs = found == dependents_.end() ? std::set<Ref>() : found->second;
  if (Holds(*object, kOrphan)) {
    for (const Ref& dependent : refs) DropOwner(dependent, uid);
    return DropFinalizer(ref, kOrphan);
  }
  if (!Holds(*object, kForeground)) {
    terminating_.erase(ref);
    return false;
  }
  bool wrote = false;
  bool blocked = false;
  for (const Ref& dependent : refs) {
    const ObjectPtr child = api_->store().GetHead(dependent.first, dependent.second);
    if (child == nullptr) continue;
    wrote = CollectGarbage(dependent) || wrote;
    const JsonRef held = child->Tree();
    for (const Json& reference : At(*held, {"metadata", "ownerReferences"})) {
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
  if (resource == nullptr || object == nullptr || !Holds(*object, finalizer)) return false;
  return api_
      ->Modify(*resource, object->Namespace(), object->Name(), "",
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
      ->Modify(*resource, object->Namespace(), object->Name(), "",
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
