#include "executor-agent/run/compare.h"

#include <algorithm>

namespace envicutor::agent {
namespace {

// NUL is content, not white space: "Hello\0tail" is not "Hello".
constexpr std::string_view kBlank = " \t\r\v\f";
constexpr std::string_view kBlankOrNewline = " \t\r\v\f\n";

std::string_view TrimEnd(std::string_view text, std::string_view what) {
  const size_t last = text.find_last_not_of(what);
  return last == std::string_view::npos ? std::string_view() : text.substr(0, last + 1);
}

std::string_view TakeLine(std::string_view* text) {
  const size_t end = text->find('\n');
  const std::string_view line = text->substr(0, end);
  text->remove_prefix(end == std::string_view::npos ? text->size() : end + 1);
  return line;
}

}  // namespace

std::optional<int64_t> FirstDifference(std::string_view expected, std::string_view actual,
                                       bool exact) {
  if (exact) {
    if (expected == actual) return std::nullopt;
    const auto where =
        std::mismatch(expected.begin(), expected.end(), actual.begin(), actual.end());
    return 1 + std::count(expected.begin(), where.first, '\n');
  }
  expected = TrimEnd(expected, kBlankOrNewline);
  actual = TrimEnd(actual, kBlankOrNewline);
  for (int64_t line = 1; !expected.empty() || !actual.empty(); ++line) {
    // One that has ended differs from any line of the other: its end was trimmed, so content
    // follows.
    if (expected.empty() != actual.empty()) return line;
    if (TrimEnd(TakeLine(&expected), kBlank) != TrimEnd(TakeLine(&actual), kBlank)) return line;
  }
  return std::nullopt;
}

}  // namespace envicutor::agent
