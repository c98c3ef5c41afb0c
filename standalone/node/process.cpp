#include "standalone/node/process.h"

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <sstream>
#include <string>

#include "common/base/file.h"

namespace envicutor::standalone {

std::optional<uint64_t> StartTicks(pid_t pid) {
  const Result<std::string> stat = ReadFile("/proc/" + std::to_string(pid) + "/stat", 4096);
  if (!stat.ok()) return std::nullopt;
  // The name in parentheses may hold anything: count from its end. State is the third field.
  const size_t name_end = stat->rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  std::istringstream fields(stat->substr(name_end + 1));
  std::string field;
  std::string state;
  fields >> state;
  if (state == "Z" || state == "X") return std::nullopt;
  for (int number = 4; number <= 22 && fields >> field; ++number) {
  }
  return std::strtoull(field.c_str(), nullptr, 10);
}

UniqueFd OpenProcess(const ProcessId& process) {
  if (process.pid <= 0) return UniqueFd();
  UniqueFd fd(static_cast<int>(::syscall(SYS_pidfd_open, process.pid, 0)));
  // Checked after the descriptor is held: from here on the pid cannot change its meaning.
  if (fd.valid() && StartTicks(process.pid) != process.start_ticks) fd.reset();
  return fd;
}

void SendSignal(const UniqueFd& pidfd, int signal) {
  ::syscall(SYS_pidfd_send_signal, pidfd.get(), signal, nullptr, 0);
}

bool WaitForEnd(const UniqueFd& pidfd, std::chrono::milliseconds timeout) {
  pollfd polled{pidfd.get(), POLLIN, 0};
  return ::poll(&polled, 1, static_cast<int>(timeout.count())) > 0;
}

bool EndProcess(const ProcessId& process, std::chrono::milliseconds grace) {
  const UniqueFd pidfd = OpenProcess(process);
  if (!pidfd.valid()) return false;
  SendSignal(pidfd, SIGTERM);
  if (WaitForEnd(pidfd, grace)) return true;
  SendSignal(pidfd, SIGKILL);
  (void)WaitForEnd(pidfd, std::chrono::seconds(10));
  return true;
}

}  // namespace envicutor::standalone
