// The limits of a stage, and the quantities and durations people write them in (docs/api.md,
// Limits).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/json.h"
#include "common/base/status.h"

namespace envicutor::api {

// "256Mi", "1.5Gi", "100k", "1e6", 4096 -> bytes (rounded up). InvalidArgument names the text.
[[nodiscard]] Result<int64_t> ParseQuantity(std::string_view text);
// "1500ms", "2s", "1m30s", "0.5", "2" (seconds) -> milliseconds, rounded up. No negative ones.
[[nodiscard]] Result<int64_t> ParseDurationMillis(std::string_view text);
// The shortest usual form: "1500ms" -> "1500ms", 2000 -> "2s", 90000 -> "1m30s"; 268435456 ->
// "256Mi".
[[nodiscard]] std::string FormatDurationMillis(int64_t millis);
[[nodiscard]] std::string FormatQuantity(int64_t bytes);

// One name each; kLimitFields in limits.cpp maps it to JSON name, unit and member, so that merging,
// checking, parsing and printing are loops over one table.
enum class Limit {
  kCpuTime,
  kExtraTime,
  kWallTime,  // milliseconds
  kMemory,    // bytes, the whole process tree, no swap
  kMaxProcesses,
  kMaxOpenFiles,  // counts
  kMaxFileSize,
  kMaxDisk,
  kStack,
  kMaxStdout,
  kMaxStderr,  // bytes
};
inline constexpr size_t kLimitCount = 11;
enum class LimitUnit { kMillis, kBytes, kCount };
[[nodiscard]] std::string_view LimitName(Limit limit);  // "cpuTime"
[[nodiscard]] LimitUnit UnitOf(Limit limit);
[[nodiscard]] std::string FormatLimit(Limit limit, int64_t value);

// Absent ones are nullopt until resolved; after ResolveLimits all are set.
class Limits {
 public:
  [[nodiscard]] std::optional<int64_t> Get(Limit limit) const {
    return values_[static_cast<size_t>(limit)];
  }
  // The value of a resolved limit; CHECKs that it is set.
  [[nodiscard]] int64_t Value(Limit limit) const;
  void Set(Limit limit, std::optional<int64_t> value) {
    values_[static_cast<size_t>(limit)] = value;
  }
  bool operator==(const Limits&) const = default;

 private:
  std::array<std::optional<int64_t>, kLimitCount> values_;
};

// From a spec (`run.limits`): quantities and durations as strings or numbers. All mistakes are
// listed, each with `path`: "run.limits.memory: \"12Qi\" is not a quantity".
[[nodiscard]] Limits ParseLimits(const Json& object, std::string_view path,
                                 std::vector<std::string>* errors);
// Integers in milliseconds and bytes, for the wire between operator and agent.
[[nodiscard]] Json LimitsToJson(const Limits& limits);
[[nodiscard]] Result<Limits> LimitsFromJson(const Json& object);

// Submission over runtime over system default; each value is then checked against the runtime's and
// the system's maximum (the smaller counts). Appends every violation to `errors`:
// "run.limits.wallTime: 120s is more than the maximum 60s". `chain` is from strongest to weakest. A
// value that comes from the weakest of several (the system's default, which nobody asked for) is
// lowered to the maximum instead of refused.
[[nodiscard]] Limits ResolveLimits(const std::vector<Limits>& chain,
                                   const std::vector<Limits>& maxima, std::string_view path,
                                   std::vector<std::string>* errors);

}  // namespace envicutor::api
