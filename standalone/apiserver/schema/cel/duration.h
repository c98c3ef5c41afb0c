// Durations as Go and CEL write them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/status.h"

namespace envicutor::standalone::schema::cel {

// "1h30m", "-1.5s", "100ms", "0" to nanoseconds. InvalidArgument as Go says it.
[[nodiscard]] Result<int64_t> ParseGoDuration(std::string_view text);
// CEL's string(duration): seconds, "90s", "1.5s".
[[nodiscard]] std::string FormatDurationSeconds(int64_t nanos);

}  // namespace envicutor::standalone::schema::cel
