// The CustomResourceDefinitions of crds/, in the binary (standalone/cli/embed.cmake).
#pragma once

#include <string_view>
#include <vector>

#include "common/base/json.h"
#include "common/base/status.h"

namespace envicutor::standalone {

// The text of each file, YAML.
[[nodiscard]] const std::vector<std::string_view>& EmbeddedCrds();

// YAML documents as JSON, as Kubernetes reads them: plain scalars get YAML 1.2's core types, quoted
// ones are strings. InvalidArgument has the place.
[[nodiscard]] Result<std::vector<Json>> ParseYamlDocuments(std::string_view text);

}  // namespace envicutor::standalone
