// kubectl's patches, [TARGET, PATCH]: JSON patch, merge patch, strategic merge patch. No patch
// makes what cannot be printed; a merge patch applied twice is applied once.
#include "standalone/apiserver/core/patch.h"
#include "tests/fuzz/target.h"

namespace standalone = envicutor::standalone;
using envicutor::Json;

FUZZ_TARGET(fuzz_patch) {
  const auto input = envicutor::ParseJson(data);
  if (!input.ok() || !input->is_array() || input->size() != 2) return;
  const Json& target = (*input)[0];
  const Json& patch = (*input)[1];
  if (const auto result = standalone::ApplyJsonPatch(target, patch); result.ok()) {
    (void)envicutor::DumpJson(*result);
  }
  if (const auto result = standalone::ApplyStrategicMergePatch(target, patch); result.ok()) {
    (void)envicutor::DumpJson(*result);
  }
  Json once = target;
  standalone::ApplyMergePatch(&once, patch);
  Json twice = once;
  standalone::ApplyMergePatch(&twice, patch);
  CHECK(once == twice, "twice is not once");
}
