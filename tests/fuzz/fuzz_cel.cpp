// CEL: an expression compiles or says why; what compiles evaluates within its budget to a value or
// an error, and to the same again.
#include "standalone/apiserver/schema/cel.h"
#include "tests/fuzz/target.h"

namespace cel = envicutor::standalone::schema::cel;
using envicutor::Json;

FUZZ_TARGET(fuzz_cel) {
  static const Json self = Json::parse(
      R"({"a":1,"b":[1,2,3],"s":"text","m":{"k":"v"},"t":"2026-01-01T00:00:00Z","q":"1Gi","d":1.5})");
  static const Json old_self = Json::parse(R"({"a":2,"b":[],"s":""})");
  for (const auto type : {cel::ResultType::kBool, cel::ResultType::kString}) {
    const auto program = cel::Program::Compile(data, type, {});
    if (!program.ok()) continue;
    for (const Json* old : {static_cast<const Json*>(nullptr), &old_self}) {
      int64_t budget = 20'000;
      int64_t again = 20'000;
      if (type == cel::ResultType::kBool) {
        const auto first = program->EvalBool(self, old, &budget);
        const auto second = program->EvalBool(self, old, &again);
        CHECK(first.ok() == second.ok() && (!first.ok() || *first == *second), "another value");
      } else {
        const auto first = program->EvalString(self, old, &budget);
        const auto second = program->EvalString(self, old, &again);
        CHECK(first.ok() == second.ok() && (!first.ok() || *first == *second), "another value");
      }
      CHECK(budget == again, "another cost");
    }
  }
}
