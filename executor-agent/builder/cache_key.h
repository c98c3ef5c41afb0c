// Nix's ed25519 keys ("name:base64"), and what is signed with them beside narinfos: the pointer
// from an environment's hash to its store path, so that an environment that is in the cache is
// found there instead of built again. Whoever can write the cache cannot make one: another
// environment's store path, though validly signed, would be another program.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"

namespace envicutor::agent {

struct EnvironmentPointer {
  std::string hash;
  std::string store_path;
  std::string signed_by;  // the key's name
};

// The part before the colon; "" when there is none.
[[nodiscard]] std::string CacheKeyName(std::string_view key);

// Whether `secret_key`'s other half is among `public_keys`.
[[nodiscard]] bool BelongsTo(std::string_view secret_key,
                             const std::vector<std::string>& public_keys);

// "environments/HASH": where the pointer is in the cache.
[[nodiscard]] std::string PointerName(const std::string& hash);
// `secret_key` as `nix-store --generate-binary-cache-key` writes it. InvalidArgument: it is not
// one; the message does not show it.
[[nodiscard]] Result<std::string> SignPointer(const std::string& hash,
                                              const std::string& store_path,
                                              std::string_view secret_key);
// InvalidArgument: unreadable, for another hash, or not signed by one of `public_keys`.
[[nodiscard]] Result<EnvironmentPointer> VerifyPointer(const std::string& hash,
                                                       std::string_view text,
                                                       const std::vector<std::string>& public_keys);

}  // namespace envicutor::agent
