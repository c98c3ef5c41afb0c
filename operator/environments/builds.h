// Environments for Runtimes and Submissions: built once each by a builder pod, whoever asks.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "common/api/environment.h"
#include "common/api/stage_result.h"

namespace envicutor::op {

struct BuildState {
  enum class Phase { kBuilding, kReady, kFailed };
  Phase phase = Phase::kBuilding;
  bool infrastructure = false;  // kFailed: our fault (no builder, store full), not the shell.nix's
  std::string message;          // for a person
  std::string store_path;
  int64_t closure_size_bytes = 0;
  int64_t closure_paths = 0;
  std::string signed_by;
  // Built, but not in the cache: why, as a condition's reason ("CacheUnavailable"). "" otherwise.
  std::string unpublished;
  std::string node;                       // where its builder ran: has it on its store
  std::optional<api::StageResult> stage;  // stdout/stderr: tail of the build log
};

// Thread-safe; no call blocks on a build.
class EnvironmentBuilds {
 public:
  virtual ~EnvironmentBuilds() = default;
  // Starts a build when none is there or running; the state now. A failed build stays failed until
  // Retry. The hash is api::EnvironmentHash(spec, default pin).
  [[nodiscard]] virtual BuildState Ensure(const api::EnvironmentSpec& spec) = 0;
  [[nodiscard]] virtual std::string HashOf(const api::EnvironmentSpec& spec) const = 0;
  virtual void Retry(const std::string& hash) = 0;
  // An executor could not get it although it is ready: the next Ensure looks again, at most once a
  // minute.
  virtual void Recheck(const std::string& hash) { (void)hash; }
  // `cache: false`: used once, removed.
  virtual void Discard(const std::string& hash) = 0;
  // Called with the hash, on a thread of its own, when a build's state changed.
  virtual void OnChange(std::function<void(const std::string& hash)> callback) = 0;
};

}  // namespace envicutor::op
