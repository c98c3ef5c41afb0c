// The verbs of the API on one Store: what a kube-apiserver does between its HTTP layer and etcd. No
// I/O of its own; time and randomness come in. Thread-safe.
//
// Names in messages, HTTP codes and orders of checks are kube-apiserver's.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "standalone/apiserver/core/api_error.h"
#include "standalone/apiserver/core/ids.h"
#include "standalone/apiserver/core/resource.h"
#include "standalone/apiserver/core/selector.h"
#include "standalone/apiserver/core/store.h"

namespace envicutor::standalone {

enum class FieldValidation { kIgnore, kWarn, kStrict };

struct WriteOptions {
  bool dry_run = false;
  FieldValidation field_validation = FieldValidation::kWarn;
  std::vector<std::string> duplicate_fields;  // what the body's parser saw, e.g. "spec.a"
  // The caller prints what was stored: Answer::stored instead of Answer::object, where it can be.
  bool stored_is_enough = false;
  // The caller says nothing before Answer::ticket, if there is one, is durable.
  bool deferred = false;
  // Who owns what is written: ?fieldManager or the first part of the User-Agent; the API server
  // itself when nothing is said.
  std::string manager = "envicutor";
  // metadata.managedFields of the object is what it shall be: server-side apply has worked it out.
  bool owned = false;
  std::string user;
  std::vector<std::string> groups;
};

struct Answer {
  int code = 200;
  Json object;
  std::vector<std::string> warnings;              // for Warning headers
  ObjectPtr stored = nullptr;                     // when set it is the answer, and `object` is null
  std::shared_ptr<WriteTicket> ticket = nullptr;  // of a write that is deferred, for Store::Then
};

struct ListQuery {
  std::string label_selector;
  std::string field_selector;
  int64_t limit = 0;  // 0: all
  std::string continue_token;
  std::string resource_version;
  std::string resource_version_match;  // "", "Exact", "NotOlderThan"
};

// Objects rather than JSON: the caller prints them as a list, a table or partial metadata.
struct ListAnswer {
  std::vector<ObjectPtr> objects;
  uint64_t revision = 0;
  std::string continue_token;
  int64_t remaining = -1;  // -1: not said
};

struct DeleteQuery {
  int64_t grace_period_seconds = -1;  // -1: the object's default
  std::string uid;                    // precondition, or ""
  std::string resource_version;       // precondition, or ""
  std::string propagation;            // "", "Background", "Foreground", "Orphan"
  bool dry_run = false;
  bool deferred = false;  // as in WriteOptions
};

enum class PatchKind { kJson, kMerge, kStrategicMerge };

class Api {
 public:
  // All outlive the Api.
  Api(Store* store, const Clock* clock, IdSource* ids);
  // Loads the store and the CRDs in it, makes the namespaces that are missing.
  [[nodiscard]] Status Start(const std::vector<std::string>& namespaces);

  // Called after each publication, with the registry already renewed, on the thread that published;
  // must not block. Set before Start.
  void SetChangeListener(std::function<void()> listener) { on_change_ = std::move(listener); }

  [[nodiscard]] std::shared_ptr<const Registry> registry() const;
  [[nodiscard]] Store& store() { return *store_; }
  [[nodiscard]] const Clock& clock() const { return *clock_; }
  // Changes with each new registry.
  [[nodiscard]] uint64_t registry_generation() const { return registry_generation_.load(); }

