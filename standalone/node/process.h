// Processes named so that a recycled pid is never mistaken for them.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>

#include "common/base/status.h"
#include "common/base/unique_fd.h"

namespace envicutor::standalone {

struct ProcessId {
  pid_t pid = 0;
  uint64_t start_ticks = 0;  // field 22 of /proc/PID/stat, since boot
  bool operator==(const ProcessId&) const = default;
};

// nullopt when there is no such process, or a zombie only.
[[nodiscard]] std::optional<uint64_t> StartTicks(pid_t pid);
// A pidfd of exactly that process; invalid when it has ended.
[[nodiscard]] UniqueFd OpenProcess(const ProcessId& process);
// SIGTERM, wait, SIGKILL after `grace`. True when it was there.
bool EndProcess(const ProcessId& process, std::chrono::milliseconds grace);
// Blocks; true when it has ended.
[[nodiscard]] bool WaitForEnd(const UniqueFd& pidfd, std::chrono::milliseconds timeout);
void SendSignal(const UniqueFd& pidfd, int signal);

}  // namespace envicutor::standalone
