#include "standalone/apiserver/schema/cel/quantity.h"

#include "common/base/quantity_suffixes.h"

namespace envicutor::standalone::schema::cel {
namespace {

using Nanos = Quantity::Nanos;
constexpr Nanos kNanosPerUnit = 1'000'000'000;
constexpr Nanos kMax = Nanos{INT64_MAX} * kNanosPerUnit;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// "e3", "E-2" to a power of ten; false when it is not one.
bool ParseExponent(std::string_view text, int* exponent) {
  if (text.size() < 2 || (text[0] != 'e' && text[0] != 'E')) return false;
  text.remove_prefix(1);
  const bool negative = text.starts_with("-");
  if (negative || text.starts_with("+")) text.remove_prefix(1);
  if (text.empty() || text.size() > 3) return false;
  int value = 0;
  for (const char c : text) {
    if (!IsDigit(c)) return false;
    value = value * 10 + (c - '0');
  }
  *exponent = negative ? -value : value;
  return true;
}

// value * numerator / denominator, away from zero, capped as Kubernetes caps.
Nanos Cap(Nanos value) { return value > kMax ? kMax : value; }

}  // namespace

Result<Quantity> ParseQuantity(std::string_view text) {
  const Status bad = InvalidArgument(
      "quantities must match the regular expression "
      "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'");
  if (text.size() > 64) return bad;
  std::string_view rest = text;
  const bool negative = rest.starts_with("-");
  if (negative || rest.starts_with("+")) rest.remove_prefix(1);
  // Digits as an integer and how many of them stand behind the point; those that could only matter
  // below a nano or above the cap are dropped.
  Nanos mantissa = 0;
  int scale = 0;
  int digits = 0;
  bool point = false;
  bool lost = false;
  size_t i = 0;
  for (; i < rest.size() && (IsDigit(rest[i]) || (rest[i] == '.' && !point)); ++i) {
    if (rest[i] == '.') {
      point = true;
      continue;
    }
    ++digits;
    if (mantissa > kMax / 10) {
      lost = lost || rest[i] != '0';
      if (!point) ++scale;
      continue;
    }
    mantissa = mantissa * 10 + (rest[i] - '0');
    if (point) --scale;
  }
  if (digits == 0) return bad;
  const std::string_view unit = rest.substr(i);
  int binary_shift = 0;
  bool known = false;
  for (const QuantitySuffix& suffix : kQuantitySuffixes) {
    if (suffix.text != unit) continue;
    scale += suffix.decimal_exponent;
    binary_shift = suffix.binary_shift;
    known = true;
    break;
  }
  int exponent = 0;
  if (!known) {
    if (!ParseExponent(unit, &exponent)) return bad;
    scale += exponent;
  }
  Nanos value = mantissa;
  for (; binary_shift >= 10; binary_shift -= 10) value = Cap(value * 1024);
  for (scale += 9; scale > 0 && value < kMax; --scale) value = Cap(value * 10);
  if (value == 0) scale = 0;
  for (; scale < 0 && value != 0; ++scale) {
    lost = lost || value % 10 != 0;
    value /= 10;
  }
  if (lost && value < kMax) ++value;  // Kubernetes rounds up to the next nano
  Quantity quantity;
  quantity.nanos = negative ? -value : value;
  return quantity;
}

int Compare(const Quantity& a, const Quantity& b) {
  return a.nanos < b.nanos ? -1 : a.nanos > b.nanos ? 1 : 0;
}

}  // namespace envicutor::standalone::schema::cel
