// When to look at a stage's CPU time next: never later than it could be used up, never more often
// than useful. Pure.
#pragma once

#include <algorithm>
#include <cstdint>

namespace envicutor::agent::native {

struct Budget {
  int64_t cpu_micros =
      0;               // of CPU at which the stage is ended: the larger of cpuTime and extraTime
  bool extra = false;  // that was extraTime
  int64_t wall_nanos = 0;
  int64_t parallel = 1;  // CPUs that the stage can use at once

  // How exact a CPU limit is kept: a look costs about 10 microseconds.
  static constexpr int64_t kMinLookNanos = 1'000'000;

  // Nanoseconds until the rest of the budget could be used up on all CPUs at once, at least
  // kMinLookNanos.
  [[nodiscard]] int64_t UntilNextLook(int64_t used_micros) const {
    const int64_t rest = std::max<int64_t>(cpu_micros - used_micros, 0);
    return std::max(rest * 1000 / std::max<int64_t>(parallel, 1), kMinLookNanos);
  }
};

}  // namespace envicutor::agent::native
