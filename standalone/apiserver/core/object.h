// A stored object: immutable, shared between the store, its watch history and answers in flight.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "common/base/json.h"

namespace envicutor::standalone {

struct Object {
  Json json;         // complete, metadata.resourceVersion == revision
  std::string text;  // `json` serialized once: what is stored, listed and watched
  uint64_t revision;
};
using ObjectPtr = std::shared_ptr<const Object>;

// Sets metadata.resourceVersion and serializes.
[[nodiscard]] ObjectPtr MakeObject(Json json, uint64_t revision);

// metadata.KEY as a string, or "".
[[nodiscard]] std::string MetaString(const Json& object, std::string_view key);
[[nodiscard]] inline std::string NameOf(const Json& object) { return MetaString(object, "name"); }
[[nodiscard]] inline std::string NamespaceOf(const Json& object) {
  return MetaString(object, "namespace");
}
// metadata.deletionTimestamp is set.
[[nodiscard]] bool IsTerminating(const Json& object);
// metadata.finalizers has an entry.
[[nodiscard]] bool HasFinalizers(const Json& object);
[[nodiscard]] bool HasFinalizer(const Json& object, std::string_view name);
void AddFinalizer(Json* object, std::string_view name);
void RemoveFinalizer(Json* object, std::string_view name);

// How objects are keyed within a resource: "namespace/name", or "name" for cluster-scoped ones.
[[nodiscard]] std::string KeyOf(std::string_view ns, std::string_view name);

}  // namespace envicutor::standalone
