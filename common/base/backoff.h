// Exponential backoff with jitter: delays base, 2·base, … up to max, each times a random factor in
// [0.5, 1.5). Not thread-safe. The seed makes tests repeatable; 0 takes one from the system.
#pragma once

#include <cstdint>
#include <random>

#include "common/base/clock.h"

namespace envicutor {

class Backoff {
 public:
  Backoff(Duration base, Duration max, uint64_t seed = 0);
  [[nodiscard]] Duration Next();
  void Reset() { attempts_ = 0; }

 private:
  Duration base_;
  Duration max_;
  int attempts_ = 0;
  std::mt19937_64 random_;
};

}  // namespace envicutor
