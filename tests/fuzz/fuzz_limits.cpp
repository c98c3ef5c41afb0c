// Limits as a person writes them: mistakes are listed, the rest survives the wire form.
#include <string_view>

#include "common/api/limits.h"
#include "tests/fuzz/target.h"

namespace api = envicutor::api;

FUZZ_TARGET(fuzz_limits) {
  const auto json = envicutor::ParseJson(data);
  if (!json.ok()) return;
  std::vector<std::string> errors;
  const api::Limits limits = api::ParseLimits(*json, "run.limits", &errors);
  const auto back = api::LimitsFromJson(api::LimitsToJson(limits));
  CHECK(back.ok() && *back == limits, "the wire form is another");
  const api::Limits resolved =
      api::ResolveLimits({limits, limits}, {limits}, "run.limits", &errors);
  CHECK(resolved == limits, "resolving against itself changes nothing");
  static_cast<void>(api::LimitsFromJson(*json));
}
