// What makes a store path an environment that boxes can use: its captured variables and closure as
// environments/HASH/environment.json, its view, its root for the garbage collector. The builder and
// the substituter end in this.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "common/api/environment.h"
#include "common/base/status.h"
#include "executor-agent/store/store_layout.h"

namespace envicutor::agent {

// The folders of a store volume that Nix does not make itself.
[[nodiscard]] Status MakeStoreFolders(const StoreLayout& layout);

// An environment that is complete already, as the agent would see it.
[[nodiscard]] std::optional<api::BuiltEnvironment> FindInstalled(const StoreLayout& layout,
                                                                 const std::string& hash);

// The size of an installed environment's closure; -1 when it is not there. Cheaper than the above:
// for lists.
[[nodiscard]] int64_t InstalledBytes(const StoreLayout& layout, const std::string& hash);

// `path_info` is `nix path-info --json -r` of environment->store_path: what is registered as valid,
// which is more than what is there. Fills in the rest of `environment` (hash and store_path are
// set) and writes environment.json last. One that is complete already is left as it is: runs may
// use it. With `captured_by_user` true on failure, what user code captured is at fault, not us.
[[nodiscard]] Status InstallEnvironment(const StoreLayout& layout, const std::string& path_info,
                                        int64_t max_closure_bytes,
                                        api::BuiltEnvironment* environment, bool* captured_by_user);

// A run of any process holds it now.
[[nodiscard]] bool IsInUse(const StoreLayout& layout, const std::string& hash);

// Makes it unusable first, then removes it, its view and its root; store paths go with the next
// collection. Unavailable: a run uses it. OK when it is not there.
[[nodiscard]] Status UninstallEnvironment(const StoreLayout& layout, const std::string& hash);

}  // namespace envicutor::agent
