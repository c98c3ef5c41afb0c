#include "executor-agent/builder/request.h"

#include "common/base/json.h"
#include "executor-agent/store/environment_store.h"

namespace envicutor::agent {

Result<BuildRequest> ParseBuildRequest(std::string_view text) {
  ENVICUTOR_ASSIGN(const Json json, ParseJson(text, 16));
  BuildRequest request;
  ENVICUTOR_RETURN_IF_ERROR(ReadString(json, "hash", &request.hash));
  if (!IsEnvironmentHash(request.hash)) return InvalidArgument("request.json has no hash");
  ENVICUTOR_ASSIGN(request.environment,
                   api::EnvironmentSpecFromJson(At(json, {"environment"}), "environment"));
  return request;
}

std::string BuildRequestToJson(const BuildRequest& request) {
  return DumpJson(
      {{"hash", request.hash}, {"environment", api::EnvironmentSpecToJson(request.environment)}});
}

}  // namespace envicutor::agent
