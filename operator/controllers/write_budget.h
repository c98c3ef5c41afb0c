// A rate for writes that may wait (progress, positions), so that they never crowd out results.
// Callers reserve a time and come back then. The rate falls with the API server's: at most one of
// these writes is on its way at a time, on average, or a server that is behind would get more
// behind by being told who waits for it. Thread-safe.
#pragma once

#include <algorithm>
#include <chrono>
#include <mutex>

#include "common/base/clock.h"

namespace envicutor::op {

class WriteBudget {
 public:
  // `interval`: between writes when the server is quick. `burst`: so many may be made at once.
  WriteBudget(Duration interval, int burst)
      : least_interval_(interval), burst_(interval * burst), interval_(interval) {}

  // A write to the same server took so long, answered or not.
  void Observe(Duration took) {
    const std::lock_guard lock(mutex_);
    mean_ += (std::clamp(took, Duration::zero(), kLongestInterval) - mean_) / kWeight;
    interval_ = std::max(least_interval_, mean_);
  }

  // The time at which the caller may write; now or later. It is the caller's alone.
  [[nodiscard]] SteadyTime Reserve(SteadyTime now) {
    const std::lock_guard lock(mutex_);
    const SteadyTime earliest = now - burst_;
    if (next_ < earliest) next_ = earliest;
    const SteadyTime slot = next_;
    next_ += interval_;
    return slot < now ? now : slot;
  }

  // For writes that are left out rather than waited for: true when one may be made now.
  [[nodiscard]] bool Take(SteadyTime now) {
    const std::lock_guard lock(mutex_);
    const SteadyTime earliest = now - burst_;
    if (next_ < earliest) next_ = earliest;
    if (next_ > now) return false;
    next_ += interval_;
    return true;
  }

 private:
  // Of a moving mean: one outlier among 16 changes little, a server that has become slow does.
  static constexpr int kWeight = 16;
  // Who waits is told who is before them, even then.
  static constexpr Duration kLongestInterval = std::chrono::seconds(2);

  std::mutex mutex_;
  const Duration least_interval_;
  const Duration burst_;
  Duration interval_;
  Duration mean_{};
  SteadyTime next_{};
};

}  // namespace envicutor::op
