// Runs one command of Nix with a bound on its time, its output and the size of what it writes. The
// command and what it started end with this process, whatever ends it.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace envicutor::agent {

struct NixCommand {
  std::vector<std::string> argv;  // argv[0] is looked up in PATH
  std::vector<std::string> env;   // NAME=value, all of it
  std::chrono::milliseconds timeout{0};
  int64_t max_file_bytes = 0;  // of each file that it writes; 0: no bound
  size_t max_output_bytes = 32U << 20U;
  // Asked several times a second: a reason to stop it, or "".
  std::function<std::string()> stop_reason;
};

struct NixExit {
  int code = -1;
  int signal = 0;
  std::string output;   // stdout
  std::string errors;   // the end of stderr
  std::string stopped;  // why it was stopped before its end, or ""
  [[nodiscard]] bool ok() const { return code == 0 && signal == 0 && stopped.empty(); }
};

// Blocks. Thread-safe.
[[nodiscard]] NixExit RunNix(const NixCommand& command);

// The error of Nix's stderr that says most: from its last "error:" or warning on, without the lines
// that repeat it, at most 600 bytes; "" when there is none.
[[nodiscard]] std::string NixErrorOf(std::string_view errors);

}  // namespace envicutor::agent
