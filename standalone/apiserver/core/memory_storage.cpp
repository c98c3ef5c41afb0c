#include "standalone/apiserver/core/memory_storage.h"

namespace envicutor::standalone {

Result<StorageContent> MemoryStorage::Open(StorageListener* listener) {
  const std::lock_guard lock(mutex_);
  listener_ = listener;
  waiting_.clear();
  StorageContent content;
  content.revision = revision_;
  content.last_change = last_change_;
  for (const auto& [key, object] : objects_) content.objects.push_back(object);
  return content;
}

void MemoryStorage::Append(StorageWrite write) {
  const std::lock_guard lock(mutex_);
  waiting_.push_back(std::move(write));
}

void MemoryStorage::Flush() {
  StorageListener* listener = nullptr;
  Status failure;
  uint64_t durable = 0;
  {
    const std::lock_guard lock(mutex_);
    listener = listener_;
    std::swap(failure, next_failure_);
    if (failure.ok()) {
      for (StorageWrite& write : waiting_) {
        revision_ = write.revision;
        last_change_[write.resource] = write.revision;
        const auto key = std::make_pair(write.resource, write.key);
        if (write.object == nullptr) {
          objects_.erase(key);
        } else {
          objects_[key] = {write.resource, write.key, write.revision, write.object->Text()};
        }
      }
      waiting_.clear();
    }
    durable = revision_;
  }
  if (failure.ok()) {
    listener->OnDurable(durable);
  } else {
    listener->OnFailed(failure);
  }
}

void MemoryStorage::Discard() {
  const std::lock_guard lock(mutex_);
  waiting_.clear();
}

void MemoryStorage::FailNextFlush(Status status) {
  const std::lock_guard lock(mutex_);
  next_failure_ = std::move(status);
}

}  // namespace envicutor::standalone
