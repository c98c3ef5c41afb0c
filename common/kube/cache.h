// Internal to the informer: the local copy and what changes in it mean for the handlers.
// Thread-safe; the changes are applied by one thread (the reflector), Observe comes from any.
#pragma once

#include <deque>
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
  [[nodiscard]] ObjectPtr Get(const std::string& key) const;
  [[nodiscard]] std::vector<ObjectPtr> All() const;

  // A whole list: what is missing in it was deleted (unless it is newer than the list).
  [[nodiscard]] std::vector<Change> Replace(List list);
  // One event of the watch.
  [[nodiscard]] std::vector<Change> Apply(WatchEvent event);
  // A result of our own write: into the cache when newer, without telling the handlers yet.
  void Observe(const Json& object);

 private:
  struct Entry {
    ObjectPtr object;
    ObjectPtr announced;  // what the handlers heard last; nullptr: nothing yet
  };

  void Upsert(const std::string& key, Json object, std::vector<Change>* changes);
  void Remove(const std::string& key, std::vector<Change>* changes);
  void Bury(const std::string& uid);

  mutable std::mutex mutex_;
  std::unordered_map<std::string, Entry> entries_;
  // UIDs of objects deleted lately: a late Observe must not bring them back.
  std::unordered_set<std::string> buried_;
  std::deque<std::string> burials_;
};

}  // namespace envicutor::kube
