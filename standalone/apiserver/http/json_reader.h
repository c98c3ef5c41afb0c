// JSON of a client: in one pass, with a bound on nesting and a list of the keys that came twice.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/base/json.h"

namespace envicutor::standalone {

struct ReadJson {
  Json value;
  std::string error;      // "" when it could be read
  bool too_deep = false;  // then there is no value and no error
  // "spec.a", in order, at most 100 and of each name at most 1 KiB; the last value holds.
  std::vector<std::string> duplicates;
};

// `max_depth` is of arrays and objects inside of the outermost one.
[[nodiscard]] ReadJson ReadClientJson(std::string_view text, int max_depth);

// As Go writes numbers, and so what a kube-apiserver stores of 30.0 or 3e1: 30, which is an integer
// to who reads it.
void MakeIntegers(Json* value);

}  // namespace envicutor::standalone
