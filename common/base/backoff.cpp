#include "common/base/backoff.h"

#include <algorithm>

namespace envicutor {

Backoff::Backoff(Duration base, Duration max, uint64_t seed)
    : base_(base), max_(max), random_(seed != 0 ? seed : std::random_device{}()) {}

Duration Backoff::Next() {
  constexpr int kMaxShift = 62;
  // In floating point, where the product cannot overflow.
  const double raw = static_cast<double>(base_.count()) *
                     static_cast<double>(int64_t{1} << std::min(attempts_, kMaxShift));
  ++attempts_;
  const double nanos = std::min(raw, static_cast<double>(max_.count()));
  return Duration(
      static_cast<int64_t>(nanos * std::uniform_real_distribution<>(0.5, 1.5)(random_)));
}

}  // namespace envicutor
