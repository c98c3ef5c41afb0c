// How the parts of an object merge: what Kubernetes' schemas say by x-kubernetes-list-type,
// x-kubernetes-list-map-keys and x-kubernetes-map-type. Pure, immutable.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "standalone/apiserver/core/resource.h"
#include "standalone/apiserver/schema/node.h"

namespace envicutor::standalone {

// The schema of one value, seen for merging. Where a schema says nothing, maps merge and lists are
// replaced whole.
class Shape {
 public:
  // Of an object of the kind.
  [[nodiscard]] static Shape Of(const ResourceInfo& resource);

  [[nodiscard]] Shape Member(const std::string& name) const;
  [[nodiscard]] Shape Element() const;
  // A member that the schema names, not one of a map with free keys.
  [[nodiscard]] bool IsField(const std::string& name) const;
  [[nodiscard]] bool IsAtomicMap() const { return node_ != nullptr && node_->atomic_map; }
  [[nodiscard]] bool IsAtomicList() const {
    return node_ == nullptr || node_->list_type == schema::ListType::kAtomic;
  }
  // "k:{...}" or "v:..." of an element of a list that is not atomic; nothing when it has no such
  // identity (a key is missing and has no default, or it is no object).
  [[nodiscard]] std::optional<std::string> ElementPath(const Json& element) const;

 private:
  Shape(const schema::SchemaNode* node, bool builtin, bool root)
      : node_(node), builtin_(builtin), root_(root) {}

  const schema::SchemaNode* node_;  // null: nothing is known
  bool builtin_;                    // what has no schema here has one there: all members are fields
  bool root_;
};

}  // namespace envicutor::standalone
