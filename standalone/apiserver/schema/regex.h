// Regular expressions in RE2's syntax with RE2's promise: time linear in the text, whatever the
// pattern. std::regex backtracks and can be made to hang or to overflow the stack; this cannot.
//
// Syntax: literals, . [classes] [[:posix:]] \d \w \s \D \W \S \b \B \A \z ^ $ | ( ) (?: ) (?P<n> )
// (?ims-ims) * + ? {n,m} with lazy forms, \t\n\r\f\v\a \xHH \x{H...} \Q...\E. Not: \p{...}.
// Text is UTF-8; an ill-formed byte counts as U+FFFD.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/status.h"

namespace envicutor::standalone::schema {

struct RegexProgram;

// Immutable; thread-safe; cheap to copy.
class Regex {
 public:
  // InvalidArgument says what is wrong. At most 8 KiB of pattern and 20,000 instructions.
  [[nodiscard]] static Result<Regex> Compile(std::string_view pattern);

  // Whether the pattern occurs anywhere in `text`. Steps of about one instruction are taken from
  // *budget; ResourceExhausted when it is used up.
  [[nodiscard]] Result<bool> Search(std::string_view text, int64_t* budget) const;
  // The first (leftmost, preferring as a backtracking engine would) match from byte `from` on:
  // [begin, end); nullopt when there is none.
  using Span = std::optional<std::pair<size_t, size_t>>;
  [[nodiscard]] Result<Span> Find(std::string_view text, size_t from, int64_t* budget) const;

  [[nodiscard]] size_t size() const;  // instructions

 private:
  std::shared_ptr<const RegexProgram> program_;
};

}  // namespace envicutor::standalone::schema
