// Starting the container's command and describing its end; used on the host and in a machine.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "standalone/node/plan.h"

namespace envicutor::standalone {

// Blocks SIGCHLD, SIGTERM, SIGINT and gives a signalfd for them (close-on-exec, non-blocking).
[[nodiscard]] Result<int> SignalFd();

// The command in a session of its own, PATH searched, with plan's environment and working folder,
// and descriptors above 2 closed but those `kept`. `before_exec` runs in the child. Returns when
// exec worked; else its error, with NotFound for a command that is not there.
[[nodiscard]] Result<pid_t> StartCommand(const LaunchPlan& plan,
                                         const std::function<Status()>& before_exec,
                                         const std::vector<int>& kept = {});

// As `wait_status` of waitpid says.
[[nodiscard]] InitEvent ExitEvent(int wait_status);

// Reaps whatever has ended; true when `main_pid` was among them, with its status.
[[nodiscard]] bool ReapUntilMain(pid_t main_pid, int* wait_status);

// All of `text`, or gives up at the first error: who reads is gone then.
void WriteAll(int fd, std::string_view text);

}  // namespace envicutor::standalone
