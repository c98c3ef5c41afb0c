// PID 1 of a session: starts the daemon, runs the steps one after the other, tells the parent how
// they went.
#pragma once

#include "executor-agent/builder/session.h"

namespace envicutor::agent {

// What PID 1 writes to its control pipe: one JSON object a line.
//   {"step": "evaluate"}                                   begins
//   {"step": "evaluate", "code": 1, "signal": 0}           ended, and it failed
//   {"done": true, "storePath": ..., "pathInfo": ...}
//   {"error": "..."}                                       the session could not be made
[[noreturn]] void RunSessionInit(const SessionSpec& spec, int control_fd, int log_fd);

}  // namespace envicutor::agent
