// A tap device and addresses in the caller's network namespace.
#pragma once

#include <string>

#include "common/base/status.h"

namespace envicutor::standalone {

// Makes `name` and keeps it: it goes with the namespace.
[[nodiscard]] Status MakeTap(const std::string& name);
// IPv4 address in a /30, and up.
[[nodiscard]] Status ConfigureInterface(const std::string& name, const std::string& address);
[[nodiscard]] Status BringUp(const std::string& name);

}  // namespace envicutor::standalone
