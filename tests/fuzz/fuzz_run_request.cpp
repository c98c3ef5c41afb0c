// A run request from the wire: what is accepted can be written and read again as the same.
#include <string_view>

#include "common/api/run.h"
#include "tests/fuzz/target.h"

namespace api = envicutor::api;

FUZZ_TARGET(fuzz_run_request) {
  const auto json = envicutor::ParseJson(data);
  if (!json.ok()) return;
  const auto request = api::RunRequestFromJson(*json);
  if (!request.ok()) return;
  const envicutor::Json once = api::RunRequestToJson(*request);
  const auto again = api::RunRequestFromJson(once);
  CHECK(again.ok(), again.status().ToString());
  CHECK(api::RunRequestToJson(*again) == once, "another request");
  for (const api::RunFile& file : request->files)
    CHECK(api::CheckBoxPath(file.path).ok(), file.path);
}
