// A run request from the wire: what is accepted can be written and read again as the same.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "common/api/run.h"

namespace api = envicutor::api;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto json = envicutor::ParseJson({reinterpret_cast<const char*>(data), size});
  if (!json.ok()) return 0;
  const auto request = api::RunRequestFromJson(*json);
  if (!request.ok()) return 0;
  const envicutor::Json once = api::RunRequestToJson(*request);
  const auto again = api::RunRequestFromJson(once);
  CHECK(again.ok(), again.status().ToString());
  CHECK(api::RunRequestToJson(*again) == once, "another request");
  for (const api::RunFile& file : request->files)
    CHECK(api::CheckBoxPath(file.path).ok(), file.path);
  return 0;
}
