// The Nix expression that turns an environment's spec into one derivation whose output holds the
// captured variables, and the script that captures them.
#pragma once

#include <map>
#include <string>

#include "common/api/environment.h"

namespace envicutor::agent {

// Files by name for the folder that Nix evaluates (default.nix, capture.sh, spec.json and, for
// `shell`, shell.nix). User text is only ever data in them: shell.nix as a file, package names in
// spec.json.
[[nodiscard]] std::map<std::string, std::string> ExpressionFiles(const api::EnvironmentSpec& spec);

}  // namespace envicutor::agent
