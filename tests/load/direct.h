// Programs run through an HTTP API without Kubernetes: an executor-agent's own, and go-judge's.
#pragma once

#include "common/base/json.h"
#include "tests/load/options.h"

namespace envicutor::load {

// envicutor-load agent: PUT a run, receive its result from the long poll, acknowledge.
[[nodiscard]] Result<Json> RunAgent(const Flags& flags);
extern const std::vector<std::string> kAgentFlags;

// envicutor-load go-judge: POST /run, which answers with the result.
[[nodiscard]] Result<Json> RunGoJudge(const Flags& flags);
extern const std::vector<std::string> kGoJudgeFlags;

}  // namespace envicutor::load
