// Who may do what with a node's store volume at the same time. Locks are flocks on files of the
// volume, so they hold between pods; a process that dies gives its lock back.
//
//   kBuild    one builder at a time (it also owns ROOT/build)
//   kFetch    shared: substitutions go on beside each other and beside a build. All only add paths,
//             which Nix's own locks order, and a fetch must not wait for a long build
//   kInstall  for the moment in which an environment becomes visible; taken inside the others
//   LockForCollection: neither builds nor fetches. A collection must see no half-made path:
//             temporary roots are known by process id, which says nothing between two pods
#pragma once

#include <chrono>
#include <optional>
#include <utility>
#include <vector>

#include "common/base/status.h"
#include "common/base/unique_fd.h"
#include "executor-agent/store/store_layout.h"

namespace envicutor::agent {

enum class StoreUse { kBuild, kFetch, kInstall };

// Waits at most `patience`, without one until it is free. Unavailable: it was not given in time.
// Also makes the volume's folder when it is not there.
[[nodiscard]] Result<UniqueFd> LockStore(const StoreLayout& layout, StoreUse use,
                                         std::optional<std::chrono::milliseconds> patience);

// Unavailable at once when a build or a fetch is going on.
[[nodiscard]] Result<std::pair<UniqueFd, UniqueFd>> LockForCollection(const StoreLayout& layout);

}  // namespace envicutor::agent
