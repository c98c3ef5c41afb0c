// The `envicutor` program: one command a file, dispatched here. Exit codes as kubectl's: 0 done, 1
// it failed, 2 the command line is wrong; `run` exits with the program's.
#pragma once

namespace envicutor::standalone {
[[nodiscard]] int CliMain(int argc, char** argv);
}  // namespace envicutor::standalone
