// Limits as a person writes them: mistakes are listed, the rest survives the wire form.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "common/api/limits.h"

namespace api = envicutor::api;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto json = envicutor::ParseJson({reinterpret_cast<const char*>(data), size});
  if (!json.ok()) return 0;
  std::vector<std::string> errors;
  const api::Limits limits = api::ParseLimits(*json, "run.limits", &errors);
  const auto back = api::LimitsFromJson(api::LimitsToJson(limits));
  CHECK(back.ok() && *back == limits, "the wire form is another");
  const api::Limits resolved =
      api::ResolveLimits({limits, limits}, {limits}, "run.limits", &errors);
  CHECK(resolved == limits, "resolving against itself changes nothing");
  static_cast<void>(api::LimitsFromJson(*json));
  return 0;
}
