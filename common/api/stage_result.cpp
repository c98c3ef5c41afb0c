#include "common/api/stage_result.h"

#include <algorithm>
#include <array>
#include <utility>

#include "common/api/wire.h"

namespace envicutor::api {
namespace {

constexpr std::array<std::pair<ExitStatus, std::string_view>, 7> kNames = {{
    {ExitStatus::kOk, "OK"},
    {ExitStatus::kRuntimeError, "RE"},
    {ExitStatus::kSignaled, "SG"},
    {ExitStatus::kTimeLimit, "TO"},
    {ExitStatus::kMemoryLimit, "ML"},
    {ExitStatus::kOutputLimit, "OL"},
    {ExitStatus::kSandboxError, "XX"},
}};

Status ReadSmallInt(const Json& object, std::string_view key, int64_t max,
                    std::optional<int>* out) {
  if (At(object, {key}).is_null()) return OkStatus();
  int64_t value = 0;
  ENVICUTOR_RETURN_IF_ERROR(wire::ReadBoundedInt(object, key, 0, max, &value));
  *out = static_cast<int>(value);
  return OkStatus();
}

}  // namespace

std::string_view ExitStatusName(ExitStatus status) {
  for (const auto& [value, name] : kNames) {
    if (value == status) return name;
  }
  return "XX";
}

Json StageResultToJson(const StageResult& result) {
  Json object = {
      {"exitStatus", ExitStatusName(result.exit_status)},
      {"stdoutTruncated", result.stdout_truncated},
      {"stderrTruncated", result.stderr_truncated},
      {"stdoutBytes", result.stdout_bytes},
      {"stderrBytes", result.stderr_bytes},
      {"cpuTimeMillis", result.cpu_time_millis},
      {"wallTimeMillis", result.wall_time_millis},
      {"memoryBytes", result.memory_bytes},
      {"oomKilled", result.oom_killed},
  };
  if (result.exit_code) object["exitCode"] = *result.exit_code;
  if (result.exit_signal) object["exitSignal"] = *result.exit_signal;
  if (!result.exit_message.empty()) object["exitMessage"] = result.exit_message;
  if (!result.limit.empty()) object["limit"] = result.limit;
  wire::PutBytes(object, "stdout", "stdoutEncoding", result.stdout_data);
  wire::PutBytes(object, "stderr", "stderrEncoding", result.stderr_data);
  return object;
}

Result<StageResult> StageResultFromJson(const Json& object) {
  if (!object.is_object()) return InvalidArgument("a stage result must be an object");
  StageResult result;
  std::string status = "OK";
  ENVICUTOR_RETURN_IF_ERROR(ReadString(object, "exitStatus", &status));
  const auto* const known = std::find_if(kNames.begin(), kNames.end(),
                                         [&](const auto& entry) { return entry.second == status; });
  if (known == kNames.end()) {
    return InvalidArgument("field \"exitStatus\": \"" + status.substr(0, 32) + "\" is unknown");
  }
  result.exit_status = known->first;
  ENVICUTOR_RETURN_IF_ERROR(ReadSmallInt(object, "exitCode", 255, &result.exit_code));
  ENVICUTOR_RETURN_IF_ERROR(ReadSmallInt(object, "exitSignal", 64, &result.exit_signal));
  ENVICUTOR_RETURN_IF_ERROR(
      wire::ReadBoundedString(object, "exitMessage", wire::kMaxTextBytes, &result.exit_message));
  ENVICUTOR_RETURN_IF_ERROR(wire::ReadBoundedString(object, "limit", 64, &result.limit));
  ENVICUTOR_RETURN_IF_ERROR(
      wire::ReadBytes(object, "stdout", "stdoutEncoding", &result.stdout_data));
  ENVICUTOR_RETURN_IF_ERROR(
      wire::ReadBytes(object, "stderr", "stderrEncoding", &result.stderr_data));
  ENVICUTOR_RETURN_IF_ERROR(ReadBool(object, "stdoutTruncated", &result.stdout_truncated));
  ENVICUTOR_RETURN_IF_ERROR(ReadBool(object, "stderrTruncated", &result.stderr_truncated));
  ENVICUTOR_RETURN_IF_ERROR(ReadBool(object, "oomKilled", &result.oom_killed));
  const std::array<std::pair<std::string_view, int64_t*>, 5> numbers = {{
      {"stdoutBytes", &result.stdout_bytes},
      {"stderrBytes", &result.stderr_bytes},
      {"cpuTimeMillis", &result.cpu_time_millis},
      {"wallTimeMillis", &result.wall_time_millis},
      {"memoryBytes", &result.memory_bytes},
  }};
  for (const auto& [key, out] : numbers) {
    ENVICUTOR_RETURN_IF_ERROR(wire::ReadBoundedInt(object, key, 0, INT64_MAX, out));
  }
  return result;
}

}  // namespace envicutor::api
