#include "common/api/trace.h"

#include <algorithm>

#include "common/base/encoding.h"

namespace envicutor::api {
namespace {

constexpr size_t kTraceIdDigits = 32;
constexpr size_t kSpanBytes = 8;
constexpr size_t kTraceparentBytes = 55;  // 00-TRACE-SPAN-FLAGS

bool IsTraceId(std::string_view text) {
  const auto is_hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  return text.size() == kTraceIdDigits && std::all_of(text.begin(), text.end(), is_hex) &&
         text.find_first_not_of('0') != std::string_view::npos;
}

}  // namespace

std::string TraceIdFor(std::string_view wished, std::string_view uid) {
  if (wished.size() == kTraceparentBytes && wished[2] == '-' && wished[35] == '-') {
    wished = wished.substr(3, kTraceIdDigits);
  }
  if (IsTraceId(wished)) return std::string(wished);
  std::string digits;
  for (const char c : uid) {
    if (c != '-') digits += c;
  }
  return IsTraceId(digits) ? digits : Sha256Hex(uid).substr(0, kTraceIdDigits);
}

std::string Traceparent(const std::string& trace_id) {
  return "00-" + trace_id + "-" + RandomHex(kSpanBytes) + "-01";
}

log::Context LogContext(const std::string& ns, const std::string& name, const std::string& uid,
                        int64_t attempt, const std::string& trace_id) {
  return {{"namespace", ns},
          {"name", name},
          {"uid", uid},
          {"attempt", std::to_string(attempt)},
          {"traceId", trace_id}};
}

log::Context LogContext(const RunRequest& request) {
  return LogContext(request.ns, request.name, request.uid, request.attempt,
                    TraceIdFor(request.trace_id, request.uid));
}

}  // namespace envicutor::api
