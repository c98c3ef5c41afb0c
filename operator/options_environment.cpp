#include "operator/options_environment.h"

#include <cstdlib>

namespace envicutor::op {
namespace {

constexpr std::string_view kNameChars =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_";

// The name in "(NAME)" at the text's beginning; "" when there is none.
std::string_view NameAt(std::string_view text) {
  if (text.empty() || text[0] != '(') return {};
  const size_t end = text.find_first_not_of(kNameChars, 1);
  return end == std::string_view::npos || text[end] != ')' ? std::string_view()
                                                           : text.substr(1, end - 1);
}

}  // namespace

std::string ExpandEnvironment(std::string_view text, const VariableLookup& lookup) {
  std::string out;
  for (size_t at = 0; at < text.size(); ++at) {
    if (text[at] != '$') {
      out += text[at];
      continue;
    }
    const std::string_view rest = text.substr(at + 1);
    if (!rest.empty() && rest[0] == '$' && !NameAt(rest.substr(1)).empty()) {
      const std::string_view literal = NameAt(rest.substr(1));
      out += "$(" + std::string(literal) + ")";
      at += literal.size() + 3;
      continue;
    }
    const std::string_view name = NameAt(rest);
    const std::optional<std::string> value =
        name.empty() ? std::nullopt : lookup(std::string(name));
    if (!value) {
      out += '$';
      continue;
    }
    out += *value;
    at += name.size() + 2;
  }
  return out;
}

std::string ExpandEnvironment(std::string_view text) {
  return ExpandEnvironment(text, [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());  // NOLINT(concurrency-mt-unsafe): nobody sets it
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
  });
}

}  // namespace envicutor::op
