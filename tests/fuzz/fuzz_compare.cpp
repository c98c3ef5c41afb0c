// Output comparison: a program's output against an expectation, both any bytes.
#include <algorithm>
#include <string>
#include <string_view>

#include "executor-agent/run/compare.h"
#include "tests/fuzz/target.h"

using envicutor::agent::FirstDifference;

FUZZ_TARGET(fuzz_compare) {
  const std::string_view text = data;
  const size_t half = text.find('\xff');
  const std::string_view left = text.substr(0, half);
  const std::string_view right = half == std::string_view::npos ? left : text.substr(half + 1);
  CHECK(!FirstDifference(left, left, false) && !FirstDifference(left, left, true),
        "differs from itself");
  CHECK(FirstDifference(left, right, false) == FirstDifference(right, left, false),
        "not symmetric");
  if (!FirstDifference(left, right, true)) CHECK(left == right, "exact is not exact");
  const std::string padded = std::string(left) + " \t\r\n\n";
  CHECK(!FirstDifference(left, padded, false), "trailing white space counts");
  if (const auto line = FirstDifference(left, right, false)) {
    const auto lines = 1 + std::max(std::count(left.begin(), left.end(), '\n'),
                                    std::count(right.begin(), right.end(), '\n'));
    CHECK(*line >= 1 && *line <= lines, "a line that is not there");
  }
}
