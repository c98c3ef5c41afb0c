// The small languages of the API: regular expressions, JSONPath, label and field selectors. The
// first line is the expression, the rest the text.
#include "standalone/apiserver/core/selector.h"
#include "standalone/apiserver/schema/jsonpath.h"
#include "standalone/apiserver/schema/regex.h"
#include "tests/fuzz/target.h"

namespace standalone = envicutor::standalone;
using envicutor::Json;

FUZZ_TARGET(fuzz_text) {
  static const Json object = Json::parse(
      R"({"metadata":{"name":"n","labels":{"a":"b","n":"7"}},"l":[{"type":"A","v":1},{"type":"B"}]})");
  const size_t line = std::min(data.find('\n'), data.size());
  const std::string_view expression = data.substr(0, line);
  const std::string_view text = data.substr(std::min(line + 1, data.size()));
  if (const auto regex = standalone::schema::Regex::Compile(expression); regex.ok()) {
    int64_t budget = 100'000;
    const auto found = regex->Search(text, &budget);
    int64_t other = 100'000;
    const auto span = regex->Find(text, 0, &other);
    if (found.ok() && span.ok()) CHECK(*found == span->has_value(), "found, and not found");
    if (span.ok() && span->has_value()) {
      CHECK((*span)->first <= (*span)->second && (*span)->second <= text.size(), "outside");
    }
  }
  if (const auto path = standalone::schema::JsonPath::Parse(expression); path.ok()) {
    CHECK(path->Find(object).size() <= 1000, "too many");
    (void)path->First(Json());
  }
  if (const auto selector = standalone::LabelSelector::Parse(expression); selector.ok()) {
    (void)selector->Matches(object);
    (void)selector->Matches(Json::object());
  }
  if (const auto selector = standalone::FieldSelector::Parse(expression, {}); selector.ok()) {
    (void)selector->Matches(object, {});
  }
}
