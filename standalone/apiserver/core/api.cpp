#include "standalone/apiserver/core/api.h"

#include "common/base/log.h"
#include "standalone/apiserver/core/builtin.h"

namespace envicutor::standalone {

Api::Api(Store* store, const Clock* clock, IdSource* ids)
    : store_(store), clock_(clock), ids_(ids), registry_(Registry::Builtin()) {}

Status Api::Start(const std::vector<std::string>& namespaces) {
  store_->SetPublishListener([this](const auto& changes) { OnPublished(changes); });
  ENVICUTOR_RETURN_IF_ERROR(store_->Load());
  {
    const std::lock_guard lock(registry_mutex_);
    for (const ObjectPtr& crd : store_->List(std::string(kCrds), "").objects) {
      CompileCrdObject(crd->json);
    }
    registry_ = Registry::With(crds_);
  }
  const ResourcePtr resource = registry()->Find("", "v1", "namespaces");
  std::vector<std::string> wanted = {"default", "kube-system", "kube-public", "kube-node-lease"};
  wanted.insert(wanted.end(), namespaces.begin(), namespaces.end());
  for (const std::string& name : wanted) {
    if (store_->GetHead(std::string(kNamespaces), name) != nullptr) continue;
    const ApiResult<Answer> made = Create(*resource, "", {{"metadata", {{"name", name}}}}, {});
    if (!made.ok()) return Internal("namespace " + name + ": " + made.error().message);
  }
  return OkStatus();
}

std::shared_ptr<const Registry> Api::registry() const {
  const std::lock_guard lock(registry_mutex_);
  return registry_;
}

void Api::CompileCrdObject(const Json& crd) {
  std::vector<schema::FieldError> errors;
  bool established = false;
  for (const Json& condition : At(crd, {"status", "conditions"})) {
    established = established || (GetString(condition, "type") == "Established" &&
                                  GetString(condition, "status") == "True");
  }
  auto compiled = established ? schema::CompileCrd(crd, &errors) : nullptr;
  if (compiled == nullptr) {
    crds_.erase(NameOf(crd));
    if (!errors.empty()) {
      log::Error("a stored CustomResourceDefinition does not compile; its kind is not served",
                 {{"name", NameOf(crd)}, {"error", schema::FormatFieldError(errors[0])}});
    }
    return;
  }
  crds_[NameOf(crd)] = std::move(compiled);
}

void Api::OnPublished(const std::vector<std::pair<std::string, Change>>& changes) {
  bool changed = false;
  for (const auto& [resource, change] : changes) {
    if (resource != kCrds) continue;
    const std::lock_guard lock(registry_mutex_);
    if (change.type == ChangeType::kDeleted) {
      crds_.erase(NameOf(change.object->json));
    } else {
      if (change.previous != nullptr &&
          At(change.previous->json, {"spec"}) == At(change.object->json, {"spec"})) {
        continue;
      }
      CompileCrdObject(change.object->json);
    }
    changed = true;
  }
  if (changed) {
    const std::lock_guard lock(registry_mutex_);
    registry_ = Registry::With(crds_);
    registry_generation_.fetch_add(1);
  }
  if (on_change_) on_change_();
}

std::string Api::CrdNamesTaken(const Json& crd) const {
  const std::string group = GetString(At(crd, {"spec"}), "group");
  const Json& names = At(crd, {"spec", "names"});
  for (const ResourcePtr& other : registry()->all()) {
    if (other->group != group) continue;
    if (other->crd != nullptr && other->crd->name == NameOf(crd)) continue;
    if (other->plural == GetString(names, "plural")) {
      return "\"" + other->plural + "\" is already in use";
    }
    if (other->kind == GetString(names, "kind")) {
      return "\"" + other->kind + "\" is already in use";
    }
  }
  return "";
}

const Json& Api::Shown(const ResourceInfo& resource, const Object& object, Json* scratch) {
  if (GetString(object.json, "apiVersion") == resource.ApiVersion()) return object.json;
  *scratch = object.json;
  (*scratch)["apiVersion"] = resource.ApiVersion();
  return *scratch;
}

ApiResult<Answer> Api::Commit(const ResourceInfo& resource, StoreWrite write,
                              const WriteOptions& options, Answer answer) {
  if (options.dry_run) {
    if (write.object) {
      answer.object = std::move(*write.object);
    } else {
      answer.object = write.expected->json;
    }
    answer.object["apiVersion"] = resource.ApiVersion();
    return answer;
  }
  const WriteOutcome outcome = store_->Write(std::move(write));
  switch (outcome.kind) {
    case WriteOutcome::Kind::kConflict:
      answer.code = 0;  // the caller tries again
      return answer;
    case WriteOutcome::Kind::kFailed:
      return InternalError("storage: " + outcome.status.message());
    case WriteOutcome::Kind::kDone:
      break;
  }
  if (options.stored_is_enough &&
      GetString(outcome.object->json, "apiVersion") == resource.ApiVersion()) {
    answer.stored = outcome.object;
    return answer;
  }
  Json scratch;
  answer.object = Shown(resource, *outcome.object, &scratch);
  return answer;
}

}  // namespace envicutor::standalone
