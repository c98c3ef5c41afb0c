// A rate for writes that may wait (progress, positions), so that they never crowd out results.
// Callers reserve a time and come back then. Thread-safe.
#pragma once

#include <mutex>

#include "common/base/clock.h"

namespace envicutor::op {

class WriteBudget {
 public:
  explicit WriteBudget(Duration interval, int burst) : interval_(interval), burst_(burst) {}

  // The time at which the caller may write; now or later. It is the caller's alone.
  [[nodiscard]] SteadyTime Reserve(SteadyTime now) {
    const std::lock_guard lock(mutex_);
    const SteadyTime earliest = now - interval_ * burst_;
    if (next_ < earliest) next_ = earliest;
    const SteadyTime slot = next_;
    next_ += interval_;
    return slot < now ? now : slot;
  }

  // For writes that are left out rather than waited for: true when one may be made now.
  [[nodiscard]] bool Take(SteadyTime now) {
    const std::lock_guard lock(mutex_);
    const SteadyTime earliest = now - interval_ * burst_;
    if (next_ < earliest) next_ = earliest;
    if (next_ > now) return false;
    next_ += interval_;
    return true;
  }

 private:
  std::mutex mutex_;
  Duration interval_;
  int burst_;
  SteadyTime next_{};
};

}  // namespace envicutor::op
