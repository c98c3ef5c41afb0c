// The kinds that are served: built in, and of the CustomResourceDefinitions in the store. A
// Registry is immutable; a changed CRD makes a new one.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "standalone/apiserver/core/api_error.h"
#include "standalone/apiserver/schema/crd.h"

namespace envicutor::standalone {

struct ResourceInfo {
  std::string group;  // "" is core
  std::string version;
  std::string plural;
  std::string singular;
  std::string kind;
  std::string list_kind;
  std::vector<std::string> short_names;
  std::vector<std::string> categories;
  bool namespaced = true;
  bool has_status = false;
  bool has_scale = false;
  // Answers creates only and stores nothing (selfsubjectaccessreviews, selfsubjectreviews).
  bool virtual_kind = false;
  std::vector<std::string> subresources;  // others than status and scale, e.g. "binding", "log"
  // For the types that a CRD made; null for built-in ones.
  std::shared_ptr<const schema::CompiledCrd> crd;
  const schema::CompiledVersion* crd_version = nullptr;  // inside *crd
  // Types, for built-in kinds; null where none is known.
  std::shared_ptr<const schema::Schema> builtin_schema;

  [[nodiscard]] std::string ApiVersion() const {
    return group.empty() ? version : group + "/" + version;
  }
  // The store's name of it: the same for all versions.
  [[nodiscard]] std::string StorageName() const { return group + "/" + plural; }
  [[nodiscard]] bool IsDefinitions() const {
    return plural == "customresourcedefinitions" && group == "apiextensions.k8s.io";
  }
  [[nodiscard]] ErrorTarget Target(std::string name) const {
    return {group, plural, std::move(name)};
  }
  [[nodiscard]] ErrorTarget KindTarget(std::string name) const {
    return {group, kind, std::move(name)};
  }
};
using ResourcePtr = std::shared_ptr<const ResourceInfo>;

// Names of built-in resources in the store.
inline constexpr std::string_view kNamespaces = "/namespaces";
inline constexpr std::string_view kPods = "/pods";
inline constexpr std::string_view kNodes = "/nodes";
inline constexpr std::string_view kCrds = "apiextensions.k8s.io/customresourcedefinitions";

class Registry {
 public:
  // The built-in kinds only.
  [[nodiscard]] static std::shared_ptr<const Registry> Builtin();
  // The same with the kinds of `crds` (established ones, by CRD name).
  [[nodiscard]] static std::shared_ptr<const Registry> With(
      const std::map<std::string, std::shared_ptr<const schema::CompiledCrd>>& crds);

  // Null: not served. `resource` is the plural.
  [[nodiscard]] ResourcePtr Find(std::string_view group, std::string_view version,
                                 std::string_view resource) const;
  // By apiVersion ("v1", "group/version") and kind; null when not served.
  [[nodiscard]] ResourcePtr FindKind(std::string_view api_version, std::string_view kind) const;
  [[nodiscard]] bool HasGroupVersion(std::string_view group, std::string_view version) const;
  // Everything served, in order of group, version (preferred first), plural.
  [[nodiscard]] const std::vector<ResourcePtr>& all() const { return all_; }
  // Served versions of a group, preferred first.
  [[nodiscard]] std::vector<std::string> Versions(std::string_view group) const;
  // Groups other than core, in the order of discovery.
  [[nodiscard]] std::vector<std::string> Groups() const;
  // One resource of every StorageName.
  [[nodiscard]] std::vector<ResourcePtr> StorageResources() const;

 private:
  void Add(ResourcePtr resource);

  std::vector<ResourcePtr> all_;
  std::map<std::string, ResourcePtr> by_path_;  // "group/version/plural"
  std::map<std::string, ResourcePtr> by_kind_;  // "apiVersion/kind"
};

}  // namespace envicutor::standalone
