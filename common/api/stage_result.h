// StageResult of docs/api.md, as the agent makes it and the operator records it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "common/base/json.h"
#include "common/base/status.h"

namespace envicutor::api {

enum class ExitStatus {
  kOk,
  kRuntimeError,
  kSignaled,
  kTimeLimit,
  kMemoryLimit,
  kOutputLimit,
  kSandboxError
};
// "OK" "RE" "SG" "TO" "ML" "OL" "XX"
[[nodiscard]] std::string_view ExitStatusName(ExitStatus status);

struct StageResult {
  ExitStatus exit_status = ExitStatus::kOk;
  std::optional<int> exit_code;  // absent when a signal ended it
  std::optional<int> exit_signal;
  std::string exit_message;  // a sentence: "killed by signal 9 (SIGKILL)"
  std::string stdout_data;   // raw bytes, cut to the limit (never inside a UTF-8 character)
  std::string stderr_data;
  bool stdout_truncated = false;
  bool stderr_truncated = false;
  int64_t stdout_bytes = 0;  // all that was written, as far as it was read
  int64_t stderr_bytes = 0;
  int64_t cpu_time_millis = 0;
  int64_t wall_time_millis = 0;
  int64_t memory_bytes = 0;  // peak of the control group
  bool oom_killed = false;
  std::string limit;  // name of the limit that was hit, or ""
};

// As in status: stdoutEncoding "base64" where the bytes are not UTF-8. The same form on the wire.
[[nodiscard]] Json StageResultToJson(const StageResult& result);
[[nodiscard]] Result<StageResult> StageResultFromJson(const Json& object);

}  // namespace envicutor::api
