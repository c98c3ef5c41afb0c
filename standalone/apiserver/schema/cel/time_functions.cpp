// Parts of timestamps (UTC) and durations.
#include <ctime>

#include "standalone/apiserver/schema/cel/functions.h"

namespace envicutor::standalone::schema::cel {
namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kMinute = 60 * kSecond;
constexpr int64_t kHour = 60 * kMinute;

std::tm Parts(const Value& timestamp) {
  int64_t seconds = timestamp.integer / kSecond;
  if (timestamp.integer % kSecond < 0) --seconds;
  const std::time_t time = seconds;
  std::tm parts{};
  (void)gmtime_r(&time, &parts);
  return parts;
}

template <int std::tm::*kMember, int kOffset>
Value Part(const Arguments& args, int64_t* /*budget*/) {
  return IntValue(Parts(args[0]).*kMember + kOffset);
}
Value TimeMillis(const Arguments& args, int64_t* /*budget*/) {
  const int64_t nanos = ((args[0].integer % kSecond) + kSecond) % kSecond;
  return IntValue(nanos / 1'000'000);
}

Value Hours(const Arguments& args, int64_t* /*budget*/) {
  return IntValue(args[0].integer / kHour);
}
Value Minutes(const Arguments& args, int64_t* /*budget*/) {
  return IntValue(args[0].integer / kMinute);
}
Value Seconds(const Arguments& args, int64_t* /*budget*/) {
  return IntValue(args[0].integer / kSecond);
}
Value Millis(const Arguments& args, int64_t* /*budget*/) {
  return IntValue(args[0].integer / 1'000'000);
}

constexpr Overload kTable[] = {
    {"getFullYear", true, "T", 'i', Part<&std::tm::tm_year, 1900>},
    {"getMonth", true, "T", 'i', Part<&std::tm::tm_mon, 0>},
    {"getDayOfYear", true, "T", 'i', Part<&std::tm::tm_yday, 0>},
    {"getDate", true, "T", 'i', Part<&std::tm::tm_mday, 0>},
    {"getDayOfMonth", true, "T", 'i', Part<&std::tm::tm_mday, -1>},
    {"getDayOfWeek", true, "T", 'i', Part<&std::tm::tm_wday, 0>},
    {"getHours", true, "T", 'i', Part<&std::tm::tm_hour, 0>},
    {"getMinutes", true, "T", 'i', Part<&std::tm::tm_min, 0>},
    {"getSeconds", true, "T", 'i', Part<&std::tm::tm_sec, 0>},
    {"getMilliseconds", true, "T", 'i', TimeMillis},
    {"getHours", true, "D", 'i', Hours},
    {"getMinutes", true, "D", 'i', Minutes},
    {"getSeconds", true, "D", 'i', Seconds},
    {"getMilliseconds", true, "D", 'i', Millis},
};

}  // namespace

std::span<const Overload> TimeFunctions() { return kTable; }

}  // namespace envicutor::standalone::schema::cel
