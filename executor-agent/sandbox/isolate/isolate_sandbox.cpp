// The isolate engine: ioi/isolate through its command line.
#include <unistd.h>

#include "executor-agent/sandbox/sandbox.h"

namespace envicutor::agent {

Result<std::unique_ptr<Sandbox>> NewIsolateSandbox(const SandboxOptions& options) {
  const std::string binary =
      options.isolate_binary.empty() ? "/usr/bin/isolate" : options.isolate_binary;
  if (::access(binary.c_str(), X_OK) != 0) {
    return FailedPrecondition(
        "isolate not found at " + binary +
        ": install ioi/isolate 2.6 or newer (http://www.ucw.cz/isolate/debian/), or use the "
        "native sandbox");
  }
  return FailedPrecondition("this build drives no isolate: use the native sandbox");
}

}  // namespace envicutor::agent
