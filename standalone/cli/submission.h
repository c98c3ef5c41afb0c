// What `envicutor run` sends, and what it makes of the answer. Pure but for reading the files
// named.
#pragma once

#include <string>
#include <vector>

#include "common/base/json.h"
#include "common/base/status.h"

namespace envicutor::standalone {

struct RunOptions {
  std::string file;
  std::string runtime;              // "": by the file's extension
  std::string stdin_file;           // "": none; "-": ours
  std::vector<std::string> limits;  // NAME=VALUE
  std::vector<std::string> env;     // NAME=VALUE
  std::vector<std::string> arguments;
};

// "python3" for x.py; InvalidArgument names the known ones.
[[nodiscard]] Result<std::string> RuntimeForFile(const std::string& file);

[[nodiscard]] Result<Json> MakeSubmission(const RunOptions& options, const std::string& ns,
                                          const std::string& name, const std::string& source,
                                          const std::string& stdin_text);

// How a finished Submission ends the command: what goes to stdout and stderr, and the exit code.
// The program's own; 128+n for a signal; the compiler's for a compile error; 125 when the system
// failed.
inline constexpr int kSystemFailed = 125;
struct RunEnd {
  std::string out;
  std::string err;
  std::string note;  // one line for people, "" when all is well
  int exit_code = 0;
};
[[nodiscard]] RunEnd EndOfRun(const Json& submission);

}  // namespace envicutor::standalone
