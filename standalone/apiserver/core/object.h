// A stored object: immutable, shared between the store, its watch history and answers in flight.
#pragma once

#include <cstdint>
#include <initializer_list>
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

// An object that has everything but its revision: the long part of the work, before a lock is
// taken.
struct ObjectDraft {
  std::shared_ptr<Object> object;
  size_t version_at = 0;  // in object->text, where the digits of the revision go
};
[[nodiscard]] ObjectDraft DraftObject(Json json);
// Sets metadata.resourceVersion.
[[nodiscard]] ObjectPtr FinishObject(ObjectDraft draft, uint64_t revision);
// Both.
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

// Whether two objects are equal in all members but `but`.
[[nodiscard]] bool SameBut(std::initializer_list<std::string_view> but, const Json& a,
                           const Json& b);

// How objects are keyed within a resource: "namespace/name", or "name" for cluster-scoped ones.
[[nodiscard]] std::string KeyOf(std::string_view ns, std::string_view name);

}  // namespace envicutor::standalone
