// Builds an environment into a store volume, once: evaluates and builds it in a session
// (session.h), reads what was captured, makes the hard-link view and writes environment.json, which
// is what says "ready". Where there is a cache it is then published (publisher.h), and what is in
// the cache already is not built.
#pragma once

#include <cstdint>
#include <string>

#include "executor-agent/builder/log_tail.h"
#include "executor-agent/builder/publisher.h"
#include "executor-agent/builder/report.h"
#include "executor-agent/builder/request.h"

namespace envicutor::agent {

struct BuilderOptions {
  std::string store_root;
  std::string nixpkgs;  // a folder, or a tarball's URL: the default pin
  std::string nixpkgs_sha256;
  int64_t timeout_millis = 15 * 60'000LL;  // where the spec has none
  int64_t evaluation_memory_bytes = 2LL << 30;
  int64_t memory_bytes = 4LL << 30;  // of the build in all, where the spec has none
  int64_t max_silent_seconds = 600;
  int64_t max_log_bytes = 16LL << 20;
  int64_t max_closure_bytes = 32LL << 30;
  int64_t min_free_bytes = 512LL << 20;
  CacheSettings cache;
  bool network = false;  // with a nixpkgs folder too: for its fixed-output derivations
  // Used with a URL pin or `network`.
  std::string substituters = "https://cache.nixos.org";
  std::string trusted_public_keys =
      "cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY=";
};

// Never fails: what went wrong is the report. Waits for the store's lock. `log` gets progress and
// Nix's output.
[[nodiscard]] BuildReport BuildEnvironment(const BuilderOptions& options,
                                           const BuildRequest& request, LogTail* log);

// Removes the environment, its view and its store root; the store paths go with the next garbage
// collection. OK when it is not there.
[[nodiscard]] Status RemoveEnvironment(const BuilderOptions& options, const std::string& hash);

}  // namespace envicutor::agent
