// The built-in defaults and maxima of the three stages.
//
// Defaults suit a judge's ordinary task; maxima let one submission ask for a lot of one executor,
// not for several. Outputs are bounded so that a submission with one run fits into its status
// (size_budget.h).
#include "operator/options.h"

namespace envicutor::op {
namespace {

using api::Limit;

constexpr int64_t kKi = 1024;
constexpr int64_t kMi = 1024 * kKi;
constexpr int64_t kGi = 1024 * kMi;
constexpr int64_t kSecond = 1000;

api::Limits Make(std::initializer_list<std::pair<Limit, int64_t>> values) {
  api::Limits limits;
  for (const auto& [limit, value] : values) limits.Set(limit, value);
  return limits;
}

}  // namespace

StageLimitOptions BuiltInRunLimits() {
  return {Make({{Limit::kCpuTime, 5 * kSecond},
                {Limit::kExtraTime, 0},
                {Limit::kWallTime, 10 * kSecond},
                {Limit::kMemory, 256 * kMi},
                {Limit::kMaxProcesses, 64},
                {Limit::kMaxOpenFiles, 256},
                {Limit::kMaxFileSize, 64 * kMi},
                {Limit::kMaxDisk, 256 * kMi},
                {Limit::kStack, 64 * kMi},
                {Limit::kMaxStdout, 256 * kKi},
                {Limit::kMaxStderr, 64 * kKi}}),
          Make({{Limit::kCpuTime, 60 * kSecond},
                {Limit::kExtraTime, 60 * kSecond},
                {Limit::kWallTime, 60 * kSecond},
                {Limit::kMemory, 2 * kGi},
                {Limit::kMaxProcesses, 1024},
                {Limit::kMaxOpenFiles, 4096},
                {Limit::kMaxFileSize, kGi},
                {Limit::kMaxDisk, 2 * kGi},
                {Limit::kStack, 2 * kGi},
                {Limit::kMaxStdout, kMi},
                {Limit::kMaxStderr, kMi}})};
}

StageLimitOptions BuiltInCompileLimits() {
  return {Make({{Limit::kCpuTime, 30 * kSecond},
                {Limit::kExtraTime, 0},
                {Limit::kWallTime, 60 * kSecond},
                {Limit::kMemory, 512 * kMi},
                {Limit::kMaxProcesses, 256},
                {Limit::kMaxOpenFiles, 1024},
                {Limit::kMaxFileSize, 256 * kMi},
                {Limit::kMaxDisk, 512 * kMi},
                {Limit::kStack, 256 * kMi},
                {Limit::kMaxStdout, 64 * kKi},
                {Limit::kMaxStderr, 64 * kKi}}),
          Make({{Limit::kCpuTime, 300 * kSecond},
                {Limit::kExtraTime, 300 * kSecond},
                {Limit::kWallTime, 600 * kSecond},
                {Limit::kMemory, 4 * kGi},
                {Limit::kMaxProcesses, 1024},
                {Limit::kMaxOpenFiles, 4096},
                {Limit::kMaxFileSize, 2 * kGi},
                {Limit::kMaxDisk, 4 * kGi},
                {Limit::kStack, 4 * kGi},
                {Limit::kMaxStdout, kMi},
                {Limit::kMaxStderr, kMi}})};
}

StageLimitOptions BuiltInExtractLimits() {
  const api::Limits limits = Make({{Limit::kCpuTime, 10 * kSecond},
                                   {Limit::kExtraTime, 0},
                                   {Limit::kWallTime, 20 * kSecond},
                                   {Limit::kMemory, 128 * kMi},
                                   {Limit::kMaxProcesses, 8},
                                   {Limit::kMaxOpenFiles, 256},
                                   {Limit::kMaxFileSize, 256 * kMi},
                                   {Limit::kMaxDisk, 256 * kMi},
                                   {Limit::kStack, 64 * kMi},
                                   {Limit::kMaxStdout, 64 * kKi},
                                   {Limit::kMaxStderr, 64 * kKi}});
  return {limits, limits};
}

}  // namespace envicutor::op