  [[nodiscard]] ApiResult<ObjectPtr> Get(const ResourceInfo& resource, const std::string& ns,
                                         const std::string& name) const;
  [[nodiscard]] ApiResult<ListAnswer> List(const ResourceInfo& resource, const std::string& ns,
                                           const ListQuery& query) const;
  [[nodiscard]] ApiResult<Answer> Create(const ResourceInfo& resource, const std::string& ns,
                                         Json object, const WriteOptions& options);
  // `subresource` "" or "status" (and "finalize" of namespaces).
  [[nodiscard]] ApiResult<Answer> Update(const ResourceInfo& resource, const std::string& ns,
                                         const std::string& name, const std::string& subresource,
                                         const Json& object, const WriteOptions& options);
  [[nodiscard]] ApiResult<Answer> Patch(const ResourceInfo& resource, const std::string& ns,
                                        const std::string& name, const std::string& subresource,
                                        PatchKind kind, const Json& patch,
                                        const WriteOptions& options);
  // Server-side apply by options.manager; `config` names what it sets and nothing else. Makes the
  // object where there is none; 409 where another manager owns a field that changes, unless
  // `force`.
  [[nodiscard]] ApiResult<Answer> Apply(const ResourceInfo& resource, const std::string& ns,
                                        const std::string& name, const std::string& subresource,
                                        const Json& config, bool force,
                                        const WriteOptions& options);
  [[nodiscard]] ApiResult<Answer> Delete(const ResourceInfo& resource, const std::string& ns,
                                         const std::string& name, const DeleteQuery& query);
  // Of what the selectors match; the answer is the list of what was deleted.
  [[nodiscard]] ApiResult<Answer> DeleteCollection(const ResourceInfo& resource,
                                                   const std::string& ns, const ListQuery& list,
                                                   const DeleteQuery& query);
  // POST pods/NAME/binding and pods/NAME/eviction.
  [[nodiscard]] ApiResult<Answer> BindPod(const std::string& ns, const std::string& name,
                                          const Json& binding, const WriteOptions& options);
  [[nodiscard]] ApiResult<Answer> EvictPod(const std::string& ns, const std::string& name,
                                           const Json& eviction, const WriteOptions& options);
  // The scale subresource: autoscaling/v1 Scale.
  [[nodiscard]] ApiResult<Answer> GetScale(const ResourceInfo& resource, const std::string& ns,
                                           const std::string& name) const;
  [[nodiscard]] ApiResult<Answer> UpdateScale(const ResourceInfo& resource, const std::string& ns,
                                              const std::string& name, const Json& scale,
                                              const WriteOptions& options);
  [[nodiscard]] ApiResult<Answer> PatchScale(const ResourceInfo& resource, const std::string& ns,
                                             const std::string& name, PatchKind kind,
                                             const Json& patch, const WriteOptions& options);

  // The object as `resource`'s version shows it.
  [[nodiscard]] static JsonRef Shown(const ResourceInfo& resource, const Object& object);

  // Computes the new object from the current one (null `Json` result: no change). Retried when
  // another write came between, unless the new object names a resourceVersion.
  using Mutation = std::function<ApiResult<Json>(const Json& current)>;
  [[nodiscard]] ApiResult<Answer> Modify(const ResourceInfo& resource, const std::string& ns,
                                         const std::string& name, const std::string& subresource,
                                         const Mutation& mutation, const WriteOptions& options);

 private:
  // Of a write that others come between.
  static constexpr int kMaxTries = 100;

