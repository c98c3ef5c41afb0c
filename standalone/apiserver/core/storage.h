// Where the store keeps its objects: SQLite in the daemon, memory in the simulation.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "standalone/apiserver/core/object.h"

namespace envicutor::standalone {

struct StoredObject {
  std::string resource;  // "group/plural", "/pods" for the core group
  std::string key;       // KeyOf(namespace, name)
  uint64_t revision = 0;
  std::string text;
};

struct StorageContent {
  uint64_t revision = 0;  // of the last durable write
  std::vector<StoredObject> objects;
  std::map<std::string, uint64_t> last_change;  // of each resource, deletions included
};

struct StorageWrite {
  uint64_t revision = 0;
  std::string resource;
  std::string key;
  ObjectPtr object;  // null: deleted
};

class StorageListener {
 public:
  virtual ~StorageListener() = default;
  // Every write up to `revision` is durable.
  virtual void OnDurable(uint64_t revision) = 0;
  // A write failed. Called with no lock held; it and all later ones are void (see Discard).
  virtual void OnFailed(const Status& status) = 0;
};

class Storage {
 public:
  virtual ~Storage() = default;
  // Once, before anything else. `listener` must outlive the storage's last call.
  [[nodiscard]] virtual Result<StorageContent> Open(StorageListener* listener) = 0;
  // In order of revision; does not block. The listener hears when it is durable.
  virtual void Append(StorageWrite write) = 0;
  // Called by a writer without locks, after its Append: a storage without a thread of its own does
  // its work and calls the listener here.
  virtual void Flush() = 0;
  // The same, but a storage with a thread of its own leaves the work to that: the caller has other
  // things to do.
  virtual void FlushSoon() { Flush(); }
  // Forgets what was appended and is not durable. Only from OnFailed.
  virtual void Discard() = 0;
};

}  // namespace envicutor::standalone
