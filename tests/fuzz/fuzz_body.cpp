// Bodies that kubectl sends: JSON with duplicates, YAML, the protobuf messages that are known.
#include "standalone/apiserver/http/body.h"
#include "standalone/apiserver/http/protobuf.h"
#include "tests/fuzz/target.h"

namespace standalone = envicutor::standalone;

FUZZ_TARGET(fuzz_body) {
  for (const char* type : {"application/json", "application/yaml"}) {
    const auto body = standalone::DecodeBody(type, data);
    if (!body.ok()) {
      CHECK(body.error().code >= 400 && !body.error().message.empty(), "an error without a word");
      continue;
    }
    CHECK(body->duplicate_fields.size() <= 100, "too many duplicates");
    const std::string once = envicutor::DumpJson(body->json);
    const auto again = standalone::DecodeBody("application/json", once);
    CHECK(again.ok() && envicutor::DumpJson(again->json) == once, once);
  }
  (void)standalone::DecodeProtobuf(data);
  (void)standalone::DecodeProtobuf(std::string("k8s\0", 4) + std::string(data));
}
