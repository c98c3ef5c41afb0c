// What of a binary cache is kept and what goes: a decision over lists, without any I/O.
//
// Roots are the environments' pointers and the store paths that the operator names; what they need
// is found through narinfos' references. Kept in any case: what is live, and what is younger than
// the grace with all that it needs (a publisher may be at it). Of the rest as much as fits in the
// bound, the most recently used first.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "executor-agent/builder/cache_files.h"
#include "executor-agent/builder/narinfo.h"

namespace envicutor::agent {

struct StoredNarinfo {
  CacheFile file;
  bool readable = false;  // else it is of no use to anybody
  Narinfo info;
};

struct StoredPointer {
  CacheFile file;          // named by the environment's hash
  std::string store_path;  // "": unreadable, or not signed by a key of ours
};

struct LiveRoot {
  std::string store_path;  // "" when it is not known
  bool pinned = false;     // a Runtime has it, or a submission that is not over
  int64_t last_used_unix = 0;
};

struct CacheContents {
  std::vector<StoredNarinfo> narinfos;
  std::vector<StoredPointer> pointers;
  std::vector<CacheFile> nars;  // listed after the narinfos, which are written after them
  int64_t now_unix = 0;         // by the cache's clock
};

struct MarkOptions {
  int64_t max_bytes = 50LL << 30;
  int64_t grace_seconds = 3600;
};

// In the order in which they are deleted: whoever reads meanwhile finds an environment whole or not
// at all. The NAR of a narinfo that goes now goes the next time: somebody may be reading it.
struct Sweep {
  std::vector<std::string> pointers;  // names in environments/
  std::vector<std::string> narinfos;
  std::vector<std::string> nars;  // names in nar/
  int64_t kept_bytes = 0;         // of NARs, compressed
  int64_t freed_bytes = 0;
  int64_t lost_nars =
      0;  // narinfos that are live but whose file is gone; they go, to be written again
};

// `live` by environment hash.
[[nodiscard]] Sweep DecideSweep(const CacheContents& contents,
                                const std::map<std::string, LiveRoot>& live,
                                const MarkOptions& options);

}  // namespace envicutor::agent
