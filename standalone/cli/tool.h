// Runs another program to its end.
#pragma once

#include <stop_token>
#include <string>
#include <vector>

#include "common/base/status.h"

namespace envicutor::standalone {

// Its stdout, at most 64 KiB. stderr goes to the end of `log_path`, or away. FailedPrecondition: it
// failed, the message has its last words. Cancelled: `stop` was requested, it was ended.
[[nodiscard]] Result<std::string> RunTool(const std::vector<std::string>& argv,
                                          const std::string& log_path, std::stop_token stop);

}  // namespace envicutor::standalone
