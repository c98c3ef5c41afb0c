#include "common/base/clock.h"

#include <array>
#include <cstdio>
#include <ctime>

namespace envicutor {
namespace {

using std::chrono::duration_cast;
using std::chrono::seconds;

std::tm UtcParts(WallTime time, int64_t* micros) {
  const auto since_epoch = time.time_since_epoch();
  const auto whole = std::chrono::floor<seconds>(since_epoch);
  *micros = duration_cast<std::chrono::microseconds>(since_epoch - whole).count();
  const std::time_t t = static_cast<std::time_t>(whole.count());
  std::tm parts{};
  gmtime_r(&t, &parts);
  return parts;
}

}  // namespace

SteadyTime FakeClock::Now() const {
  const std::lock_guard lock(mutex_);
  return SteadyTime(std::chrono::hours(1) + elapsed_);
}

WallTime FakeClock::WallNow() const {
  constexpr int64_t kStart = 1767225600;  // 2026-01-01T00:00:00Z
  const std::lock_guard lock(mutex_);
  return WallTime(seconds(kStart) + elapsed_);
}

void FakeClock::Advance(Duration by) {
  const std::lock_guard lock(mutex_);
  elapsed_ += by;
}

std::string FormatRfc3339(WallTime time) {
  int64_t micros = 0;
  const std::tm parts = UtcParts(time, &micros);
  std::array<char, 64> buffer{};
  const size_t n = std::strftime(buffer.data(), buffer.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return {buffer.data(), n};
}

std::string FormatRfc3339Micro(WallTime time) {
  int64_t micros = 0;
  const std::tm parts = UtcParts(time, &micros);
  std::array<char, 64> buffer{};
  const size_t n = std::strftime(buffer.data(), buffer.size(), "%Y-%m-%dT%H:%M:%S", &parts);
  std::array<char, 32> fraction{};
  std::snprintf(fraction.data(), fraction.size(), ".%06ldZ", static_cast<long>(micros));
  return std::string(buffer.data(), n) + fraction.data();
}

Result<WallTime> ParseRfc3339(std::string_view text) {
  const Status bad = InvalidArgument("\"" + std::string(text.substr(0, 64)) +
                                     "\" is not an RFC 3339 time between the years 1678 and 2262");
  // Fixed columns: strptime would take blanks, signs and single digits.
  if (text.size() < 20 || text.size() > 40) return bad;
  const auto number = [&text](size_t at, size_t digits) {
    int value = 0;
    for (const char c : text.substr(at, digits)) {
      if (c < '0' || c > '9') return -1;
      value = value * 10 + (c - '0');
    }
    return value;
  };
  const auto is = [&text](size_t at, std::string_view any) {
    return at < text.size() && any.find(text[at]) != std::string_view::npos;
  };
  const int year = number(0, 4);
  const int month = number(5, 2);
  const int day = number(8, 2);
  const int hour = number(11, 2);
  const int minute = number(14, 2);
  const int second = number(17, 2);
  if (!is(4, "-") || !is(7, "-") || !is(10, "Tt ") || !is(13, ":") || !is(16, ":")) return bad;
  const std::chrono::year_month_day date{std::chrono::year(year),
                                         std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  // WallTime has nanoseconds in 64 bits; a leap second is the next minute's first.
  if (year < 1678 || year > 2261 || month < 0 || day < 0 || !date.ok() || hour < 0 || hour > 23 ||
      minute < 0 || minute > 59 || second < 0 || second > 60) {
    return bad;
  }
  size_t at = 19;
  Duration fraction{};
  if (is(at, ".")) {
    int64_t unit = 100'000'000;
    if (!is(++at, "0123456789")) return bad;
    for (; is(at, "0123456789"); ++at, unit /= 10) fraction += Duration((text[at] - '0') * unit);
  }
  seconds offset{};
  if (is(at, "+-") && text.size() == at + 6 && text[at + 3] == ':') {
    const int hours = number(at + 1, 2);
    const int minutes = number(at + 4, 2);
    if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59) return bad;
    offset = seconds((hours * 60 + minutes) * 60) * (text[at] == '-' ? -1 : 1);
  } else if (!is(at, "Zz") || text.size() != at + 1) {
    return bad;
  }
  const auto midnight = std::chrono::sys_days(date).time_since_epoch();
  return WallTime(midnight + std::chrono::hours(hour) + std::chrono::minutes(minute) +
                  seconds(second) + fraction - offset);
}

}  // namespace envicutor
