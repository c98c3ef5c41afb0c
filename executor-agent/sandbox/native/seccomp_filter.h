// The system-call filter of every program in a box: what has no business there fails with an error
// (the program goes on), so that a hole in it is out of reach.
#pragma once

#include <linux/filter.h>

#include <cstdint>
#include <vector>

#include "common/base/status.h"

namespace envicutor::agent::native {

// Whom a filter is for:
// - a program;
// - the spawner, taken on once and inherited by all that it starts, programs among them: the same
//   for whoever does not know `key`. With it as their sixth argument, which none of them has, the
//   few calls pass that make boxes. The key is 64 random bits that never leave the agent's and the
//   spawner's memory. Most of those calls need capabilities besides, which no program has; a user
//   namespace (clone3) and, where pinned, another CPU are what the key alone stands before;
// - an isolate that is to start a program (the calls stay to it that make its box; it has a filter
//   of its own for its program, on top of this one).
enum class FilterFor { kProgram, kSpawner, kIsolate };

// Compiled once. Default: allowed; refused calls and why are in seccomp_filter.cpp. Calls of other
// ABIs (i386, x32) and calls newer than the list was written for fail with ENOSYS. `pinned`: a
// program must not leave the CPU it was given. `key` is for kSpawner only.
[[nodiscard]] Result<std::vector<sock_filter>> CompileSeccompFilter(
    bool pinned = false, FilterFor whom = FilterFor::kProgram, uint64_t key = 0);

}  // namespace envicutor::agent::native
