// All objects with one global revision, optimistic writes, and a bounded history of changes that
// watches and consistent list pages are read from.
//
// A write is checked against the newest state (`head`: with the writes that wait for the disk), but
// reads and watches see it only when it is durable (`published`), and who is refused because of it
// is told no sooner (Confirm): nobody can act on a write that a crash would take back. Thread-safe.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "common/base/status.h"
#include "standalone/apiserver/core/object.h"
#include "standalone/apiserver/core/storage.h"

namespace envicutor::standalone {

enum class ChangeType { kAdded, kModified, kDeleted };

struct Change {
  uint64_t revision = 0;
  ChangeType type = ChangeType::kAdded;
  std::string key;
  ObjectPtr object;    // for kDeleted: the last state, with the deletion's revision
  ObjectPtr previous;  // null for kAdded
};

struct StoreWrite {
  std::string resource;  // "group/plural"
  std::string key;
  ObjectPtr expected;  // the head object that the write was computed from; null: none exists
  // Absent: delete. Its tree and text are made before the lock is taken.
  std::optional<ObjectDraft> object;
  // Objects that must be unchanged: the namespace of a create, the CRD of its kind.
  struct Guard {
    std::string resource;
    std::string key;
    ObjectPtr expected;
  };
  std::vector<Guard> guards;
};

struct WriteOutcome {
  enum class Kind { kDone, kConflict, kFailed };
  Kind kind = Kind::kDone;
  ObjectPtr object;  // of kDone; for a delete the last state with the new revision
  Status status;     // of kFailed: the storage's error
};

// A write that has begun: `object` is the head, and not yet durable.
class WriteTicket {
 public:
  explicit WriteTicket(ObjectPtr object) : object_(std::move(object)) {}
  [[nodiscard]] const ObjectPtr& object() const { return object_; }

 private:
  friend class Store;
  const ObjectPtr object_;
  // Guarded by the store's mutex. One condition each: a commit wakes those that it was for and
  // nobody else.
  std::condition_variable wake_;
  bool done_ = false;
  Status status_;
  std::vector<std::function<void(const Status&)>> then_;
};

struct ListSnapshot {
  uint64_t revision = 0;
  std::vector<ObjectPtr> objects;  // in order of key
};

struct ChangeBatch {
  bool expired = false;  // the history does not reach back to the cursor: 410
  uint64_t up_to = 0;    // the cursor's next value
  uint64_t oldest = 0;   // the oldest revision that can be watched from
  std::vector<Change> changes;
};

// The history of a resource holds at most this much serialized text, whatever the number of events.
inline constexpr size_t kMaxHistoryBytes = 32U << 20U;
// Of so many of the newest objects the trees are kept, with at most so much text: a status comes
// soon after its object. All others are text: a tree takes nine times as much.
inline constexpr size_t kMaxTrees = 256;
inline constexpr size_t kMaxTreesTextBytes = 4U << 20U;

class Store final : public StorageListener {
 public:
  Store(Storage* storage, size_t history_events);
  // Reads everything from the storage; once, before use.
  [[nodiscard]] Status Load();

  [[nodiscard]] uint64_t PublishedRevision() const;
  // What readers see. Null: none.
  [[nodiscard]] ObjectPtr Get(const std::string& resource, const std::string& key) const;
  // What a write must be computed from.
  [[nodiscard]] ObjectPtr GetHead(const std::string& resource, const std::string& key) const;
  // All objects whose key starts with `prefix` ("" all, "ns/" one namespace).
  [[nodiscard]] ListSnapshot List(const std::string& resource, const std::string& prefix) const;
  // The same as it was at `revision`; nothing when the history does not reach back to it.
  [[nodiscard]] std::optional<ListSnapshot> ListAt(const std::string& resource,
                                                   const std::string& prefix,
                                                   uint64_t revision) const;
  // Head state included: how many objects of `resource` with that prefix there are, at most `most`.
  [[nodiscard]] size_t CountHead(const std::string& resource, const std::string& prefix,
                                 size_t most = SIZE_MAX) const;
  [[nodiscard]] bool AnyHead(const std::string& resource, const std::string& prefix) const {
    return CountHead(resource, prefix, 1) > 0;
  }

