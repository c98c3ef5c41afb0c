// One garbage collection of the binary cache: lists it, decides (cache_mark.h), deletes. Publishing
// at the same time is safe as far as the grace goes; the operator lets nobody publish meanwhile.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"
#include "executor-agent/builder/cache_files.h"
#include "executor-agent/builder/cache_mark.h"

namespace envicutor::agent {

// What the operator asks for: {"live": [{"hash", "storePath", "pinned", "lastUsed"}], "maxBytes",
// "graceSeconds"}.
struct CollectRequest {
  std::map<std::string, LiveRoot> live;
  MarkOptions options;
};
[[nodiscard]] Result<CollectRequest> ParseCollectRequest(std::string_view json);

struct Collection {
  std::vector<std::string> environments;  // whose pointers went
  int64_t paths = 0;                      // narinfos that went
  int64_t freed_bytes = 0;
  int64_t kept_bytes = 0;
  int64_t lost_nars = 0;
  int64_t store_environments = 0;  // that went from the node's own store
};

// Stops at the first error: what is left is the next one's. Any order of death leaves a cache in
// which every environment is whole or absent.
[[nodiscard]] Result<Collection> CollectCache(CacheFiles& files, const CollectRequest& request,
                                              const std::vector<std::string>& public_keys);

// {"outcome": "Collected", ...} in at most 4096 bytes.
[[nodiscard]] std::string CollectionMessage(const Result<Collection>& collection);

}  // namespace envicutor::agent
