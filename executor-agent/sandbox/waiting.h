// Waiting with the exactness of the limits that are kept by it.
#pragma once

#include <poll.h>

#include <cstddef>
#include <cstdint>

namespace envicutor::agent {

inline constexpr int64_t kSecondNanos = 1'000'000'000;

// CLOCK_MONOTONIC.
[[nodiscard]] int64_t NowNanos();
// poll(2) for at most `nanos`, which is not negative.
[[nodiscard]] int Poll(pollfd* fds, size_t count, int64_t nanos);

}  // namespace envicutor::agent
