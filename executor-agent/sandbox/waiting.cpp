#include "executor-agent/sandbox/waiting.h"

#include <ctime>

namespace envicutor::agent {

int64_t NowNanos() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * kSecondNanos + now.tv_nsec;
}

int Poll(pollfd* fds, size_t count, int64_t nanos) {
  const timespec wait{nanos / kSecondNanos, nanos % kSecondNanos};
  return ::ppoll(fds, count, &wait, nullptr);
}

}  // namespace envicutor::agent
