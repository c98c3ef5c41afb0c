// Internal to this room: what a refusal of the API server means to us.
#pragma once

#include <string_view>

#include "common/base/json.h"
#include "common/base/status.h"
#include "common/http/types.h"

namespace envicutor::kube {

// For an answer whose status is not 2xx: the code, and the server's own message where there is one.
[[nodiscard]] Status FromResponse(const http::Response& response);
// For a metav1.Status object, as in a watch's ERROR event.
[[nodiscard]] Status FromStatusObject(const Json& object);

}  // namespace envicutor::kube