  // Decodes, checks, defaults and validates `object` for a create (old null) or update.
  [[nodiscard]] std::optional<ApiError> Admit(const ResourceInfo& resource, const Json* old,
                                              const std::string& subresource, Json* object,
                                              const WriteOptions& options,
                                              std::vector<std::string>* warnings) const;
  [[nodiscard]] std::optional<ApiError> AdmitFields(const ResourceInfo& resource, Json* object,
                                                    const WriteOptions& options,
                                                    std::vector<std::string>* warnings) const;
  // What must not change while the object is made: its namespace, the CRD of its kind.
  [[nodiscard]] ApiResult<std::vector<StoreWrite::Guard>> CreateGuards(const ResourceInfo& resource,
                                                                       const std::string& ns,
                                                                       const std::string& name,
                                                                       bool deferred) const;
  // Whether `error`, which was found in `seen`, the head of a key (null: none), is the answer.
  // False: another write came between, look again. Nobody is told before `seen` is durable:
  // `deferred` the error gets the ticket of its write; else that is waited for.
  [[nodiscard]] bool Stands(const std::string& storage, const std::string& key,
                            const ObjectPtr& seen, bool deferred, ApiError* error) const;
  // The head that `judge` has nothing against: a function from an ObjectPtr to an
  // optional<ApiError>.
  template <typename Judge>
  [[nodiscard]] ApiResult<ObjectPtr> Agreed(const std::string& storage, const std::string& key,
                                            bool deferred, const Judge& judge) const {
    for (int tries = 0; tries < kMaxTries; ++tries) {
      ObjectPtr seen = store_->GetHead(storage, key);
      std::optional<ApiError> error = judge(seen);
      if (!error) return seen;
      if (Stands(storage, key, seen, deferred, &*error)) return *std::move(error);
    }
    return ServiceUnavailableError(key + " changes too often");
  }
  // With *turn held where a quota counts objects of that kind in the namespace.
  [[nodiscard]] std::optional<ApiError> OverQuota(const ResourceInfo& resource,
                                                  const std::string& ns, const std::string& name,
                                                  bool deferred,
                                                  std::unique_lock<std::mutex>* turn);
  void TellWhenDurable(std::shared_ptr<WriteTicket> ticket, bool deferred, ApiError* error) const;
  // Answer::code 0: another write came between, and *write is as it was.
  [[nodiscard]] ApiResult<Answer> Commit(const ResourceInfo& resource, StoreWrite* write,
                                         const WriteOptions& options, Answer answer);
  // An answer of a write that finds all as it wants it: as durable as `present`, the head, is.
  // Answer::code 0 as Commit's.
  [[nodiscard]] ApiResult<Answer> Unchanged(const ResourceInfo& resource, const std::string& key,
                                            const ObjectPtr& present, bool deferred, Answer answer);
  [[nodiscard]] ApiResult<Answer> CreateNamed(const ResourceInfo& resource, const std::string& ns,
                                              Json object, const WriteOptions& options);
  // Once: `*seen` is the head that it was done or refused on. Answer::code 0 as Commit's.
  [[nodiscard]] ApiResult<Answer> ModifyOnce(const ResourceInfo& resource, const std::string& key,
                                             const std::string& name,
                                             const std::string& subresource,
                                             const Mutation& mutation, const WriteOptions& options,
                                             ObjectPtr* seen);
  [[nodiscard]] ApiResult<Answer> DeleteOnce(const ResourceInfo& resource, const std::string& ns,
                                             const std::string& name, const DeleteQuery& query,
                                             ObjectPtr* seen, bool* raced);
  [[nodiscard]] std::string CrdNamesTaken(const Json& crd) const;
  // Held from the check of a definition's names until it is served: of two that want a name at the
  // same time one must see the other. Of other kinds it is no lock.
  [[nodiscard]] std::unique_lock<std::mutex> DefinitionsTurn(const ResourceInfo& resource);
  void OnPublished(const std::vector<std::pair<std::string, Change>>& changes);
  void CompileCrdObject(const Json& crd);

  Store* store_;
  const Clock* clock_;
  IdSource* ids_;
  std::function<void()> on_change_;
  std::mutex quota_mutex_;
  std::mutex definitions_mutex_;
  mutable std::mutex registry_mutex_;
  std::map<std::string, std::shared_ptr<const schema::CompiledCrd>> crds_;
  std::shared_ptr<const Registry> registry_;
  std::atomic<uint64_t> registry_generation_{1};
};

// What a write is answered that could not be made durable.
[[nodiscard]] ApiError StorageError(const Status& status);

// Whether nothing but the deletion itself holds a terminating object back.
[[nodiscard]] bool ReadyToRemove(const ResourceInfo& resource, const Json& object);

}  // namespace envicutor::standalone
