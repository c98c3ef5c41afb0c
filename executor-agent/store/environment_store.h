// The environments of a store volume, as the agent uses them: which folder a box gets as
// /nix/store, which shell runs its scripts, which variables were captured. Read-only: what writes
// the volume is the builder (executor-agent/builder) and the substituter behind EnvironmentSource.
//
//   ENVICUTOR_ASSIGN(auto environment, store->Get(hash, store_path, stop));
//   sandbox->NewBox(environment->box, ...);  // environment->built.variables,
//   environment->built.closure
//
// Everything that is read is checked: an environment.json holds text that user code chose
// (variables), so paths must lie below /nix/store, names must be names, sizes are bounded.
#pragma once

#include <memory>
#include <stop_token>
#include <string>

#include "common/api/environment.h"
#include "common/base/status.h"
#include "executor-agent/sandbox/sandbox.h"

namespace envicutor::agent {

struct PreparedEnvironment {
  BoxEnvironment box;           // view_dir is absolute on this node
  api::BuiltEnvironment built;  // variables, closure, store path
};

// Brings an environment that is not on this node: the binary cache's seam. Thread-safe.
class EnvironmentSource {
 public:
  virtual ~EnvironmentSource() = default;
  // OK: environments/HASH and views/HASH are complete on the store volume. NotFound: nobody has it.
  // PermissionDenied: what the cache has is not what somebody trusted signed. Unavailable and the
  // rest: try again later. Cancelled: `stop` came first. Several callers at once for one hash fetch
  // once.
  [[nodiscard]] virtual Status Fetch(const std::string& hash, const std::string& store_path,
                                     std::stop_token stop) = 0;
};

// Thread-safe.
class EnvironmentStore {
 public:
  virtual ~EnvironmentStore() = default;
  // From memory after the first time (one stat a call, so that a removed environment is noticed).
  // While what it gives is held, nobody removes the environment from this node.
  // NotFound: it is not on this node, and without a store path or a source nothing brings it.
  // InvalidArgument: not a hash. FailedPrecondition: it is there but must not be used; the message
  // says why. Else: what EnvironmentSource::Fetch said.
  [[nodiscard]] virtual Result<std::shared_ptr<const PreparedEnvironment>> Get(
      const std::string& hash, const std::string& store_path, std::stop_token stop) = 0;
  // Only what is here.
  [[nodiscard]] Result<std::shared_ptr<const PreparedEnvironment>> Get(const std::string& hash) {
    return Get(hash, "", {});
  }
};

// `root` is the volume (layout in common/api/environment.h). `source` may be nullptr; it must
// outlive the store.
[[nodiscard]] std::unique_ptr<EnvironmentStore> NewEnvironmentStore(
    std::string root, EnvironmentSource* source = nullptr);

// Exactly 32 lower-case hex digits: safe as a file name.
[[nodiscard]] bool IsEnvironmentHash(std::string_view text);

}  // namespace envicutor::agent
