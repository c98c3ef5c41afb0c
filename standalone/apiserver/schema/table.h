// meta.k8s.io/v1 Table output: what `kubectl get` prints.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/clock.h"
#include "common/base/json.h"
#include "standalone/apiserver/schema/crd.h"

namespace envicutor::standalone::schema {

enum class IncludeObject { kMetadata, kObject, kNone };
// The `includeObject` query parameter; absent or "" is Metadata. InvalidArgument otherwise.
[[nodiscard]] Result<IncludeObject> ParseIncludeObject(std::string_view text);

// Immutable; thread-safe.
class TablePrinter {
 public:
  // Columns of a CRD version; Name comes first.
  [[nodiscard]] static TablePrinter ForCrd(const CompiledVersion& version);
  // The columns of the built-in kinds ("" core: pods, configmaps, secrets, namespaces, events,
  // nodes, serviceaccounts; coordination.k8s.io leases; events.k8s.io events; apiextensions.k8s.io
  // customresourcedefinitions; others Name and Created At).
  [[nodiscard]] static TablePrinter ForBuiltin(std::string_view group, std::string_view resource);

  // columnDefinitions.
  [[nodiscard]] Json Columns() const;
  // One TableRow: cells, and `object` as asked (PartialObjectMetadata for kMetadata).
  [[nodiscard]] Json Row(const Json& object, IncludeObject include, WallTime now) const;
  // A whole Table; `list_metadata` is the list's (resourceVersion, continue) or the object's for a
  // GET. `with_columns` false for watch events after the first.
  [[nodiscard]] Json Table(const std::vector<const Json*>& objects, const Json& list_metadata,
                           IncludeObject include, WallTime now, bool with_columns = true) const;

 private:
  struct Column {
    std::string name;
    std::string type;
    std::string format;
    std::string description;
    int64_t priority = 0;
    std::function<Json(const Json& object, WallTime now)> cell;
  };
  friend class BuiltinColumns;
  std::vector<Column> columns_;
};

// "5s", "3m10s", "2h", "4d": k8s.io/apimachinery duration.HumanDuration.
[[nodiscard]] std::string HumanDuration(Duration age);

}  // namespace envicutor::standalone::schema
