#include "standalone/apiserver/http/auth.h"

#include "common/base/encoding.h"
#include "common/base/file.h"

namespace envicutor::standalone {
namespace {

constexpr size_t kMaxTokenBytes = 16U << 10U;
constexpr size_t kMaxTokenFileBytes = 1U << 20U;

// One line of CSV; quotes hold commas, "" is a quote.
std::vector<std::string> SplitCsv(std::string_view line) {
  std::vector<std::string> fields(1);
  bool quoted = false;
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (c == '"') {
      if (quoted && i + 1 < line.size() && line[i + 1] == '"') {
        fields.back() += '"';
        ++i;
      } else {
        quoted = !quoted;
      }
    } else if (c == ',' && !quoted) {
      fields.emplace_back();
    } else if (c != '\r') {
      fields.back() += c;
    }
  }
  return fields;
}

}  // namespace

Authenticator::Authenticator(const std::vector<BearerToken>& tokens, bool allow_anonymous)
    : allow_anonymous_(allow_anonymous) {
  for (const BearerToken& token : tokens) {
    tokens_.push_back({Sha256Hex(token.token), {token.user, token.groups}});
  }
}

std::optional<User> Authenticator::Authenticate(const http::ServerRequest& request) const {
  if (request.peer && !request.peer->common_name.empty()) {
    return User{request.peer->common_name, request.peer->organizations};
  }
  const std::string header = request.headers.Get("Authorization");
  if (header.empty()) {
    if (!allow_anonymous_) return std::nullopt;
    return User{"system:anonymous", {"system:unauthenticated"}};
  }
  constexpr std::string_view kScheme = "Bearer ";
  if (header.size() > kMaxTokenBytes || header.compare(0, kScheme.size(), kScheme) != 0) {
    return std::nullopt;
  }
  const std::string digest = Sha256Hex(std::string_view(header).substr(kScheme.size()));
  for (const Token& token : tokens_) {
    if (token.digest == digest) return token.user;
  }
  return std::nullopt;
}

Result<std::vector<BearerToken>> ReadTokenFile(const std::string& path) {
  ENVICUTOR_ASSIGN(const std::string text, ReadFile(path, kMaxTokenFileBytes));
  std::vector<BearerToken> tokens;
  size_t start = 0;
  size_t line_number = 0;
  while (start < text.size()) {
    const size_t end = std::min(text.find('\n', start), text.size());
    const std::string_view line = std::string_view(text).substr(start, end - start);
    start = end + 1;
    ++line_number;
    if (line.empty() || line.front() == '#') continue;
    const std::vector<std::string> fields = SplitCsv(line);
    if (fields.size() < 3 || fields[0].empty() || fields[1].empty()) {
      return InvalidArgument(path + ":" + std::to_string(line_number) +
                             ": must be token,user,uid[,\"group1,group2\"]");
    }
    BearerToken token{fields[0], fields[1], {}};
    if (fields.size() > 3) {
      for (std::string& group : SplitCsv(fields[3])) token.groups.push_back(std::move(group));
    }
    tokens.push_back(std::move(token));
  }
  return tokens;
}

}  // namespace envicutor::standalone
