// server-side apply, [LIVE, CONFIG, FIELDSV1]: what clients send as managedFields and as a
// configuration. Applying twice is applying once, and sets keep to the laws of sets.
#include "standalone/apiserver/core/apply/field_set.h"
#include "standalone/apiserver/core/apply/typed.h"
#include "tests/fuzz/target.h"

namespace standalone = envicutor::standalone;
using envicutor::Json;

FUZZ_TARGET(fuzz_apply) {
  const auto input = envicutor::ParseJson(data);
  if (!input.ok() || !input->is_array() || input->size() != 3) return;
  const Json& live = (*input)[0];
  const Json& config = (*input)[1];
  const Json& fields = (*input)[2];
  if (!live.is_object() || !config.is_object()) return;
  standalone::ResourceInfo pods;
  pods.version = "v1";
  pods.plural = "pods";
  const standalone::Shape shape = standalone::Shape::Of(pods);
  const Json once = standalone::Merge(live, config, shape);
  CHECK(standalone::Merge(once, config, shape) == once, "twice is not once");
  const Json owned = standalone::FieldsOf(config, shape, nullptr);
  CHECK(standalone::IsFieldSet(owned), "made what it would not take");
  if (!standalone::IsFieldSet(fields)) return;
  CHECK(standalone::Difference(fields, fields).empty(), "a set less itself");
  CHECK(standalone::Union(fields, owned) == standalone::Union(owned, fields), "unions differ");
  Json pruned = once;
  standalone::Prune(&pruned, fields, owned, shape);
  standalone::ForEachPath(fields, [](const std::string&) {});
}
