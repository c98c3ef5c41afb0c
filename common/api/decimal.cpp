#include "common/api/decimal.h"

#include <algorithm>
#include <string>

namespace envicutor::api {
namespace {

__extension__ using Wide = unsigned __int128;

constexpr size_t kMaxIntegerDigits = 19;  // INT64_MAX has 19
constexpr int kMaxExponent = 1000;        // beyond it the answer is the same: overflow, or one

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

size_t DigitsAt(std::string_view text, size_t from) {
  size_t end = from;
  while (end < text.size() && IsDigit(text[end])) ++end;
  return end - from;
}

// The digits of a number split at its true point, exponent applied.
struct Split {
  std::string integer;   // no leading zeros
  std::string fraction;  // no trailing zeros
};

Split SplitAtPoint(const Decimal& number) {
  const size_t point = number.digits.find('.');
  std::string all(number.digits.substr(0, point));
  int position = static_cast<int>(std::min<size_t>(all.size(), 1U << 20U)) + number.exponent;
  if (point != std::string_view::npos) all += number.digits.substr(point + 1);
  Split split;
  if (all.find_first_not_of('0') == std::string::npos) return split;  // zero: no exponent matters
  if (position < 0) {
    split.fraction = std::string(static_cast<size_t>(-position), '0') + all;
  } else if (static_cast<size_t>(position) >= all.size()) {
    split.integer = all + std::string(static_cast<size_t>(position) - all.size(), '0');
  } else {
    split.integer = all.substr(0, static_cast<size_t>(position));
    split.fraction = all.substr(static_cast<size_t>(position));
  }
  split.integer.erase(0, std::min(split.integer.find_first_not_of('0'), split.integer.size()));
  split.fraction.erase(split.fraction.find_last_not_of('0') + 1);
  return split;
}

uint64_t ToInteger(std::string_view digits) {
  uint64_t value = 0;
  for (const char c : digits) value = value * 10 + static_cast<uint64_t>(c - '0');
  return value;
}

}  // namespace

Result<Decimal> TakeDecimal(std::string_view* text, bool allow_exponent) {
  const size_t whole = DigitsAt(*text, 0);
  size_t end = whole;
  size_t fraction = 0;
  if (end < text->size() && (*text)[end] == '.') {
    fraction = DigitsAt(*text, end + 1);
    end += 1 + fraction;
  }
  if (whole + fraction == 0) return InvalidArgument("there is no number");
  Decimal number{text->substr(0, end), 0};
  if (allow_exponent && end < text->size() && ((*text)[end] == 'e' || (*text)[end] == 'E')) {
    size_t at = end + 1;
    bool negative = false;
    if (at < text->size() && ((*text)[at] == '+' || (*text)[at] == '-')) {
      negative = (*text)[at] == '-';
      ++at;
    }
    // "1E" alone is one exa, not an exponent.
    if (const size_t digits = DigitsAt(*text, at); digits > 0) {
      const std::string_view exponent = text->substr(at, digits);
      const size_t zeros = std::min(exponent.find_first_not_of('0'), exponent.size());
      const int value =
          exponent.size() - zeros > 4
              ? kMaxExponent
              : std::min(kMaxExponent, static_cast<int>(ToInteger(exponent.substr(zeros))));
      number.exponent = negative ? -value : value;
      end = at + digits;
    }
  }
  text->remove_prefix(end);
  return number;
}

Result<int64_t> ScaleUp(const Decimal& number, uint64_t scale, int64_t max) {
  const Split split = SplitAtPoint(number);
  if (split.integer.size() > kMaxIntegerDigits) return ResourceExhausted("too large");
  // From the last digit on: each step divides by ten, and what is dropped only decides the
  // rounding.
  uint64_t part = 0;  // below scale, so digit * scale + part fits
  bool rest = false;
  for (auto digit = split.fraction.rbegin(); digit != split.fraction.rend(); ++digit) {
    part += static_cast<uint64_t>(*digit - '0') * scale;
    rest = rest || part % 10 != 0;
    part /= 10;
  }
  // At most 10^19 * 2^60 + 2^60: 124 bits.
  const Wide value = Wide{ToInteger(split.integer)} * scale + part + (rest ? 1U : 0U);
  if (value > static_cast<Wide>(max)) return ResourceExhausted("too large");
  return static_cast<int64_t>(value);
}

}  // namespace envicutor::api
