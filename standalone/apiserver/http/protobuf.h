// Kubernetes' protobuf bodies ("k8s\0" + runtime.Unknown) to JSON, for the few messages that
// kubectl sends that way: `kubectl create namespace|configmap|secret|serviceaccount`, `kubectl auth
// can-i`, evictions and delete options. Answers are always JSON, which those clients accept. Pure.
#pragma once

#include <string_view>

#include "standalone/apiserver/core/api_error.h"

namespace envicutor::standalone {

inline constexpr std::string_view kProtobufType = "application/vnd.kubernetes.protobuf";

// 415 for any other message, 400 for ill-formed bytes.
[[nodiscard]] ApiResult<Json> DecodeProtobuf(std::string_view bytes);

}  // namespace envicutor::standalone