  // Waits until the write is durable and published. kConflict: *write is as it was, and may be
  // tried again with what is there now.
  [[nodiscard]] WriteOutcome Write(StoreWrite* write);
  [[nodiscard]] WriteOutcome Write(StoreWrite write) { return Write(&write); }
  // The same in two steps. Null: a conflict. Every ticket gets a Wait or a Then; nothing may be
  // said about the write before.
  [[nodiscard]] std::shared_ptr<WriteTicket> Begin(StoreWrite* write);
  // For who finds in `expected`, the head, that nothing is to be written: false is a conflict, as
  // Begin's. `*ticket`: of the write that made it (of its deletion, where it is null), while that
  // is not durable; null when it is.
  [[nodiscard]] bool Confirm(const std::string& resource, const std::string& key,
                             const ObjectPtr& expected, std::shared_ptr<WriteTicket>* ticket) const;
  // Of the newest write below `prefix` that is not durable; null: there is none.
  [[nodiscard]] std::shared_ptr<WriteTicket> Newest(const std::string& resource,
                                                    const std::string& prefix) const;
  [[nodiscard]] WriteOutcome Wait(const std::shared_ptr<WriteTicket>& ticket);
  // Calls `then` with the storage's answer when the write is durable and published: on the thread
  // that made it so, which must not be held up, or at once on this one.
  void Then(const std::shared_ptr<WriteTicket>& ticket, std::function<void(const Status&)> then);

  // Published changes of `resource` after `revision`, at most `max`.
  [[nodiscard]] ChangeBatch ChangesSince(const std::string& resource, uint64_t revision,
                                         size_t max) const;

  // Called after each publication, in order, with its changes, on the thread that made it durable
  // and with no lock held. Set before use.
  using PublishListener =
      std::function<void(const std::vector<std::pair<std::string, Change>>& changes)>;
  void SetPublishListener(PublishListener listener) { publish_listener_ = std::move(listener); }

  // Waits until nothing that was begun is left: all of it has been told. Nobody may begin more.
  void Drain();
  // What the published objects take, by Object::HeldBytes.
  [[nodiscard]] size_t HeldBytes() const;

  void OnDurable(uint64_t revision) override;
  void OnFailed(const Status& status) override;

 private:
  struct ResourceData {
    std::map<std::string, ObjectPtr> objects;  // published
    std::unordered_map<std::string, std::pair<ObjectPtr, uint64_t>>
        overlay;  // head, not yet durable
    std::deque<Change> history;
    size_t history_bytes = 0;
    uint64_t oldest = 0;  // every published change after this revision is in `history`
  };
  struct Pending {
    std::string resource;
    Change change;
    std::shared_ptr<WriteTicket> ticket;
  };

  ObjectPtr HeadLocked(const std::string& resource, const std::string& key) const;
  void ApplyLocked(ResourceData& data, const Change& change);
  // Ends what is waited for, with no lock held.
  void Tell(const std::vector<std::shared_ptr<WriteTicket>>& tickets, const Status& status);
  // Those whose trees are to be dropped, which is not done under the lock.
  void KeepTreeLocked(const ObjectPtr& object, std::vector<ObjectPtr>* too_many);

  Storage* storage_;
  size_t history_events_;
  PublishListener publish_listener_;
  mutable std::mutex mutex_;
  std::mutex publish_mutex_;  // keeps listener calls in order
  std::condition_variable drained_;
  std::map<std::string, ResourceData> resources_;
  std::deque<Pending> pending_;
  std::deque<ObjectPtr> trees_;  // the newest at its end
  size_t trees_bytes_ = 0;       // of their texts
  uint64_t head_ = 0;
  uint64_t published_ = 0;
};

}  // namespace envicutor::standalone
