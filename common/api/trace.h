// One trace id for all that happens for a submission, from apply to result: in the operator's log,
// on the way to the executor-agent (the header `traceparent`) and in the agent's log.
#pragma once

#include <string>
#include <string_view>

#include "common/api/run.h"
#include "common/base/log.h"

namespace envicutor::api {

// Annotation of a Submission: 32 lower-case hex digits, or a whole W3C traceparent, of the caller's
// own trace. Anything else is ignored.
inline constexpr const char* kTraceAnnotation = "envicutor.io/trace-id";
inline constexpr const char* kTraceparentHeader = "traceparent";

// 32 lower-case hex digits, not all 0: `wished` (the annotation's value, or a traceparent header's)
// where it is one, else the uid without its dashes, else a hash of the uid.
[[nodiscard]] std::string TraceIdFor(std::string_view wished, std::string_view uid);

// "00-TRACE-SPAN-01" with a new span (W3C Trace Context, level 1).
[[nodiscard]] std::string Traceparent(const std::string& trace_id);

// What every log line about a submission begins with: namespace, name, uid, attempt, traceId.
[[nodiscard]] log::Context LogContext(const RunRequest& request);
[[nodiscard]] log::Context LogContext(const std::string& ns, const std::string& name,
                                      const std::string& uid, int64_t attempt,
                                      const std::string& trace_id);

}  // namespace envicutor::api
