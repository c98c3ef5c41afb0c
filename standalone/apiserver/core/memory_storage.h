// Storage that keeps nothing but can be opened again: for the simulation and for tests, whose API
// server "crashes" by dropping the Store and opening a new one on the same MemoryStorage.
#pragma once

#include <map>
#include <mutex>
#include <utility>

#include "standalone/apiserver/core/storage.h"

namespace envicutor::standalone {

// Thread-safe.
class MemoryStorage final : public Storage {
 public:
  [[nodiscard]] Result<StorageContent> Open(StorageListener* listener) override;
  void Append(StorageWrite write) override;
  void Flush() override;
  void Discard() override;
  // The next Flush fails with `status`, as a full disk would.
  void FailNextFlush(Status status);

 private:
  std::mutex mutex_;
  StorageListener* listener_ = nullptr;
  std::vector<StorageWrite> waiting_;
  std::map<std::pair<std::string, std::string>, StoredObject> objects_;
  std::map<std::string, uint64_t> last_change_;
  uint64_t revision_ = 0;
  Status next_failure_;
};

}  // namespace envicutor::standalone
