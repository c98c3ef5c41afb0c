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
  std::array<char, 16> fraction{};
  std::snprintf(fraction.data(), fraction.size(), ".%06ldZ", static_cast<long>(micros));
  return std::string(buffer.data(), n) + fraction.data();
}

Result<WallTime> ParseRfc3339(std::string_view text) {
  const std::string copy(text);
  const Status bad = InvalidArgument("\"" + copy + "\" is not an RFC 3339 time");
  if (copy.size() < 20 || copy.size() > 40) return bad;
  std::tm parts{};
  const char* rest = strptime(copy.c_str(), "%Y-%m-%dT%H:%M:%S", &parts);
  if (rest == nullptr) return bad;
  Duration fraction{};
  if (*rest == '.') {
    int64_t unit = 100'000'000;
    ++rest;
    if (*rest < '0' || *rest > '9') return bad;
    for (; *rest >= '0' && *rest <= '9'; ++rest, unit /= 10) {
      fraction += Duration((*rest - '0') * unit);
    }
  }
  seconds offset{};
  if (*rest == 'Z' || *rest == 'z') {
    ++rest;
  } else if (*rest == '+' || *rest == '-') {
    int hours = 0;
    int minutes = 0;
    int used = 0;
    if (std::sscanf(rest + 1, "%2d:%2d%n", &hours, &minutes, &used) != 2 || used != 5) return bad;
    offset = seconds((hours * 60 + minutes) * 60) * (*rest == '-' ? -1 : 1);
    rest += 6;
  } else {
    return bad;
  }
  if (*rest != '\0') return bad;
  return WallTime(seconds(timegm(&parts)) + fraction - offset);
}

}  // namespace envicutor
