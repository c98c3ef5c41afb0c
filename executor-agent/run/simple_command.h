// A stage's script is for a shell to run. Most are one command, `exec ./main "$@"`: to start a
// shell for that costs a millisecond, and its CPU time and memory count as the program's. Such
// scripts are told apart here, so that an engine can start the program at once.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "executor-agent/sandbox/sandbox.h"

namespace envicutor::agent {

// What bash would execute for `bash -c script` with these variables ("NAME=value"), where that is
// certain beforehand: the script is `exec` and plain words, or plain words of which the first has a
// slash, with "$@" for the last or nowhere, and no variable changes what bash does. Else nothing,
// as for everything that is in doubt.
[[nodiscard]] std::optional<DirectStart> SimpleCommand(std::string_view script,
                                                       const std::vector<std::string>& env);

}  // namespace envicutor::agent
