// The binary cache's plain files (narinfos, NARs, pointers): a folder, or a web server that takes
// PUT and DELETE and lists folders as JSON (nginx: dav_methods, autoindex_format json). What Nix
// itself reads and writes goes through Nix.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/base/status.h"

namespace envicutor::agent {

struct CacheFile {
  std::string name;  // in its folder
  int64_t size_bytes = 0;
  int64_t modified_unix_seconds = 0;  // by the cache's own clock
};

// Names are relative: "nix-cache-info", "nar/X.nar.zst". Not thread-safe.
class CacheFiles {
 public:
  virtual ~CacheFiles() = default;
  // NotFound; Unavailable: no connection, or the server failed; PermissionDenied: it wants (other)
  // credentials; ResourceExhausted: it is full, or the file is larger than `max_bytes`.
  [[nodiscard]] virtual Result<std::string> Get(const std::string& name, size_t max_bytes) = 0;
  [[nodiscard]] virtual Status Put(const std::string& name, const std::string& content) = 0;
  // OK when it is not there.
  [[nodiscard]] virtual Status Delete(const std::string& name) = 0;
  // The plain files of "" (the root) or a folder, in any order; none when it is not there.
  [[nodiscard]] virtual Result<std::vector<CacheFile>> List(const std::string& folder) = 0;
  // The time by the clock that modified_unix_seconds is from; after a List.
  [[nodiscard]] virtual int64_t NowUnixSeconds() const = 0;
};

// `netrc` is a netrc file's text, or "". Unimplemented: a URL of another kind (s3://). With a web
// server the process gets threads.
[[nodiscard]] Result<std::unique_ptr<CacheFiles>> NewCacheFiles(const std::string& url,
                                                                const std::string& netrc);

struct NetrcEntry {
  std::string login;
  std::string password;
};
// The entry of `host`, else that of "default", else an empty one.
[[nodiscard]] NetrcEntry FindInNetrc(std::string_view netrc, std::string_view host);

}  // namespace envicutor::agent
