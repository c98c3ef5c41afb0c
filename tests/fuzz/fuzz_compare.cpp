// Output comparison: a program's output against an expectation, both any bytes.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/check.h"
#include "executor-agent/run/compare.h"

using envicutor::agent::FirstDifference;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
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
  return 0;
}
