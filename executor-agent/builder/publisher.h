// Brings a built environment into the shared binary cache: signed, copied, and checked from outside
// before anybody is told that it is there. Trouble here is never the user's.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/api/environment.h"
#include "common/base/status.h"
#include "executor-agent/builder/log_tail.h"

namespace envicutor::agent {

struct CacheSettings {
  std::string url;         // "": there is no cache
  std::string key_file;    // Nix's secret key; read only when no user's process is left
  std::string netrc_file;  // credentials for PUT, or ""
  std::vector<std::string> public_keys;    // "name:base64": what executors accept
  int64_t timeout_millis = 10 * 60'000LL;  // for publishing in all
  // An executor could not get it: Check and Find read every byte. Otherwise they do not, as it was
  // read when it was published.
  bool doubt = false;
};

struct Published {
  bool ok = false;
  // Not ok: a condition's reason, in one word: CacheUnavailable, CacheTimeout, CacheFull,
  // CacheDenied, CacheUntrusted, CacheCorrupt, CacheKeyInvalid, NotInCache.
  std::string reason;
  std::string message;
  // ok: what the cache says of the closure.
  std::string store_path;
  std::string signed_by;
  int64_t closure_size_bytes = 0;
  int64_t closure_paths = 0;
};

// Not thread-safe; the process must have one thread.
class Publisher {
 public:
  Publisher(CacheSettings settings, std::string store_root, LogTail* log)
      : settings_(std::move(settings)), store_root_(std::move(store_root)), log_(log) {}

  // Copies what the cache does not have yet and reads all of it back. What the cache has but cannot
  // be trusted or read is replaced, once. `lock_fd` as in SessionSpec.
  [[nodiscard]] Published Publish(const api::BuiltEnvironment& environment, int lock_fd);
  // Whether the cache has the closure, signed.
  [[nodiscard]] Published Check(const std::string& store_path);
  // The environment of that hash, which somebody else built: by its signed pointer.
  [[nodiscard]] Published Find(const std::string& hash);

 private:
  struct Session;
  [[nodiscard]] Session Run(const std::string& store_path, const std::string& secret_key,
                            int lock_fd) const;
  [[nodiscard]] Published Judge(const Session& session, const std::string& store_path) const;
  void RemoveFromCache(const std::vector<std::string>& closure, std::string_view log) const;
  [[nodiscard]] Result<std::string> SecretKey() const;
  [[nodiscard]] std::string Netrc() const;

  const CacheSettings settings_;
  const std::string store_root_;
  LogTail* const log_;
};

// The folders that hold key and credentials: no session that runs a user's code may see them.
[[nodiscard]] std::vector<std::string> SecretDirs(const CacheSettings& settings);

}  // namespace envicutor::agent
