// The background work of a control plane that objects rely on: garbage collection by
// ownerReferences (background, foreground, orphan), emptying of terminating namespaces, clean-up of
// deleted CRDs' objects, the default ServiceAccount of each namespace.
//
// Driven: Step() does what the changes since the last one ask for. The daemon's thread calls it on
// each publication, the simulation when it likes. One caller at a time.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "standalone/apiserver/core/api.h"

namespace envicutor::standalone {

class Controllers {
 public:
  explicit Controllers(Api* api) : api_(api) {}
  // True when it wrote anything: there may be more to do.
  bool Step();

 private:
  using Ref = std::pair<std::string, std::string>;  // storage name, key

  void ReadChanges();
  void Index(const std::string& resource, const std::string& key, const Object* object);
  void Absorb(const std::string& resource, const Change& change);
  bool CollectGarbage(const Ref& ref);
  bool FinishOwner(const Ref& ref);
  bool EmptyNamespace(const std::string& name);
  bool EmptyCrd(const std::string& name);
  // Definitions of `group` that wait for a name that another has had are judged anew.
  bool JudgeNames(const std::string& group);
  bool ExpireEvents();
  bool RefreshQuotas(const std::string& ns);
  bool EnsureServiceAccount(const std::string& ns);
  [[nodiscard]] ResourcePtr ResourceOf(const std::string& storage_name) const;
  // Whether the owner that `reference` of an object in `ns` names exists.
  [[nodiscard]] ObjectPtr OwnerOf(const std::string& ns, const Json& reference) const;
  bool DropFinalizer(const Ref& ref, const std::string& finalizer);
  bool DropOwner(const Ref& ref, const std::string& owner_uid);

  Api* api_;
  SteadyTime next_expiry_{};
  uint64_t registry_generation_ = 0;
  std::map<std::string, ResourcePtr> resources_;
  std::map<std::string, uint64_t> cursors_;          // by storage name
  std::map<std::string, std::set<Ref>> dependents_;  // by owner's uid
  std::map<Ref, std::set<std::string>> owners_;      // uids
  std::set<Ref> dirty_;                              // may have lost an owner
  std::set<Ref> terminating_;                        // with finalizers that we serve
  std::set<std::string> namespaces_;                 // terminating
  std::set<std::string> crds_;                       // terminating
  std::set<std::string> new_namespaces_;
  std::set<std::string> freed_names_;  // groups of definitions that went or wait for a name
  std::set<std::string> counted_;      // namespaces in which something came or went
};

}  // namespace envicutor::standalone
