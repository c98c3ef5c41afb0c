// Kubernetes quantities inside CEL: exact decimal arithmetic on mantissa * 10^exponent.
#pragma once

#include <string>
#include <string_view>

#include "common/base/status.h"

namespace envicutor::standalone::schema::cel {

// Exact, within what a quantity may be: at most 2^63-1 in magnitude, nanos at the finest.
struct Quantity {
  __extension__ typedef __int128 Nanos;
  Nanos nanos = 0;  // value * 10^9
};

// "1.5Gi", "100m", "1e3", "-2": InvalidArgument in Kubernetes' words.
[[nodiscard]] Result<Quantity> ParseQuantity(std::string_view text);
[[nodiscard]] int Compare(const Quantity& a, const Quantity& b);

}  // namespace envicutor::standalone::schema::cel
