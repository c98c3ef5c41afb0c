// A stored object: shared between the store, its watch history and answers in flight. What it says
// never changes.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>

#include "common/base/json.h"
#include "common/base/status.h"
#include "standalone/apiserver/core/outline.h"

namespace envicutor::standalone {

// A tree that somebody holds. Only a named one can be looked into: a temporary would take it away.
class JsonRef {
 public:
  explicit JsonRef(std::shared_ptr<const Json> json) : json_(std::move(json)) {}
  [[nodiscard]] const Json& operator*() const& { return *json_; }
  [[nodiscard]] const Json* operator->() const& { return json_.get(); }
  const Json& operator*() const&& = delete;
  const Json* operator->() const&& = delete;
  [[nodiscard]] Json Copy() const { return *json_; }

 private:
  std::shared_ptr<const Json> json_;
};

// Kept as text, which takes a ninth of its tree; an answer is the text. Who needs the tree gets it:
// the one it was made from while the object is new (DropTree ends that), a parsed one later.
// Thread-safe.
class Object {
 public:
  // `text` without the digits of metadata.resourceVersion, which begin at `outline.version.at`.
  struct Body {
    std::string text;
    Outline outline;
  };
  Object(std::shared_ptr<const Body> body, uint64_t at_revision, std::shared_ptr<const Json> tree)
      : revision(at_revision), body_(std::move(body)), tree_(std::move(tree)) {}

  const uint64_t revision;

  [[nodiscard]] JsonRef Tree() const;
  // Complete, one line: what is stored, listed and watched.
  [[nodiscard]] std::string Text() const;
  void AppendText(std::string* out) const;
  [[nodiscard]] size_t TextBytes() const;

  [[nodiscard]] std::string_view ApiVersion() const { return Part(body_->outline.api_version); }
  [[nodiscard]] std::string_view Uid() const { return Part(body_->outline.uid); }
  [[nodiscard]] bool IsTerminating() const { return body_->outline.terminating; }
  [[nodiscard]] bool HasFinalizers() const { return body_->outline.finalizers; }
  [[nodiscard]] bool HasOwners() const { return body_->outline.owners; }
  [[nodiscard]] std::string Name() const;
  [[nodiscard]] std::string Namespace() const;
  // metadata.labels, or null.
  [[nodiscard]] Json Labels() const;

  // The same with another revision: a deletion's last state. Shares the text.
  [[nodiscard]] std::shared_ptr<const Object> AtRevision(uint64_t at_revision) const;

  // From now on a tree is parsed for whoever asks.
  void DropTree() const;
  [[nodiscard]] bool HasTree() const;
  // What it takes by this class' own account: text and, while it has one, tree.
  [[nodiscard]] size_t HeldBytes() const;

 private:
  [[nodiscard]] std::string_view Part(Span span) const { return span.Of(body_->text); }
  [[nodiscard]] std::shared_ptr<const Json> HeldTree() const;

  std::shared_ptr<const Body> body_;
  mutable std::shared_ptr<const Json> tree_;  // guarded by one of a few mutexes (object.cpp)
};
using ObjectPtr = std::shared_ptr<const Object>;

// An object that has everything but its revision: the long part of the work, before a lock is
// taken.
struct ObjectDraft {
  std::shared_ptr<const Object::Body> body;
  std::shared_ptr<Json> tree;
  size_t depth = 0;  // DepthOf(*tree)
};
// Objects and arrays inside of each other, the outermost counted: 0 for a scalar.
[[nodiscard]] size_t DepthOf(const Json& value);
[[nodiscard]] ObjectDraft DraftObject(Json json);
// Sets metadata.resourceVersion.
[[nodiscard]] ObjectPtr FinishObject(ObjectDraft draft, uint64_t revision);
// Both.
[[nodiscard]] ObjectPtr MakeObject(Json json, uint64_t revision);
// From what Text() was. InvalidArgument: it is not the JSON of an object with a resourceVersion.
[[nodiscard]] Result<ObjectPtr> ReadObject(std::string text, uint64_t revision);

// Equal in every number's kind too: to nlohmann's == 30.0 is 30, and who reads an integer of 30.0
// gets none.
[[nodiscard]] bool Identical(const Json& a, const Json& b);

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
