// Internal to the informer: the local copy and what changes in it mean for the handlers.
// Thread-safe; the changes are applied by one thread (the reflector), Observe comes from any.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "common/kube/informer.h"

namespace envicutor::kube {

// What to tell the handlers: on_add(now), on_update(old, now) or on_delete(old).
struct Change {
  ObjectPtr old;
  ObjectPtr now;
};

class Cache {
 public:
  // `summarize`: InformerOptions'; may be empty.
  explicit Cache(std::function<bool(const Json&)> summarize = nullptr)
      : summarize_(std::move(summarize)) {}

  [[nodiscard]] ObjectPtr Get(const std::string& key) const;
  [[nodiscard]] std::vector<ObjectPtr> All() const;
  [[nodiscard]] std::map<std::string, int64_t> Summarized() const;

  // A whole list, in pages: what is missing in it was deleted (unless it is newer than the list).
  void BeginList();
  [[nodiscard]] std::vector<Change> AddListed(std::vector<Json> items);
  [[nodiscard]] std::vector<Change> EndList(const std::string& version);
  [[nodiscard]] std::vector<Change> Replace(List list);  // all three, for a list of one page
  // One event of the watch.
  [[nodiscard]] std::vector<Change> Apply(WatchEvent event);
  // A result of our own write: into the cache when newer, without telling the handlers yet.
  void Observe(const Json& object);

 private:
  // Of an object that was summarized. Small: there are 100,000.
  struct Summary {
    std::string uid;
    std::string version;
    const std::string* phase = nullptr;  // in phases_
    bool announced = false;              // the handlers heard of it as it is now
  };
  // Either an object or a summary, while it is in entries_.
  struct Entry {
    ObjectPtr object;
    ObjectPtr announced;  // what the handlers heard last, if not a summary; nullptr: nothing yet
    std::unique_ptr<Summary> summary;
    uint32_t list = 0;  // the last list that had it

    [[nodiscard]] bool Known() const { return object != nullptr || summary != nullptr; }
    [[nodiscard]] bool Told() const {
      return announced != nullptr || (summary != nullptr && summary->announced);
    }
  };

  static std::string UidIn(const Entry& entry);
  static std::string VersionIn(const Entry& entry);
  // What the handlers heard last, as far as it is known; nullptr when nothing.
  static ObjectPtr Last(const std::string& key, const Entry& entry);
  static ObjectPtr FromSummary(const std::string& key, const Summary& summary);
  void Summarize(const Json& object, bool announced, Entry* entry);
  void Upsert(const std::string& key, Json object, std::vector<Change>* changes);
  void Remove(const std::string& key, ObjectPtr last, std::vector<Change>* changes);
  void Bury(const std::string& uid);

  const std::function<bool(const Json&)> summarize_;
  mutable std::mutex mutex_;
  std::unordered_map<std::string, Entry> entries_;
  std::unordered_set<std::string> phases_;
  uint32_t list_ = 0;
  // UIDs of objects deleted lately: a late Observe must not bring them back.
  std::unordered_set<std::string> buried_;
  std::deque<std::string> burials_;
};

}  // namespace envicutor::kube
