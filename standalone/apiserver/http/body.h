// Request bodies: JSON or YAML to Json, with bounds. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "standalone/apiserver/core/api_error.h"

namespace envicutor::standalone {

struct Body {
  Json json;
  std::vector<std::string> duplicate_fields;  // "spec.a", at most 100
};

// `content_type` "" or application/json, application/yaml, and protobuf as far as protobuf.h goes:
// others are 415.
[[nodiscard]] ApiResult<Body> DecodeBody(std::string_view content_type, std::string_view bytes);

// JSON for a patch: the media type has been looked at by the caller; YAML is taken too, as JSON is
// YAML's subset in kubectl's hands.
[[nodiscard]] ApiResult<Body> DecodeJson(std::string_view bytes);

// The media type without parameters, in lower case.
[[nodiscard]] std::string MediaType(std::string_view content_type);

}  // namespace envicutor::standalone
