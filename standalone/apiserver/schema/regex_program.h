// Inside of regex.h: what the compiler makes and the matcher runs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace envicutor::standalone::schema {

struct RegexInstruction {
  enum class Op {
    kSet,     // consumes one code point inside (or, negated, outside) ranges
    kSplit,   // tries x, then y
    kJump,    // x
    kAssert,  // holds at this place
    kMatch,
  };
  enum class Assertion {
    kTextBegin,
    kTextEnd,
    kLineBegin,
    kLineEnd,
    kWordBoundary,
    kNotWordBoundary
  };
  Op op = Op::kMatch;
  Assertion assertion = Assertion::kTextBegin;
  size_t x = 0;
  size_t y = 0;
  std::vector<std::pair<char32_t, char32_t>> ranges;
  bool negated = false;
};

struct RegexProgram {
  std::vector<RegexInstruction> code;
  size_t start = 0;
};

// Decodes the code point at text[*pos] and moves *pos behind it; an ill-formed byte is U+FFFD.
[[nodiscard]] char32_t DecodeUtf8(std::string_view text, size_t* pos);

}  // namespace envicutor::standalone::schema
