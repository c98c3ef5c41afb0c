// size, type conversions, optionals.
#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>

#include "common/base/clock.h"
#include "common/base/encoding.h"
#include "standalone/apiserver/schema/cel/duration.h"
#include "standalone/apiserver/schema/cel/functions.h"

namespace envicutor::standalone::schema::cel {
namespace {

constexpr double kTwoTo63 = 9223372036854775808.0;
constexpr double kTwoTo64 = 18446744073709551616.0;

Value Same(const Arguments& args, int64_t* /*budget*/) { return args[0]; }

Value SizeOfText(const Arguments& args, int64_t* budget) {
  *budget -= static_cast<int64_t>(args[0].text.size() / 10);
  return IntValue(CodePoints(args[0].text));
}
Value SizeOfBytes(const Arguments& args, int64_t* /*budget*/) {
  return IntValue(static_cast<int64_t>(args[0].text.size()));
}
Value SizeOfAggregate(const Arguments& args, int64_t* /*budget*/) {
  return IntValue(static_cast<int64_t>(Size(args[0])));
}

Value IntFromUint(const Arguments& args, int64_t* /*budget*/) {
  if (args[0].uinteger > uint64_t{INT64_MAX}) return ErrorValue("integer overflow");
  return IntValue(static_cast<int64_t>(args[0].uinteger));
}
Value IntFromDouble(const Arguments& args, int64_t* /*budget*/) {
  const double d = args[0].number;
  if (!(d > -kTwoTo63 && d < kTwoTo63)) return ErrorValue("integer overflow");
  return IntValue(static_cast<int64_t>(d));
}
Value IntFromString(const Arguments& args, int64_t* /*budget*/) {
  std::string_view text = args[0].text;
  if (text.starts_with("+")) text.remove_prefix(1);
  int64_t value = 0;
  const auto [ptr, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (ec != std::errc() || ptr != text.data() + text.size()) {
    return ErrorValue("type conversion error from 'string' to 'int'");
  }
  return IntValue(value);
}
Value IntFromTimestamp(const Arguments& args, int64_t* /*budget*/) {
  constexpr int64_t kSecond = 1'000'000'000;
  const int64_t nanos = args[0].integer;
  return IntValue(nanos / kSecond - (nanos % kSecond < 0 ? 1 : 0));
}

Value UintFromInt(const Arguments& args, int64_t* /*budget*/) {
  if (args[0].integer < 0) return ErrorValue("unsigned integer overflow");
  return UintValue(static_cast<uint64_t>(args[0].integer));
}
Value UintFromDouble(const Arguments& args, int64_t* /*budget*/) {
  const double d = args[0].number;
  if (!(d >= 0 && d < kTwoTo64)) return ErrorValue("unsigned integer overflow");
  return UintValue(static_cast<uint64_t>(d));
}
Value UintFromString(const Arguments& args, int64_t* /*budget*/) {
  const std::string_view text = args[0].text;
  uint64_t value = 0;
  const auto [ptr, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (ec != std::errc() || ptr != text.data() + text.size()) {
    return ErrorValue("type conversion error from 'string' to 'uint'");
  }
  return UintValue(value);
}

Value DoubleFromInt(const Arguments& args, int64_t* /*budget*/) {
  return DoubleValue(static_cast<double>(args[0].integer));
}
Value DoubleFromUint(const Arguments& args, int64_t* /*budget*/) {
  return DoubleValue(static_cast<double>(args[0].uinteger));
}
Value DoubleFromString(const Arguments& args, int64_t* /*budget*/) {
  const std::string text(args[0].text.substr(0, 400));
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (text.empty() || end != text.c_str() + args[0].text.size()) {
    return ErrorValue("type conversion error from 'string' to 'double'");
  }
  return DoubleValue(value);
}

Value BoolFromString(const Arguments& args, int64_t* /*budget*/) {
  const std::string_view text = args[0].text;
  for (const std::string_view yes : {"1", "t", "true", "TRUE", "True"}) {
    if (text == yes) return BoolValue(true);
  }
  for (const std::string_view no : {"0", "f", "false", "FALSE", "False"}) {
    if (text == no) return BoolValue(false);
  }
  return ErrorValue("type conversion error from 'string' to 'bool'");
}

Value StringFromInt(const Arguments& args, int64_t* /*budget*/) {
  return StringValue(std::to_string(args[0].integer));
}
Value StringFromUint(const Arguments& args, int64_t* /*budget*/) {
  return StringValue(std::to_string(args[0].uinteger));
}
Value StringFromDouble(const Arguments& args, int64_t* /*budget*/) {
  std::array<char, 64> buffer{};
  const auto [ptr, ec] =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), args[0].number);
  return StringValue(ec == std::errc() ? std::string(buffer.data(), ptr) : "");
}
Value StringFromBool(const Arguments& args, int64_t* /*budget*/) {
  return StringValue(args[0].boolean ? "true" : "false");
}
Value StringFromBytes(const Arguments& args, int64_t* budget) {
  *budget -= static_cast<int64_t>(args[0].text.size() / 10);
  if (!IsUtf8(args[0].text)) return ErrorValue("invalid UTF-8 in bytes, cannot convert to string");
  return StringValue(std::string(args[0].text));
}
Value StringFromDuration(const Arguments& args, int64_t* /*budget*/) {
  return StringValue(FormatDurationSeconds(args[0].integer));
}
Value StringFromTimestamp(const Arguments& args, int64_t* /*budget*/) {
  return StringValue(FormatRfc3339(WallTime(Duration(args[0].integer))));
}
Value BytesFromString(const Arguments& args, int64_t* budget) {
  *budget -= static_cast<int64_t>(args[0].text.size() / 10);
  return BytesValue(std::string(args[0].text));
}

Value DurationFromString(const Arguments& args, int64_t* /*budget*/) {
  const Result<int64_t> nanos = ParseGoDuration(args[0].text);
  return nanos.ok() ? DurationValue(*nanos) : ErrorValue(nanos.status().message());
}
Value TimestampFromString(const Arguments& args, int64_t* /*budget*/) {
  const Result<WallTime> time = ParseRfc3339(args[0].text);
  if (!time.ok()) return ErrorValue("type conversion error from 'string' to 'timestamp'");
  return TimestampValue(time->time_since_epoch().count());
}
Value TimestampFromInt(const Arguments& args, int64_t* /*budget*/) {
  constexpr int64_t kMaxSeconds = INT64_MAX / 1'000'000'000;
  const int64_t seconds = args[0].integer;
  if (seconds > kMaxSeconds || seconds < -kMaxSeconds) return ErrorValue("timestamp overflow");
  return TimestampValue(seconds * 1'000'000'000);
}

Value TypeOf(const Arguments& args, int64_t* /*budget*/) {
  return TypeValue(KindName(args[0].kind));
}

Value HasValue(const Arguments& args, int64_t* /*budget*/) {
  return BoolValue(args[0].inner != nullptr);
}
Value ValueOf(const Arguments& args, int64_t* /*budget*/) {
  return args[0].inner != nullptr ? *args[0].inner : ErrorValue("optional.none() dereference");
}
Value OrValue(const Arguments& args, int64_t* /*budget*/) {
  return args[0].inner != nullptr ? *args[0].inner : args[1];
}
Value Or(const Arguments& args, int64_t* /*budget*/) {
  return args[0].inner != nullptr ? args[0] : args[1];
}

constexpr Overload kTable[] = {
    {"size", false, "s", 'i', SizeOfText},
    {"size", false, "y", 'i', SizeOfBytes},
    {"size", false, "l", 'i', SizeOfAggregate},
    {"size", false, "m", 'i', SizeOfAggregate},
    {"size", true, "s", 'i', SizeOfText},
    {"size", true, "y", 'i', SizeOfBytes},
    {"size", true, "l", 'i', SizeOfAggregate},
    {"size", true, "m", 'i', SizeOfAggregate},
    {"int", false, "i", 'i', Same},
    {"int", false, "u", 'i', IntFromUint},
    {"int", false, "d", 'i', IntFromDouble},
    {"int", false, "s", 'i', IntFromString},
    {"int", false, "T", 'i', IntFromTimestamp},
    {"uint", false, "u", 'u', Same},
    {"uint", false, "i", 'u', UintFromInt},
    {"uint", false, "d", 'u', UintFromDouble},
    {"uint", false, "s", 'u', UintFromString},
    {"double", false, "d", 'd', Same},
    {"double", false, "i", 'd', DoubleFromInt},
    {"double", false, "u", 'd', DoubleFromUint},
    {"double", false, "s", 'd', DoubleFromString},
    {"bool", false, "b", 'b', Same},
    {"bool", false, "s", 'b', BoolFromString},
    {"string", false, "s", 's', Same},
    {"string", false, "i", 's', StringFromInt},
    {"string", false, "u", 's', StringFromUint},
    {"string", false, "d", 's', StringFromDouble},
    {"string", false, "b", 's', StringFromBool},
    {"string", false, "y", 's', StringFromBytes},
    {"string", false, "D", 's', StringFromDuration},
    {"string", false, "T", 's', StringFromTimestamp},
    {"bytes", false, "y", 'y', Same},
    {"bytes", false, "s", 'y', BytesFromString},
    {"duration", false, "D", 'D', Same},
    {"duration", false, "s", 'D', DurationFromString},
    {"timestamp", false, "T", 'T', Same},
    {"timestamp", false, "s", 'T', TimestampFromString},
    {"timestamp", false, "i", 'T', TimestampFromInt},
    {"type", false, "*", 't', TypeOf},
    {"dyn", false, "*", 'x', Same},
    {"hasValue", true, "o", 'b', HasValue},
    {"value", true, "o", 'v', ValueOf},
    {"orValue", true, "o*", 'v', OrValue},
    {"or", true, "oo", 'O', Or},
};

}  // namespace

std::span<const Overload> ConversionFunctions() { return kTable; }

}  // namespace envicutor::standalone::schema::cel
