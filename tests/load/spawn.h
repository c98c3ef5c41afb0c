// The floor: a program started and waited for, without any of Envicutor.
#pragma once

#include "common/base/json.h"
#include "tests/load/options.h"

namespace envicutor::load {

// envicutor-load spawn ... -- PROGRAM ARGS: posix_spawn and waitpid, on `concurrency` threads. What
// PROGRAM is decides what is measured: /bin/true, bash, or a script around `isolate`.
[[nodiscard]] Result<Json> RunSpawn(const Flags& flags);
extern const std::vector<std::string> kSpawnFlags;

}  // namespace envicutor::load
