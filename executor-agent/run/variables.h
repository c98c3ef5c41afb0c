// The environment variables of a stage. Pure.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "common/api/run.h"

namespace envicutor::agent {

// What was captured with the environment (LANG=C.UTF-8 where it has none), TMPDIR=/tmp, then the
// runtime's and the submission's in `extra`, later ones winning; HOME=/tmp and PWD=/box whatever
// those say. "NAME=value", sorted.
[[nodiscard]] std::vector<std::string> StageVariables(
    const std::map<std::string, std::string>& captured, const api::EnvVars& extra);

}  // namespace envicutor::agent
