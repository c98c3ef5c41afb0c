// Inside of regex.h: the syntax tree of a pattern.
#pragma once

#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/status.h"
#include "standalone/apiserver/schema/regex_program.h"

namespace envicutor::standalone::schema::regex {

using Ranges = std::vector<std::pair<char32_t, char32_t>>;
using Assertion = RegexInstruction::Assertion;

struct Node {
  enum class Kind { kEmpty, kSet, kAssert, kConcat, kAlternate, kRepeat };
  Kind kind = Kind::kEmpty;
  Ranges ranges;
  bool negated = false;
  Assertion assertion = Assertion::kTextBegin;
  int min = 0;
  int max = -1;  // -1: no bound
  bool lazy = false;
  std::vector<std::unique_ptr<Node>> children;
};
using NodePtr = std::unique_ptr<Node>;

// InvalidArgument says what is wrong. The tree's depth is bounded.
[[nodiscard]] Result<NodePtr> ParsePattern(std::string_view pattern);

}  // namespace envicutor::standalone::schema::regex
