// When the next piece of work is due, and threads that do it.
#pragma once

#include <cstdint>
#include <functional>

#include "common/base/clock.h"
#include "common/base/status.h"
#include "tests/load/options.h"

namespace envicutor::load {

// Runs job(i, due) for i in 0..count-1 on `amount.concurrency` threads. Closed loop: the next one
// when one has ended, due is when it starts. Open loop: due comes from a Poisson process of the
// given rate and does not wait for anything: when all threads are busy the job starts late, and
// its latency counts from `due` all the same. The first failure ends it, and is returned.
// DeadlineExceeded after amount.seconds.
[[nodiscard]] Status RunPaced(const Amount& amount,
                              const std::function<Status(int64_t i, SteadyTime due)>& job);

}  // namespace envicutor::load
