// Run results, stage results and agent info from the wire.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "common/api/run.h"

namespace api = envicutor::api;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto json = envicutor::ParseJson({reinterpret_cast<const char*>(data), size});
  if (!json.ok()) return 0;
  if (const auto result = api::RunResultFromJson(*json); result.ok()) {
    const envicutor::Json once = api::RunResultToJson(*result);
    const auto again = api::RunResultFromJson(once);
    CHECK(again.ok(), again.status().ToString());
    CHECK(api::RunResultToJson(*again) == once, "another result");
    CHECK(!envicutor::DumpJson(once).empty(), "not printable");
  }
  if (const auto stage = api::StageResultFromJson(*json); stage.ok()) {
    CHECK(api::StageResultFromJson(api::StageResultToJson(*stage)).ok(), "another stage");
  }
  static_cast<void>(api::AgentInfoFromJson(*json));
  return 0;
}
