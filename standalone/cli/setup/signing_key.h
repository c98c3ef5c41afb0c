// Keys in Nix's own formats, and the passwords of the cache's publisher.
#pragma once

#include <string>

#include "common/base/status.h"

namespace envicutor::standalone {

// "NAME:base64 of 64 bytes", as `nix-store --generate-binary-cache-key` writes it.
[[nodiscard]] Result<std::string> NewSigningKey(const std::string& name);
// "NAME:base64 of 32 bytes". InvalidArgument: `secret_key` is none.
[[nodiscard]] Result<std::string> PublicKeyOf(const std::string& secret_key);

// One line of an htpasswd file that nginx takes ({SSHA}); the same for the same password.
[[nodiscard]] Result<std::string> HtpasswdLine(const std::string& user,
                                               const std::string& password);
// The password for `host` in a netrc, "" when there is none.
[[nodiscard]] std::string NetrcPassword(const std::string& netrc, const std::string& host);

}  // namespace envicutor::standalone
