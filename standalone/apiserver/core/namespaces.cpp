// The controllers that empty what is going away: namespaces and CRDs; the default ServiceAccount;
// what quotas have used.
#include "standalone/apiserver/core/builtin.h"
#include "standalone/apiserver/core/controllers.h"
#include "standalone/apiserver/core/object.h"
#include "standalone/apiserver/core/quota.h"

namespace envicutor::standalone {
namespace {

constexpr const char* kCrdCleanup = "customresourcecleanup.apiextensions.k8s.io";

constexpr std::chrono::hours kEventLifetime{1};  // kube-apiserver's --event-ttl
constexpr std::chrono::minutes kExpiryPeriod{1};

// Asks for the deletion of every object of `resource` below `ns` that is not on its way yet.
bool DeleteAll(Api* api, const ResourceInfo& resource, const std::string& ns) {
  bool wrote = false;
  const std::string prefix = ns.empty() ? "" : ns + "/";
  for (const ObjectPtr& object : api->store().List(resource.StorageName(), prefix).objects) {
    if (object->IsTerminating()) continue;
    DeleteQuery query;
    query.uid = object->Uid();
    wrote = api->Delete(resource, object->Namespace(), object->Name(), query).ok() || wrote;
  }
  return wrote;
}

// The kind of a definition that serves no version of it (any more): enough to delete its objects
// by.
ResourcePtr UnservedKind(const Json& crd) {
  const Json& spec = At(crd, {"spec"});
  auto kind = std::make_shared<ResourceInfo>();
  kind->group = GetString(spec, "group");
  kind->plural = GetString(At(spec, {"names"}), "plural");
  kind->kind = GetString(At(spec, {"names"}), "kind");
  kind->namespaced = GetString(spec, "scope") == "Namespaced";
  for (const Json& version : At(spec, {"versions"})) {
    if (GetBool(version, "storage")) kind->version = GetString(version, "name");
  }
  return kind;
}

}  // namespace

bool Controllers::EmptyNamespace(const std::string& name) {
  const ObjectPtr object = api_->store().GetHead(std::string(kNamespaces), name);
  if (object == nullptr || !object->IsTerminating()) {
    namespaces_.erase(name);
    return false;
  }
  bool wrote = false;
  bool empty = true;
  for (const auto& [storage, resource] : resources_) {
    if (!resource->namespaced) continue;
    wrote = DeleteAll(api_, *resource, name) || wrote;
    empty = empty && !api_->store().AnyHead(storage, name + "/");
  }
  // Nothing can be created in it any more, so empty is for good.
  const JsonRef tree = object->Tree();
  if (!empty || At(*tree, {"spec", "finalizers"}).empty()) return wrote;
  const ResourcePtr resource = ResourceOf(std::string(kNamespaces));
  const auto finalize = [](const Json& current) -> ApiResult<Json> {
    Json changed = current;
    changed["spec"]["finalizers"] = Json::array();
    return changed;
  };
  return api_->Modify(*resource, "", name, "finalize", finalize, {}).ok() || wrote;
}

bool Controllers::EmptyCrd(const std::string& name) {
  const ObjectPtr object = api_->store().GetHead(std::string(kCrds), name);
  const JsonRef tree = object == nullptr ? JsonRef(nullptr) : object->Tree();
  if (object == nullptr || !object->IsTerminating() || !HasFinalizer(*tree, kCrdCleanup)) {
    crds_.erase(name);
    return false;
  }
  const ResourcePtr unserved = UnservedKind(*tree);
  const std::string storage = unserved->StorageName();
  const ResourcePtr served = ResourceOf(storage);
  bool wrote = false;
  // Objects of a built-in kind are not those of a definition that has its name.
  if (served == nullptr || served->crd != nullptr) {
    wrote = DeleteAll(api_, served == nullptr ? *unserved : *served, "");
    if (api_->store().AnyHead(storage, "")) return wrote;
  }
  return DropFinalizer({std::string(kCrds), name}, kCrdCleanup) || wrote;
}

bool Controllers::JudgeNames(const std::string& group) {
  const ResourcePtr resource = ResourceOf(std::string(kCrds));
  const auto same = [](const Json& current) -> ApiResult<Json> { return current; };
  bool wrote = false;
  for (const ObjectPtr& object : api_->store().List(std::string(kCrds), "").objects) {
    const JsonRef tree = object->Tree();
    if (GetString(At(*tree, {"spec"}), "group") != group || NamesAccepted(*tree)) continue;
    const ApiResult<Answer> judged = api_->Modify(*resource, "", object->Name(), "", same, {});
    if (!judged.ok()) {
      if (judged.error().code >= 500) freed_names_.insert(group);  // once the disk is there again
      continue;
    }
    const std::string version = MetaString(judged->object, "resourceVersion");
    wrote = version != std::to_string(object->revision) || wrote;
  }
  return wrote;
}

bool Controllers::ExpireEvents() {
  const SteadyTime now = api_->clock().Now();
  if (now < next_expiry_) return false;
  next_expiry_ = now + kExpiryPeriod;
  const ResourcePtr resource = ResourceOf("/events");
  bool wrote = false;
  for (const ObjectPtr& event : api_->store().List("/events", "").objects) {
    WallTime last{};
    const JsonRef tree = event->Tree();
    for (const std::string& stamp :
         {MetaString(*tree, "creationTimestamp"), GetString(*tree, "lastTimestamp"),
          GetString(*tree, "eventTime")}) {
      const Result<WallTime> time = ParseRfc3339(stamp);
      if (time.ok()) last = std::max(last, *time);
    }
    if (api_->clock().WallNow() - last < kEventLifetime) continue;
    DeleteQuery query;
    query.resource_version = std::to_string(event->revision);
    wrote = api_->Delete(*resource, event->Namespace(), event->Name(), query).ok() || wrote;
  }
  return wrote;
}

// status.used of the namespace's quotas, for people: a create counts for itself.
bool Controllers::RefreshQuotas(const std::string& ns) {
  const ResourcePtr resource = ResourceOf(std::string(kQuotas));
  if (resource == nullptr || !api_->store().AnyHead(std::string(kQuotas), ns + "/")) return false;
  const std::vector<ResourcePtr> kinds = api_->registry()->StorageResources();
  bool wrote = false;
  for (const ObjectPtr& quota : api_->store().List(std::string(kQuotas), ns + "/").objects) {
    const JsonRef tree = quota->Tree();
    Json status = QuotaStatus(api_->store(), kinds, *tree);
    if (At(*tree, {"status"}) == status) continue;
    const auto set = [&status](const Json& current) -> ApiResult<Json> {
      Json changed = current;
      changed["status"] = status;
      return changed;
    };
    wrote = api_->Modify(*resource, ns, quota->Name(), "status", set, {}).ok() || wrote;
  }
  return wrote;
}

bool Controllers::EnsureServiceAccount(const std::string& ns) {
  if (api_->store().GetHead("/serviceaccounts", KeyOf(ns, "default")) != nullptr) return false;
  const ResourcePtr resource = ResourceOf("/serviceaccounts");
  return api_->Create(*resource, ns, {{"metadata", {{"name", "default"}}}}, {}).ok();
}

}  // namespace envicutor::standalone
