// What a builder pod is asked for: request.json of its ConfigMap, {"hash": ..., "environment":
// Environment}.
#pragma once

#include <string>
#include <string_view>

#include "common/api/environment.h"
#include "common/base/status.h"

namespace envicutor::agent {

struct BuildRequest {
  std::string hash;  // made by the operator, which knows the default pin
  api::EnvironmentSpec environment;
};
[[nodiscard]] Result<BuildRequest> ParseBuildRequest(std::string_view json);
[[nodiscard]] std::string BuildRequestToJson(const BuildRequest& request);

}  // namespace envicutor::agent
