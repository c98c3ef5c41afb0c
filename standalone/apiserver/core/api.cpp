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
      const JsonRef tree = crd->Tree();
      CompileCrdObject(*tree);
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
      crds_.erase(change.object->Name());
    } else {
      const JsonRef tree = change.object->Tree();
      if (change.previous != nullptr) {
        const JsonRef before = change.previous->Tree();
        if (At(*before, {"spec"}) == At(*tree, {"spec"}) &&
            At(*before, {"status", "conditions"}) == At(*tree, {"status", "conditions"})) {
          continue;  // conditions say whether it is established
        }
      }
      CompileCrdObject(*tree);
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

std::unique_lock<std::mutex> Api::DefinitionsTurn(const ResourceInfo& resource) {
  return resource.IsDefinitions() ? std::unique_lock(definitions_mutex_)
                                  : std::unique_lock<std::mutex>();
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

JsonRef Api::Shown(const ResourceInfo& resource, const Object& object) {
  JsonRef tree = object.Tree();
  if (object.ApiVersion() == resource.ApiVersion()) return tree;
  auto shown = std::make_shared<Json>(*tree);
  (*shown)["apiVersion"] = resource.ApiVersion();
  return JsonRef(std::move(shown));
}

namespace {

// The whole object, with the managedFields that the server adds.
constexpr size_t kMaxObjectBytes = 1536U << 10U;  // as etcd's request limit
// Clients read lists and events, which add two levels, with a bound of 128.
constexpr size_t kMaxObjectDepth = 120;
// What goes may grow by what its going takes: a time, an owner of fields, a status.
constexpr size_t kGoingBytes = 64U << 10U;
constexpr size_t kGoingDepth = 4;

std::optional<ApiError> CheckStorable(const StoreWrite& write) {
  if (!write.object) return std::nullopt;
  const bool going = write.object->body->outline.terminating;
  const size_t bytes = write.object->body->text.size();
  const size_t depth = write.object->depth;
  const Object* old = write.expected.get();
  const size_t old_bytes =
      old == nullptr ? 0 : old->TextBytes() - std::to_string(old->revision).size();
  // What was let in once may still get smaller, step by step, and begin to go.
  const size_t room = going && old != nullptr && !old->IsTerminating()
                          ? std::max(kMaxObjectBytes, old_bytes)
                          : kMaxObjectBytes;
  if (bytes > room + (going ? kGoingBytes : 0) && bytes > old_bytes) {
    return TooLargeError("limit is " + std::to_string(kMaxObjectBytes) + ", the object has " +
                         std::to_string(bytes) + " bytes with its managedFields");
  }
  if (depth > kMaxObjectDepth + (going ? kGoingDepth : 0) &&
      (old == nullptr || depth > DepthOf(old->Tree().Copy()))) {
    return BadRequestError("the object is nested " + std::to_string(depth) +
                           " levels deep with its managedFields, more than " +
                           std::to_string(kMaxObjectDepth));
  }
  return std::nullopt;
}

}  // namespace

ApiError StorageError(const Status& status) {
  return InternalError("storage: " + status.message());
}

bool Api::Stands(const std::string& storage, const std::string& key, const ObjectPtr& seen,
                 bool deferred, ApiError* error) const {
  if (error->code >= 500) return true;  // of no state
  std::shared_ptr<WriteTicket> ticket;
  if (!store_->Confirm(storage, key, seen, &ticket)) return false;
  TellWhenDurable(std::move(ticket), deferred, error);
  return true;
}

void Api::TellWhenDurable(std::shared_ptr<WriteTicket> ticket, bool deferred,
                          ApiError* error) const {
  if (deferred || ticket == nullptr) {
    error->ticket = std::move(ticket);
    return;
  }
  const WriteOutcome outcome = store_->Wait(ticket);
  if (outcome.kind == WriteOutcome::Kind::kFailed) *error = StorageError(outcome.status);
}

ApiResult<Answer> Api::Commit(const ResourceInfo& resource, StoreWrite* write,
                              const WriteOptions& options, Answer answer) {
  if (auto error = CheckStorable(*write)) return *error;
  if (options.dry_run) {
    if (write->object) {
      answer.object = std::move(*write->object->tree);
      // A draft has the place of a version, and not the version.
      Json& metadata = answer.object["metadata"];
      if (write->expected != nullptr) {
        metadata["resourceVersion"] = std::to_string(write->expected->revision);
      } else {
        metadata.erase("resourceVersion");
      }
    } else {
      answer.object = write->expected->Tree().Copy();
    }
    answer.object["apiVersion"] = resource.ApiVersion();
    return answer;
  }
  std::shared_ptr<WriteTicket> ticket = store_->Begin(write);
  if (ticket == nullptr) {
    answer.code = 0;  // the caller tries again
    return answer;
  }
  const ObjectPtr object = ticket->object();
  if (options.deferred && !resource.IsDefinitions()) {
    answer.ticket = std::move(ticket);
  } else {
    const WriteOutcome outcome = store_->Wait(ticket);
    if (outcome.kind == WriteOutcome::Kind::kFailed) return StorageError(outcome.status);
  }
  if (options.stored_is_enough && object->ApiVersion() == resource.ApiVersion()) {
    answer.stored = object;
    return answer;
  }
  answer.object = Shown(resource, *object).Copy();
  return answer;
}

ApiResult<Answer> Api::Unchanged(const ResourceInfo& resource, const std::string& key,
                                 const ObjectPtr& present, bool deferred, Answer answer) {
  std::shared_ptr<WriteTicket> ticket;
  if (!store_->Confirm(resource.StorageName(), key, present, &ticket)) {
    answer.code = 0;  // the caller tries again
  } else if (deferred) {
    answer.ticket = std::move(ticket);
  } else if (ticket != nullptr) {
    const WriteOutcome outcome = store_->Wait(ticket);
    if (outcome.kind == WriteOutcome::Kind::kFailed) return StorageError(outcome.status);
  }
  return answer;
}

}  // namespace envicutor::standalone
