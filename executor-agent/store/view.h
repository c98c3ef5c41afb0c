// The closure-only view of an environment: a folder of hard links into the store, bound as
// /nix/store in a box. No extra disk, survives the store's garbage collection, one mount a run.
#pragma once

#include <string>
#include <vector>

#include "common/base/status.h"
#include "executor-agent/store/store_layout.h"

namespace envicutor::agent {

// Makes views/HASH in one rename. What an earlier, dead builder left half made is removed first.
// The caller holds the store's lock.
[[nodiscard]] Status MakeView(const StoreLayout& layout, const std::string& hash,
                              const std::vector<std::string>& closure);
// Removes a folder of ours in which the files are hard links that user code could have named (never
// followed). OK when it is not there.
[[nodiscard]] Status RemoveTree(const std::string& path);

}  // namespace envicutor::agent
