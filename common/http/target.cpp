#include "common/http/target.h"

#include <algorithm>

#include "common/http/types.h"

namespace envicutor::http {
namespace {

constexpr size_t kMaxQueryPairs = 1024;

std::string DecodeQueryPart(std::string_view part) {
  std::string text(part);
  std::replace(text.begin(), text.end(), '+', ' ');
  return PercentDecode(text);
}

}  // namespace

Result<Target> ParseTarget(std::string_view target) {
  if (const size_t scheme = target.find("://");
      scheme != std::string_view::npos &&
      (target.starts_with("http://") || target.starts_with("https://"))) {
    target.remove_prefix(scheme + 3);
    const size_t slash = target.find_first_of("/?");
    target = slash == std::string_view::npos ? "/" : target.substr(slash);
  }
  target = target.substr(0, target.find('#'));
  const size_t question = target.find('?');
  Target result;
  result.path = PercentDecode(target.substr(0, question));
  if (result.path.empty() || result.path[0] != '/') {
    return InvalidArgument("the request target must start with \"/\"");
  }
  if (result.path.find("..") != std::string::npos) {
    return InvalidArgument("the request target must not contain \"..\"");
  }
  if (result.path.find('\0') != std::string::npos) {
    return InvalidArgument("the request target must not contain a NUL byte");
  }
  if (question == std::string_view::npos) return result;

  std::string_view query = target.substr(question + 1);
  while (!query.empty()) {
    const size_t end = std::min(query.find('&'), query.size());
    const std::string_view pair = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    if (pair.empty()) continue;
    if (result.query.size() == kMaxQueryPairs) {
      return InvalidArgument("the request has more than 1024 query parameters");
    }
    const size_t equals = std::min(pair.find('='), pair.size());
    result.query.emplace(
        DecodeQueryPart(pair.substr(0, equals)),
        equals == pair.size() ? std::string() : DecodeQueryPart(pair.substr(equals + 1)));
  }
  return result;
}

}  // namespace envicutor::http
