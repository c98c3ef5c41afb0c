#include "common/base/backoff.h"

#include <algorithm>

namespace envicutor {

Backoff::Backoff(Duration base, Duration max, uint64_t seed)
    : base_(base), max_(max), random_(seed != 0 ? seed : std::random_device{}()) {}

Duration Backoff::Next() {
  constexpr int kMaxShift = 30;  // past it the product would overflow; max_ is reached long before
  const Duration raw = base_ * (int64_t{1} << std::min(attempts_, kMaxShift));
  ++attempts_;
  const double jitter = std::uniform_real_distribution<>(0.5, 1.5)(random_);
  const double nanos = static_cast<double>(std::min(raw < base_ ? max_ : raw, max_).count());
  return Duration(static_cast<int64_t>(nanos * jitter));
}

}  // namespace envicutor
