// Our reader and writer of JSON text against nlohmann's with its std::map.
#include <algorithm>

#include "common/base/json_parse.h"
#include "tests/fuzz/target.h"

using envicutor::Json;

namespace {

using Reference = nlohmann::json;

std::string Dump(const Reference& value) {
  return value.dump(-1, ' ', false, Reference::error_handler_t::replace);
}

// What is left to nlohmann's reader on purpose: marks at the start, text behind
// a zero byte, depth, and numbers that a double holds only as zero or not
// exactly.
bool IsLeft(std::string_view text) {
  return text.find_first_of(std::string_view("\0\xEF", 2)) != std::string_view::npos ||
         text.find_first_of("eE.") != std::string_view::npos ||
         std::count_if(text.begin(), text.end(), [](char c) { return c == '[' || c == '{'; }) > 64;
}

}  // namespace

FUZZ_TARGET(fuzz_json) {
  bool duplicates = false;
  const auto value = envicutor::TryParseJson(data, 64, &duplicates);
  const Reference reference = Reference::parse(data, nullptr, false);
  if (!value) {
    CHECK(reference.is_discarded() || IsLeft(data), "refused what nlohmann takes");
  } else {
    CHECK(!reference.is_discarded(), "took what nlohmann refuses");
    const std::string text = envicutor::DumpJson(*value);
    CHECK(text == Dump(reference), text);
    bool again_duplicates = true;
    const auto again = envicutor::TryParseJson(text, 64, &again_duplicates);
    CHECK((again && *again == *value && !again_duplicates) || IsLeft(text), text);
    Json changed = *value;
    changed = Json::array({std::move(changed)});
    CHECK(changed[0] == *value && changed != *value, text);
  }
  const std::string bytes(data);
  CHECK(envicutor::DumpJson(Json(bytes)) == Dump(Reference(bytes)), "a string of any bytes");
}
