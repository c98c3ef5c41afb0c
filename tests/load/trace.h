// Where the time of a Submission goes, from the logs of the operator (at level debug) and of an
// executor-agent on the same machine (the same clock).
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "common/base/clock.h"
#include "common/base/json.h"
#include "common/base/status.h"

namespace envicutor::load {

// The moments of one Submission in their order; kMoments of trace.cpp names them.
inline constexpr size_t kMomentCount = 10;
struct Moments {
  WallTime at[kMomentCount] = {};  // zero: not known
};

// What the generator saw itself.
enum : size_t { kCreateSent = 0, kCreateAcknowledged = 1, kSeenByClient = 9 };

// Adds the moments that a log tells of, for the Submissions in `moments` (by name).
[[nodiscard]] Status ReadMoments(const std::string& log_path,
                                 std::unordered_map<std::string, Moments>* moments);

// {"createSent to createAcknowledged": Summary, ...} in milliseconds, each from the moment before
// it that is known.
[[nodiscard]] Json StepSummaries(const std::unordered_map<std::string, Moments>& moments);

}  // namespace envicutor::load
