#include "standalone/apiserver/schema/cel/duration.h"

#include <array>

namespace envicutor::standalone::schema::cel {
namespace {

__extension__ typedef __int128 Wide;

struct Unit {
  std::string_view text;
  int64_t nanos;
};
// Longest first where one begins another.
constexpr std::array<Unit, 8> kUnits = {{{"ns", 1},
                                         {"us", 1'000},
                                         {"\u00b5s", 1'000},
                                         {"\u03bcs", 1'000},
                                         {"ms", 1'000'000},
                                         {"s", 1'000'000'000},
                                         {"m", 60'000'000'000},
                                         {"h", 3'600'000'000'000}}};

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

Result<int64_t> ParseGoDuration(std::string_view text) {
  const Status bad =
      InvalidArgument("time: invalid duration \"" + std::string(text.substr(0, 64)) + "\"");
  std::string_view rest = text;
  const bool negative = rest.starts_with("-");
  if (negative || rest.starts_with("+")) rest.remove_prefix(1);
  if (rest == "0") return int64_t{0};
  if (rest.empty() || rest.size() > 128) return bad;
  Wide total = 0;
  while (!rest.empty()) {
    Wide whole = 0;
    Wide fraction = 0;
    Wide scale = 1;
    size_t digits = 0;
    while (!rest.empty() && IsDigit(rest.front())) {
      whole = whole * 10 + (rest.front() - '0');
      if (whole > INT64_MAX) return bad;
      rest.remove_prefix(1);
      ++digits;
    }
    if (rest.starts_with(".")) {
      rest.remove_prefix(1);
      while (!rest.empty() && IsDigit(rest.front())) {
        if (scale < 1'000'000'000'000) {
          fraction = fraction * 10 + (rest.front() - '0');
          scale *= 10;
        }
        rest.remove_prefix(1);
        ++digits;
      }
    }
    if (digits == 0) return bad;
    int64_t unit_nanos = 0;
    for (const Unit& unit : kUnits) {
      if (!rest.starts_with(unit.text)) continue;
      unit_nanos = unit.nanos;
      rest.remove_prefix(unit.text.size());
      break;
    }
    if (unit_nanos == 0) return bad;
    total += whole * unit_nanos + fraction * unit_nanos / scale;
    if (total > INT64_MAX) return bad;
  }
  return static_cast<int64_t>(negative ? -total : total);
}

std::string FormatDurationSeconds(int64_t nanos) {
  constexpr int64_t kSecond = 1'000'000'000;
  std::string out = nanos < 0 ? "-" : "";
  const auto magnitude = nanos < 0 ? -static_cast<uint64_t>(nanos) : static_cast<uint64_t>(nanos);
  out += std::to_string(magnitude / kSecond);
  if (const uint64_t fraction = magnitude % kSecond; fraction != 0) {
    std::string digits = std::to_string(fraction);
    digits.insert(0, 9 - digits.size(), '0');
    digits.erase(digits.find_last_not_of('0') + 1);
    out += "." + digits;
  }
  return out + "s";
}

}  // namespace envicutor::standalone::schema::cel
