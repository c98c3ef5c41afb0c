// The JSONPath that printer columns, selectable fields and kubectl use: dotted fields, ['quoted'],
// [index], [start:end:step], [*] and filters [?(@.field=="x")] with == != < > <= >= or mere
// presence.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/json.h"
#include "common/base/status.h"

namespace envicutor::standalone::schema {

struct JsonPathStep;

// Immutable after Parse; thread-safe; cheap to copy.
class JsonPath {
 public:
  JsonPath() = default;  // matches nothing
  // Takes ".status.phase", "status.phase" and "{.status.phase}".
  [[nodiscard]] static Result<JsonPath> Parse(std::string_view text);
  // All matches in order, at most 1000; empty when something on the way is absent. Pointers into
  // `root`.
  [[nodiscard]] std::vector<const Json*> Find(const Json& root) const;
  // The first match or null.
  [[nodiscard]] const Json* First(const Json& root) const;

 private:
  std::shared_ptr<const std::vector<JsonPathStep>> steps_;
};

}  // namespace envicutor::standalone::schema
