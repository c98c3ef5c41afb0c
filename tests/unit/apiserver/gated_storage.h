// A storage that is durable when it is told so.
#pragma once

#include "standalone/apiserver/core/storage.h"

namespace envicutor::standalone {

// One thread at a time.
class GatedStorage final : public Storage {
 public:
  Result<StorageContent> Open(StorageListener* listener) override {
    listener_ = listener;
    return StorageContent{};
  }
  void Append(StorageWrite write) override { last_ = write.revision; }
  // A writer that waits is counted and let through, or refused.
  void Flush() override {
    ++waited;
    if (refuses) {
      Fail();
    } else {
      Durable();
    }
  }
  void FlushSoon() override { ++asked; }
  void Discard() override {}

  void Durable() { DurableUpTo(last_); }
  void DurableUpTo(uint64_t revision) { listener_->OnDurable(revision); }
  void Fail() { listener_->OnFailed(ResourceExhausted("disk full")); }

  bool refuses = false;
  int waited = 0;
  int asked = 0;

 private:
  StorageListener* listener_ = nullptr;
  uint64_t last_ = 0;
};

}  // namespace envicutor::standalone
