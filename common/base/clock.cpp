#include "common/base/clock.h"

namespace envicutor {
namespace {

using std::chrono::duration_cast;
using std::chrono::seconds;

// "2026-01-01T00:00:00", ".000000" with `micros`, "Z". By hand, as each line of a log has one:
// gmtime_r locks the time zone, and strftime and printf read their formats.
std::string Format(WallTime time, bool micros) {
  const auto second = std::chrono::floor<seconds>(time);
  const auto day = std::chrono::floor<std::chrono::days>(second);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(second - day);
  std::string text = "0000-00-00T00:00:00Z";
  const auto write = [&text](size_t at, size_t digits, auto value) {
    auto rest = static_cast<uint64_t>(value);
    for (; digits > 0; --digits, rest /= 10) {
      text[at + digits - 1] = static_cast<char>('0' + rest % 10);
    }
  };
  write(0, 4, static_cast<int>(date.year()));
  write(5, 2, static_cast<unsigned>(date.month()));
  write(8, 2, static_cast<unsigned>(date.day()));
  write(11, 2, clock.hours().count());
  write(14, 2, clock.minutes().count());
  write(17, 2, clock.seconds().count());
  if (micros) {
    text.replace(19, 1, ".000000Z");
    write(20, 6, duration_cast<std::chrono::microseconds>(time - second).count());
  }
  return text;
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

std::string FormatRfc3339(WallTime time) { return Format(time, false); }

std::string FormatRfc3339Micro(WallTime time) { return Format(time, true); }

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
