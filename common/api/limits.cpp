#include "common/api/limits.h"

#include <algorithm>
#include <limits>

namespace envicutor::api {
namespace {

struct LimitField {
  Limit limit;
  std::string_view name;
  LimitUnit unit;
  int64_t minimum;  // 0 where "none at all" is a limit one can ask for
  int64_t maximum;  // what the kernel's interfaces take without wrapping
};
constexpr int64_t kMaxMillis = std::numeric_limits<int64_t>::max() / 1'000'000;
constexpr int64_t kMaxBytes = int64_t{1} << 60;
constexpr int64_t kMaxCount = int64_t{1} << 22;  // the kernel's own pid_max
constexpr std::array<LimitField, kLimitCount> kLimitFields = {{
    {Limit::kCpuTime, "cpuTime", LimitUnit::kMillis, 1, kMaxMillis},
    {Limit::kExtraTime, "extraTime", LimitUnit::kMillis, 0, kMaxMillis},
    {Limit::kWallTime, "wallTime", LimitUnit::kMillis, 1, kMaxMillis},
    {Limit::kMemory, "memory", LimitUnit::kBytes, 1, kMaxBytes},
    {Limit::kMaxProcesses, "maxProcesses", LimitUnit::kCount, 1, kMaxCount},
    {Limit::kMaxOpenFiles, "maxOpenFiles", LimitUnit::kCount, 1, kMaxCount},
    {Limit::kMaxFileSize, "maxFileSize", LimitUnit::kBytes, 0, kMaxBytes},
    {Limit::kMaxDisk, "maxDisk", LimitUnit::kBytes, 1, kMaxBytes},
    {Limit::kStack, "stack", LimitUnit::kBytes, 1, kMaxBytes},
    {Limit::kMaxStdout, "maxStdout", LimitUnit::kBytes, 0, kMaxBytes},
    {Limit::kMaxStderr, "maxStderr", LimitUnit::kBytes, 0, kMaxBytes},
}};

constexpr bool InEnumOrder() {
  for (size_t i = 0; i < kLimitCount; ++i) {
    if (static_cast<size_t>(kLimitFields[i].limit) != i) return false;
  }
  return true;
}
static_assert(InEnumOrder(), "kLimitFields is indexed by Limit");

const LimitField& FieldOf(Limit limit) { return kLimitFields[static_cast<size_t>(limit)]; }

std::string CheckRange(const LimitField& field, int64_t value) {
  if (value < field.minimum) {
    return FormatLimit(field.limit, value) + " is less than the minimum " +
           FormatLimit(field.limit, field.minimum);
  }
  if (value > field.maximum) {
    return FormatLimit(field.limit, value) + " is more than the maximum " +
           FormatLimit(field.limit, field.maximum);
  }
  return "";
}

Result<int64_t> ParseCount(std::string_view text) {
  Result<int64_t> value = ParseQuantity(text);
  if (value.ok()) return value;
  return InvalidArgument('"' + std::string(text.substr(0, 64)) + "\" is not a whole number");
}

Result<int64_t> ParseValue(const LimitField& field, const Json& value) {
  // A number's shortest text form ("0.5", "1e+20") goes through the exact parser: no double is
  // scaled.
  std::string text;
  if (value.is_string()) {
    text = value.get<std::string>();
  } else if (value.is_number()) {
    text = DumpJson(value);
  } else {
    return InvalidArgument(field.unit == LimitUnit::kMillis
                               ? "must be a duration (examples: 1500ms, 2s, 1m30s)"
                               : "must be a quantity (examples: 256Mi, 1G, 4096)");
  }
  switch (field.unit) {
    case LimitUnit::kMillis:
      return ParseDurationMillis(text);
    case LimitUnit::kBytes:
      return ParseQuantity(text);
    case LimitUnit::kCount:
      return ParseCount(text);
  }
  return Internal("a limit without a unit");
}

}  // namespace

std::string_view LimitName(Limit limit) { return FieldOf(limit).name; }
LimitUnit UnitOf(Limit limit) { return FieldOf(limit).unit; }

std::string FormatLimit(Limit limit, int64_t value) {
  switch (UnitOf(limit)) {
    case LimitUnit::kMillis:
      // One unit, so that two values can be compared at a glance: "120s is more than the maximum
      // 60s".
      return value % 1000 == 0 && value != 0 ? std::to_string(value / 1000) + 's'
                                             : std::to_string(value) + "ms";
    case LimitUnit::kBytes:
      return FormatQuantity(value);
    case LimitUnit::kCount:
      return std::to_string(value);
  }
  return std::to_string(value);
}

int64_t Limits::Value(Limit limit) const {
  const std::optional<int64_t> value = Get(limit);
  CHECK(value.has_value(), "limit " + std::string(LimitName(limit)) + " is not resolved");
  return *value;
}

Limits ParseLimits(const Json& object, std::string_view path, std::vector<std::string>* errors) {
  Limits limits;
  if (object.is_null()) return limits;
  if (!object.is_object()) {
    errors->push_back(std::string(path) + ": must be an object");
    return limits;
  }
  for (const auto& item : object.items()) {
    const std::string& name = item.key();
    const Json& value = item.value();
    const std::string where = std::string(path) + '.' + name + ": ";
    const auto* const field = std::find_if(kLimitFields.begin(), kLimitFields.end(),
                                           [&](const LimitField& f) { return f.name == name; });
    if (field == kLimitFields.end()) {
      errors->push_back(where + "there is no such limit");
      continue;
    }
    if (value.is_null()) continue;
    const Result<int64_t> parsed = ParseValue(*field, value);
    if (!parsed.ok()) {
      errors->push_back(where + parsed.status().message());
      continue;
    }
    if (std::string problem = CheckRange(*field, *parsed); !problem.empty()) {
      errors->push_back(where + problem);
      continue;
    }
    limits.Set(field->limit, *parsed);
  }
  return limits;
}

Json LimitsToJson(const Limits& limits) {
  Json object = Json::object();
  for (const LimitField& field : kLimitFields) {
    if (const auto value = limits.Get(field.limit)) object[std::string(field.name)] = *value;
  }
  return object;
}

Result<Limits> LimitsFromJson(const Json& object) {
  if (!object.is_object()) return InvalidArgument("limits must be an object");
  Limits limits;
  for (const LimitField& field : kLimitFields) {
    if (At(object, {field.name}).is_null()) continue;
    int64_t value = 0;
    ENVICUTOR_RETURN_IF_ERROR(ReadInt(object, field.name, &value));
    if (std::string problem = CheckRange(field, value); !problem.empty()) {
      return InvalidArgument("field \"" + std::string(field.name) + "\": " + problem);
    }
    limits.Set(field.limit, value);
  }
  return limits;
}

Limits ResolveLimits(const std::vector<Limits>& chain, const std::vector<Limits>& maxima,
                     std::string_view path, std::vector<std::string>* errors) {
  Limits resolved;
  for (const LimitField& field : kLimitFields) {
    const auto source = std::find_if(chain.begin(), chain.end(), [&](const Limits& limits) {
      return limits.Get(field.limit).has_value();
    });
    if (source == chain.end()) continue;
    int64_t value = *source->Get(field.limit);
    std::optional<int64_t> maximum;
    for (const Limits& limits : maxima) {
      const auto one = limits.Get(field.limit);
      if (one && (!maximum || *one < *maximum)) maximum = one;
    }
    if (maximum && value > *maximum) {
      // Nobody asked for the system's default: where a runtime's maximum is below it, the maximum
      // holds.
      const bool is_default = chain.size() > 1 && std::next(source) == chain.end();
      if (!is_default) {
        errors->push_back(std::string(path) + '.' + std::string(field.name) + ": " +
                          FormatLimit(field.limit, value) + " is more than the maximum " +
                          FormatLimit(field.limit, *maximum));
      }
      value = *maximum;
    }
    resolved.Set(field.limit, value);
  }
  return resolved;
}

}  // namespace envicutor::api
