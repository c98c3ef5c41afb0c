// metadata.managedFields: who set which field, and what server-side apply makes of it
// (k8s.io/apimachinery/pkg/util/managedfields). Pure.
#pragma once

#include <string>
#include <vector>

#include "common/base/clock.h"
#include "standalone/apiserver/core/api_error.h"
#include "standalone/apiserver/core/resource.h"

namespace envicutor::standalone {

// The most managers by update that an object remembers; the oldest are put together then.
inline constexpr size_t kMaxUpdateManagers = 10;
// Bytes of a manager's name.
inline constexpr size_t kMaxManagerBytes = 128;

struct ManagedEntry {
  std::string manager;
  bool apply = false;
  std::string api_version;
  std::string subresource;
  std::string time;  // RFC 3339, or ""
  Json fields = Json::object();

  [[nodiscard]] bool SameManager(const ManagedEntry& other) const {
    return manager == other.manager && apply == other.apply && api_version == other.api_version &&
           subresource == other.subresource;
  }
};
using Managed = std::vector<ManagedEntry>;

// Nothing when an entry is not well-formed: a client's mistake, which is as if it had sent none.
[[nodiscard]] std::optional<Managed> ReadManaged(Json managed_fields);
// Null when there are none.
[[nodiscard]] Json WriteManaged(Managed managed);

struct Writer {
  std::string manager;
  std::string subresource;
  WallTime now;
};

// After a create (`before` null) or update: what changed is the writer's and nobody else's any
// more.
[[nodiscard]] Managed OwnUpdate(const ResourceInfo& resource, const Json* before, const Json& after,
                                Managed managed, const Writer& writer);

struct Applied {
  Json object;
  Managed managed;
};
// `live` null: the object is made. Conflicts with other managers are 409 unless `force`.
[[nodiscard]] ApiResult<Applied> OwnApply(const ResourceInfo& resource, const Json* live,
                                          const Json& config, Managed managed, const Writer& writer,
                                          bool force);

// metadata.managedFields of `after`, an object that a client made of `before` (null: from nothing).
// `present` is what they were (of a create: what its request says), `asked` what the request of an
// update says they are: taken, if it can be, of the main resource. Null: none.
[[nodiscard]] Json TrackWrite(const ResourceInfo& resource, const Json* before, const Json& after,
                              Json present, const Json& asked, const Writer& writer);

// Whether two of them say the same but for the times.
[[nodiscard]] bool SameButTimes(const Json& a, const Json& b);

}  // namespace envicutor::standalone
