// Numbers that a load run collects, and how they are shown.
#pragma once

#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/json.h"

namespace envicutor::load {

[[nodiscard]] double MillisOf(Duration duration);

// {"count", "mean", "p50", "p90", "p99", "max"} with the unit of `values`; nearest rank. No values:
// {"count": 0}.
[[nodiscard]] Json Summary(std::vector<double> values);

// Rounded to three digits after the point, so that reports can be read.
[[nodiscard]] double Rounded(double value);

// An object as lines "path.to.member  value", in its own order.
[[nodiscard]] std::string ReportTable(const Json& report);

}  // namespace envicutor::load
