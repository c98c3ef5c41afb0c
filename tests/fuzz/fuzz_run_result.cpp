// Run results, stage results and agent info from the wire.
#include <string_view>

#include "common/api/run.h"
#include "tests/fuzz/target.h"

namespace api = envicutor::api;

FUZZ_TARGET(fuzz_run_result) {
  const auto json = envicutor::ParseJson(data);
  if (!json.ok()) return;
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
}
