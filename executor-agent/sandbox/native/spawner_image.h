#pragma once

#include <string_view>

namespace envicutor::agent::native {

// The ELF file of executor-agent/spawner, of the same build.
[[nodiscard]] std::string_view SpawnerImage();

}  // namespace envicutor::agent::native
