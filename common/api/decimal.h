// Exact decimal numbers as people write them, scaled to integers: no double is involved, so that
// "0.1" times 1000 is 100 and 2^63 is refused rather than rounded.
#pragma once

#include <cstdint>
#include <string_view>

#include "common/base/status.h"

namespace envicutor::api {

struct Decimal {
  std::string_view digits;  // without leading zeros of the integer part, the point left in: "12.50"
  int exponent = 0;         // power of ten it is multiplied by
};

// Reads the longest decimal number ("12", "1.5", ".5", "1e-3" when `allow_exponent`) from the start
// of
// `*text` and removes it. InvalidArgument when there is none. No sign.
[[nodiscard]] Result<Decimal> TakeDecimal(std::string_view* text, bool allow_exponent);

// number * scale, rounded up to an integer. ResourceExhausted when it is over `max`. scale is at
// most 2^60.
[[nodiscard]] Result<int64_t> ScaleUp(const Decimal& number, uint64_t scale, int64_t max);

}  // namespace envicutor::api
