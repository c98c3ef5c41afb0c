// Who sends a request: a client certificate or a bearer token. Immutable; thread-safe.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/http/server.h"
#include "standalone/apiserver/apiserver.h"

namespace envicutor::standalone {

struct User {
  std::string name;
  std::vector<std::string> groups;
};

class Authenticator {
 public:
  Authenticator(const std::vector<BearerToken>& tokens, bool allow_anonymous);
  // Nothing: 401.
  [[nodiscard]] std::optional<User> Authenticate(const http::ServerRequest& request) const;

 private:
  struct Token {
    std::string digest;  // compared instead of the token, so that timing tells nothing
    User user;
  };
  std::vector<Token> tokens_;
  bool allow_anonymous_;
};

}  // namespace envicutor::standalone
