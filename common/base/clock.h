// Time as a dependency: production uses SystemClock, tests a FakeClock that they move.
#pragma once

#include <chrono>
#include <mutex>
#include <string>

#include "common/base/status.h"

namespace envicutor {

using Duration = std::chrono::nanoseconds;
using SteadyTime = std::chrono::steady_clock::time_point;  // for intervals and deadlines
using WallTime = std::chrono::time_point<std::chrono::system_clock, Duration>;  // for timestamps

// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual SteadyTime Now() const = 0;
  [[nodiscard]] virtual WallTime WallNow() const = 0;
};

class SystemClock final : public Clock {
 public:
  [[nodiscard]] SteadyTime Now() const override { return std::chrono::steady_clock::now(); }
  [[nodiscard]] WallTime WallNow() const override { return std::chrono::system_clock::now(); }
};

// Starts at 2026-01-01T00:00:00Z and moves only when told. Thread-safe.
class FakeClock final : public Clock {
 public:
  [[nodiscard]] SteadyTime Now() const override;
  [[nodiscard]] WallTime WallNow() const override;
  void Advance(Duration by);

 private:
  mutable std::mutex mutex_;
  Duration elapsed_{};
};

// RFC 3339 in UTC as Kubernetes writes it: metav1.Time has seconds ("2026-01-01T00:00:00Z"),
// metav1.MicroTime six digits of fraction. ParseRfc3339 takes both, and numeric offsets.
[[nodiscard]] std::string FormatRfc3339(WallTime time);
[[nodiscard]] std::string FormatRfc3339Micro(WallTime time);
[[nodiscard]] Result<WallTime> ParseRfc3339(std::string_view text);

}  // namespace envicutor
