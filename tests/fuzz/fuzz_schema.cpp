// A CRD's schema and an object for it, {"schema": ..., "object": ..., "old": ...}: what compiles
// prunes, defaults and validates any object; pruning and defaulting twice changes nothing more.
#include "standalone/apiserver/schema/crd.h"
#include "standalone/apiserver/schema/schema.h"
#include "tests/fuzz/target.h"

namespace schema = envicutor::standalone::schema;
using envicutor::Json;

FUZZ_TARGET(fuzz_schema) {
  const auto input = envicutor::ParseJson(data);
  if (!input.ok() || !input->is_object()) return;
  std::vector<schema::FieldError> errors;
  (void)schema::CompileCrd(*input, &errors);
  errors.clear();
  const auto compiled = schema::Schema::Compile(envicutor::At(*input, {"schema"}), "s", &errors);
  CHECK((compiled == nullptr) == !errors.empty(), "a schema with errors, or none without");
  if (compiled == nullptr) return;
  Json object = envicutor::At(*input, {"object"});
  (void)compiled->UnknownFields(object);
  (void)compiled->Validate(object, nullptr);
  compiled->Prune(&object);
  CHECK(compiled->UnknownFields(object).empty(), "pruned, and there is more");
  compiled->Default(&object);
  Json again = object;
  compiled->Default(&again);
  CHECK(again == object, "defaults of defaults");
  const Json& old = envicutor::At(*input, {"old"});
  CHECK(compiled->Validate(object, old.is_null() ? nullptr : &old).size() <= 100,
        "too many errors");
}
