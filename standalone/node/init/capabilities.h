// What a container that is not privileged may do: the set that container engines give by default.
#pragma once

#include "common/base/status.h"

namespace envicutor::standalone {
[[nodiscard]] Status DropCapabilities();
}  // namespace envicutor::standalone
