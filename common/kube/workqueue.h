// client-go's workqueue: keys are deduplicated while they wait, never worked on by two workers at
// once, and come back if added while in work. Failures back off per key (5 ms × 2 up to 60 s) under
// one overall rate. Metrics workqueue_* are kept when a registry is given (common/metrics).
// Thread-safe.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "common/base/clock.h"

namespace envicutor::kube {

class WorkQueue {
 public:
  virtual ~WorkQueue() = default;
  virtual void Add(const std::string& key) = 0;
  virtual void AddAfter(const std::string& key, Duration delay) = 0;
  virtual void AddRateLimited(const std::string& key) = 0;  // after a failure
  virtual void Forget(const std::string& key) = 0;  // after a success: its backoff starts anew
  // Blocks; nullopt after ShutDown. The caller calls Done(key) when it has worked on it.
  [[nodiscard]] virtual std::optional<std::string> Get() = 0;
  virtual void Done(const std::string& key) = 0;
  virtual void ShutDown() = 0;
  [[nodiscard]] virtual size_t Length() const = 0;
};

[[nodiscard]] std::unique_ptr<WorkQueue> NewWorkQueue(std::string name);

}  // namespace envicutor::kube
