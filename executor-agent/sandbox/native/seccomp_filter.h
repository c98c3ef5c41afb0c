// The system-call filter of every program in a box: what has no business there fails with an error
// (the program goes on), so that a hole in it is out of reach.
#pragma once

#include <linux/filter.h>

#include <vector>

#include "common/base/status.h"

namespace envicutor::agent::native {

// Whom a filter is for: a program, or an isolate that is to start one (and to which the calls stay
// that make its box; it has a filter of its own for its program, on top of this one).
enum class FilterFor { kProgram, kIsolate };

// Compiled once. Default: allowed; refused calls and why are in seccomp_filter.cpp. Calls of other
// ABIs (i386, x32) and calls newer than the list was written for fail with ENOSYS. `pinned`: a
// program must not leave the CPU it was given.
[[nodiscard]] Result<std::vector<sock_filter>> CompileSeccompFilter(
    bool pinned = false, FilterFor whom = FilterFor::kProgram);

}  // namespace envicutor::agent::native
