#include <array>
#include <utility>

#include "common/api/run.h"

namespace envicutor::api {
namespace {

constexpr std::array<std::pair<Verdict, std::string_view>, 12> kNames = {{
    {Verdict::kNone, ""},
    {Verdict::kAccepted, "Accepted"},
    {Verdict::kWrongAnswer, "WrongAnswer"},
    {Verdict::kRuntimeError, "RuntimeError"},
    {Verdict::kSignaled, "Signaled"},
    {Verdict::kTimeLimitExceeded, "TimeLimitExceeded"},
    {Verdict::kMemoryLimitExceeded, "MemoryLimitExceeded"},
    {Verdict::kOutputLimitExceeded, "OutputLimitExceeded"},
    {Verdict::kCompileError, "CompileError"},
    {Verdict::kExtractError, "ExtractError"},
    {Verdict::kEnvironmentError, "EnvironmentError"},
    {Verdict::kInternalError, "InternalError"},
}};

}  // namespace

std::string_view VerdictName(Verdict verdict) {
  for (const auto& [value, name] : kNames) {
    if (value == verdict) return name;
  }
  return "InternalError";
}

Result<Verdict> VerdictFromName(std::string_view name) {
  for (const auto& [value, known] : kNames) {
    if (known == name) return value;
  }
  return InvalidArgument("verdict \"" + std::string(name.substr(0, 64)) + "\" is unknown");
}

}  // namespace envicutor::api
