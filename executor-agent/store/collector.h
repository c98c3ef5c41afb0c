// Keeps a node's store within its bound: which environments go is a pure decision, the rest removes
// them and lets Nix collect what nothing needs any more.
#pragma once

#include <chrono>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "executor-agent/store/store_layout.h"

namespace envicutor::agent {

struct StoredEnvironment {
  std::string hash;
  int64_t size_bytes = 0;  // of its closure, shared paths included
  int64_t last_used = 0;   // seconds since 1970
  bool live = false;       // in the operator's list
  bool in_use = false;     // a run holds it
};

// What is to go so that `bytes_over` are freed: those that are not live first, then live ones if
// `may_fetch_again`; within both, the least recently used first; never what is in use. Sizes count
// what is shared with others too, so that less may be freed than asked: the next round goes on.
[[nodiscard]] std::vector<std::string> ChooseEvictions(std::vector<StoredEnvironment> stored,
                                                       int64_t bytes_over, bool may_fetch_again);

struct CollectorOptions {
  std::string store_root;
  std::string scratch_dir;  // of its own
  int64_t max_bytes = 20LL << 30;
  bool may_fetch_again = false;  // there is a cache, so that live ones may go as well
  std::chrono::milliseconds timeout{std::chrono::minutes(10)};
};

struct Collected {
  int64_t bytes = 0;  // in the store afterwards
  std::vector<std::string> removed;
};

// Not thread-safe.
class Collector {
 public:
  explicit Collector(CollectorOptions options);

  // The environments that are on the store, with what ChooseEvictions needs.
  [[nodiscard]] std::vector<StoredEnvironment> List(const std::set<std::string>& live) const;
  // The sizes of all paths that are registered, added up.
  [[nodiscard]] Result<int64_t> StoreBytes() const;
  // Evicts and collects when the store is over its bound, or when `needed_bytes` are: then what
  // refused fetches left is removed too, and of the environments only those that are not live.
  // Unavailable: a build or a fetch is going on; try again later. Environments in use stay.
  [[nodiscard]] Result<Collected> Collect(const std::set<std::string>& live,
                                          int64_t needed_bytes) const;

 private:
  const CollectorOptions options_;
  const StoreLayout layout_;
};

}  // namespace envicutor::agent
