// Quantities (Kubernetes' resource.Quantity) and durations (Go's time.ParseDuration, and bare
// seconds).
#include <algorithm>
#include <array>
#include <string>

#include "common/api/decimal.h"
#include "common/api/limits.h"
#include "common/base/quantity_suffixes.h"

namespace envicutor::api {
namespace {

constexpr size_t kMaxTextBytes = 64;
constexpr int64_t kNanosPerMilli = 1'000'000;
// Nanoseconds of any accepted duration fit an int64_t: whoever converts need not check again.
constexpr int64_t kMaxDurationMillis = INT64_MAX / kNanosPerMilli;

struct Unit {
  std::string_view text;
  uint64_t nanos;
};
constexpr std::array<Unit, 8> kUnits = {{{"ns", 1},
                                         {"us", 1'000},
                                         {"\u00b5s", 1'000},  // micro sign
                                         {"\u03bcs", 1'000},  // Greek mu
                                         {"ms", 1'000'000},
                                         {"s", 1'000'000'000},
                                         {"m", 60'000'000'000},
                                         {"h", 3'600'000'000'000}}};

std::string Quoted(std::string_view text) {
  std::string shown(text.substr(0, kMaxTextBytes));
  if (text.size() > kMaxTextBytes) shown += "...";
  return '"' + shown + '"';
}

Status NotAQuantity(std::string_view text) {
  return InvalidArgument(Quoted(text) + " is not a quantity (examples: 256Mi, 1G, 4096)");
}
Status NotADuration(std::string_view text) {
  return InvalidArgument(Quoted(text) + " is not a duration (examples: 1500ms, 2s, 1m30s)");
}

// Removes a sign. A minus is refused by name, so that nobody searches for the mistake elsewhere.
Status TakeSign(std::string_view text, std::string_view* rest) {
  *rest = text;
  if (text.empty()) return OkStatus();
  if (text.front() == '-') return InvalidArgument(Quoted(text) + " must not be negative");
  if (text.front() == '+') rest->remove_prefix(1);
  return OkStatus();
}

}  // namespace

Result<int64_t> ParseQuantity(std::string_view text) {
  if (text.size() > kMaxTextBytes) return NotAQuantity(text);
  std::string_view rest;
  ENVICUTOR_RETURN_IF_ERROR(TakeSign(text, &rest));
  Result<Decimal> number = TakeDecimal(&rest, /*allow_exponent=*/true);
  if (!number.ok()) return NotAQuantity(text);
  // A suffix and an exponent together are refused, as Kubernetes does.
  if (number->exponent != 0 && !rest.empty()) return NotAQuantity(text);
  const auto* const suffix = std::find_if(kQuantitySuffixes.begin(), kQuantitySuffixes.end(),
                                          [&](const QuantitySuffix& s) { return s.text == rest; });
  if (suffix == kQuantitySuffixes.end()) return NotAQuantity(text);
  number->exponent += suffix->decimal_exponent;
  Result<int64_t> value = ScaleUp(*number, uint64_t{1} << suffix->binary_shift, INT64_MAX);
  if (!value.ok()) return InvalidArgument(Quoted(text) + " is too large: the most is 2^63-1");
  return value;
}

Result<int64_t> ParseDurationMillis(std::string_view text) {
  if (text.size() > kMaxTextBytes) return NotADuration(text);
  std::string_view rest;
  ENVICUTOR_RETURN_IF_ERROR(TakeSign(text, &rest));
  const Status too_large = InvalidArgument(Quoted(text) + " is too large: the most is " +
                                           FormatDurationMillis(kMaxDurationMillis));
  {
    std::string_view bare = rest;
    const Result<Decimal> seconds = TakeDecimal(&bare, /*allow_exponent=*/true);
    if (!seconds.ok()) return NotADuration(text);
    if (bare.empty()) {
      const Result<int64_t> millis = ScaleUp(*seconds, 1000, kMaxDurationMillis);
      return millis.ok() ? millis : Result<int64_t>(too_large);
    }
  }
  int64_t nanos = 0;
  constexpr int64_t kMaxNanos = kMaxDurationMillis * kNanosPerMilli;
  while (!rest.empty()) {
    const Result<Decimal> number = TakeDecimal(&rest, /*allow_exponent=*/false);
    if (!number.ok()) return NotADuration(text);
    const size_t length = std::min(rest.find_first_of("0123456789."), rest.size());
    const std::string_view name = rest.substr(0, length);
    const auto* const unit =
        std::find_if(kUnits.begin(), kUnits.end(), [&](const Unit& u) { return u.text == name; });
    if (unit == kUnits.end()) return NotADuration(text);
    rest.remove_prefix(length);
    const Result<int64_t> part = ScaleUp(*number, unit->nanos, kMaxNanos - nanos);
    if (!part.ok()) return too_large;
    nanos += *part;
  }
  return (nanos + kNanosPerMilli - 1) / kNanosPerMilli;
}

std::string FormatDurationMillis(int64_t millis) {
  constexpr int64_t kSecond = 1000;
  constexpr int64_t kMinute = 60 * kSecond;
  constexpr int64_t kHour = 60 * kMinute;
  if (millis % kSecond != 0 || millis < 0) return std::to_string(millis) + "ms";
  if (millis == 0) return "0s";
  std::string out;
  if (millis >= kHour) out += std::to_string(millis / kHour) + 'h';
  if (millis % kHour >= kMinute) out += std::to_string(millis % kHour / kMinute) + 'm';
  if (millis % kMinute != 0) out += std::to_string(millis % kMinute / kSecond) + 's';
  return out;
}

std::string FormatQuantity(int64_t bytes) {
  if (bytes > 0) {
    for (auto suffix = kQuantitySuffixes.rbegin(); suffix != kQuantitySuffixes.rend(); ++suffix) {
      if (suffix->binary_shift == 0) break;
      const int64_t unit = int64_t{1} << suffix->binary_shift;
      if (bytes % unit == 0) return std::to_string(bytes / unit) + std::string(suffix->text);
    }
  }
  return std::to_string(bytes);
}

}  // namespace envicutor::api
