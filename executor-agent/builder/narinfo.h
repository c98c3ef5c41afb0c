// The text that a binary cache has for each store path: what it is, which file holds it, what it
// refers to. Whoever can write the cache chose every byte, so names are checked before use.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"

namespace envicutor::agent {

struct Narinfo {
  std::string store_path;               // "/nix/store/HASH-NAME"
  std::string url;                      // "nar/NAME"
  std::vector<std::string> references;  // store paths
  int64_t file_size_bytes = 0;          // of the compressed file
};

inline constexpr size_t kMaxNarinfoBytes = 1U << 20U;

// InvalidArgument: not one, or a name in it is not of Nix's form.
[[nodiscard]] Result<Narinfo> ParseNarinfo(std::string_view text);
// "HASH.narinfo" of a store path.
[[nodiscard]] std::string NarinfoName(std::string_view store_path);

}  // namespace envicutor::agent
