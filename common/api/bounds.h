// Bounds of what travels between operator and agent, in one place: the operator refuses what is
// over them with a clear message, the agent refuses it again because it trusts nobody.
#pragma once

#include <cstddef>
#include <cstdint>

namespace envicutor::api {

inline constexpr size_t kMaxRequestBytes = 16U
                                           << 20U;  // body of PUT /v1/runs: JSON, base64 included
inline constexpr size_t kMaxUidBytes = 64;
inline constexpr int64_t kMaxAttempt = 1'000'000;
inline constexpr size_t kMaxNameBytes = 253;  // Kubernetes' own
inline constexpr size_t kMaxFiles = 1024;
inline constexpr size_t kMaxScriptBytes =
    96U << 10U;  // a script is one argument of the shell: the kernel's bound is 128 KiB
inline constexpr size_t kMaxArgs = 256;
inline constexpr size_t kMaxArgBytes = 64U << 10U;
inline constexpr size_t kMaxArgsTotalBytes = 512U << 10U;
inline constexpr size_t kMaxEnvVars = 256;
inline constexpr size_t kMaxEnvNameBytes = 256;
inline constexpr size_t kMaxEnvValueBytes = 64U << 10U;
inline constexpr size_t kMaxTests = 1024;
inline constexpr size_t kMaxOutputFiles = 64;
inline constexpr size_t kMaxOutputFileBytes = 1U << 20U;  // each, then truncated
inline constexpr size_t kMaxOutputFilesTotalBytes =
    1U << 20U;  // together: an object in etcd has at most 1.5 MiB
inline constexpr size_t kMaxMessageBytes = 4096;
inline constexpr size_t kMaxResultBytes = 64U
                                          << 20U;  // a RunResult as JSON, as the operator reads it
inline constexpr size_t kMaxPathBytes = 1024;
inline constexpr size_t kMaxPathPartBytes = 255;

}  // namespace envicutor::api
