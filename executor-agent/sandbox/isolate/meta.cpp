#include "executor-agent/sandbox/isolate/meta.h"

#include <charconv>
#include <limits>

namespace envicutor::agent::isolate {
namespace {

constexpr int64_t kMicros = 1'000'000;
constexpr int kMaxExitCode = 255;
constexpr int kMaxSignal = 64;

bool ParseWhole(std::string_view text, int64_t max, int64_t* value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value);
  return error == std::errc() && end == text.data() + text.size() && *value >= 0 && *value <= max;
}

// "12.345": seconds with up to six digits behind the point.
bool ParseSeconds(std::string_view text, int64_t* micros) {
  const size_t point = text.find('.');
  int64_t whole = 0;
  if (!ParseWhole(text.substr(0, point), std::numeric_limits<int64_t>::max() / kMicros - 1, &whole))
    return false;
  *micros = whole * kMicros;
  if (point == std::string_view::npos) return true;
  const std::string_view digits = text.substr(point + 1);
  if (digits.empty() || digits.size() > 6) return false;
  int64_t unit = kMicros;
  for (const char digit : digits) {
    if (digit < '0' || digit > '9') return false;
    unit /= 10;
    *micros += (digit - '0') * unit;
  }
  return true;
}

bool ParseSmall(std::string_view text, int max, std::optional<int>* value) {
  int64_t number = 0;
  if (!ParseWhole(text, max, &number)) return false;
  // isolate says only once how a program ended; an interrupt may come before it.
  if (!value->has_value()) *value = static_cast<int>(number);
  return true;
}

bool ParseFlag(std::string_view text, bool* flag) {
  *flag = *flag || text == "1";
  return text == "0" || text == "1";
}

bool Take(std::string_view key, std::string_view value, Meta* meta) {
  if (key == "exitcode") return ParseSmall(value, kMaxExitCode, &meta->exit_code);
  if (key == "exitsig") return ParseSmall(value, kMaxSignal, &meta->exit_signal);
  if (key == "killed") return ParseFlag(value, &meta->killed);
  if (key == "cg-oom-killed") return ParseFlag(value, &meta->oom_killed);
  if (key == "time") return ParseSeconds(value, &meta->cpu_micros);
  if (key == "time-wall") return ParseSeconds(value, &meta->wall_micros);
  if (key == "cg-mem") {
    int64_t kib = 0;
    if (!ParseWhole(value, std::numeric_limits<int64_t>::max() >> 10, &kib)) return false;
    meta->memory_bytes = kib << 10;
    return true;
  }
  if (key == "status") {
    if (meta->status.empty()) meta->status = value;
  } else if (key == "message") {
    if (meta->message.empty()) meta->message = value;
  } else {
    meta->others.emplace_back(key, value);
  }
  return true;
}

}  // namespace

Result<Meta> ParseMeta(std::string_view text) {
  if (text.size() > kMaxMetaBytes) return InvalidArgument("isolate's meta file is too big");
  if (text.find('\0') != std::string_view::npos)
    return InvalidArgument("isolate's meta file has a NUL byte");
  Meta meta;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.empty()) continue;
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos || colon == 0 ||
        !Take(line.substr(0, colon), line.substr(colon + 1), &meta)) {
      return InvalidArgument("isolate's meta file has the line \"" + std::string(line) + "\"");
    }
  }
  return meta;
}

bool VersionAtLeast(std::string_view output, int major, int minor) {
  constexpr std::string_view kPrefix = "The process isolator ";
  if (!output.starts_with(kPrefix)) return false;
  output.remove_prefix(kPrefix.size());
  int has_major = 0;
  int has_minor = 0;
  const char* const end = output.data() + output.size();
  const auto first = std::from_chars(output.data(), end, has_major);
  if (first.ec != std::errc() || first.ptr == end || *first.ptr != '.') return false;
  if (std::from_chars(first.ptr + 1, end, has_minor).ec != std::errc()) return false;
  return has_major > major || (has_major == major && has_minor >= minor);
}

}  // namespace envicutor::agent::isolate
