// client-go's workqueue: keys are deduplicated while they wait, never worked on by two workers at
// once, and come back if added while in work. Failures back off per key (5 ms × 2 up to 60 s) under
// one overall rate. Metrics workqueue_* are kept when a registry is given (common/metrics).
// Thread-safe.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "common/base/clock.h"

namespace envicutor::metrics {
class Registry;
}  // namespace envicutor::metrics

namespace envicutor::kube {

class WorkQueue {
 public:
  // What the worker on a key asked for that key, on its own thread, since it took it.
  enum class Again { kNo, kAtOnce, kLater };  // nothing; Add; AddAfter, and no Add

  virtual ~WorkQueue() = default;
  virtual void Add(const std::string& key) = 0;
  // A key that already waits for an earlier time keeps that time.
  virtual void AddAfter(const std::string& key, Duration delay) = 0;
  virtual void Undelay(const std::string& key) = 0;  // takes AddAfter back, when it is not due yet
  virtual void AddRateLimited(const std::string& key) = 0;  // after a failure
  virtual void Forget(const std::string& key) = 0;  // after a success: its backoff starts anew
  // Blocks; nullopt after ShutDown. The caller calls Done(key) when it has worked on it.
  [[nodiscard]] virtual std::optional<std::string> Get() = 0;
  // Get without blocking: nullopt when no key is ready at the clock's time.
  [[nodiscard]] virtual std::optional<std::string> TryGet() = 0;
  // When the next delayed key becomes ready: for those who move a fake clock.
  [[nodiscard]] virtual std::optional<SteadyTime> NextReady() const = 0;
  // Of a key in work, by the thread that took it, before Done.
  [[nodiscard]] virtual Again AskedAgain(const std::string& key) const = 0;
  virtual void Done(const std::string& key) = 0;
  virtual void ShutDown() = 0;
  [[nodiscard]] virtual size_t Length() const = 0;  // ready keys, without delayed ones
};

struct WorkQueueOptions {
  Duration base_delay = std::chrono::milliseconds(5);
  Duration max_delay = std::chrono::seconds(60);
  double rate_per_second = 100;  // of AddRateLimited, all keys together
  double burst = 1000;
  metrics::Registry* registry = nullptr;  // outlives the queue
  const Clock* clock = nullptr;  // nullptr: the system's. Get() waits in real time in any case
};

[[nodiscard]] std::unique_ptr<WorkQueue> NewWorkQueue(const std::string& name,
                                                      const WorkQueueOptions& options = {});

}  // namespace envicutor::kube
