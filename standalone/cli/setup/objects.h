// ExecutorPools and Runtimes of a release: applied, replaced, and removed when they have left it.
#pragma once

#include <chrono>
#include <stop_token>
#include <string>
#include <vector>

#include "common/base/json.h"
#include "common/base/status.h"
#include "common/kube/client.h"

namespace envicutor::standalone {

// On objects that a release's setup made: its name.
inline constexpr char kReleaseLabel[] = "envicutor.io/release";

// The merge patch that makes `current` equal to `wanted`: what is not wanted becomes null. Pure.
[[nodiscard]] Json ReplacingPatch(const Json& current, const Json& wanted);

// The ExecutorPools and Runtimes in the folder's .yaml files. InvalidArgument names the file.
[[nodiscard]] Result<std::vector<Json>> LoadObjects(const std::string& dir);

// Waits up to `patience` for their types to be served. An object that is there without this
// release's label is somebody else's and left alone, with a warning. Those of the release that are
// not in `objects` are deleted.
[[nodiscard]] Status ApplyObjects(kube::Client& client, const std::string& release,
                                  const std::vector<Json>& objects, std::chrono::seconds patience,
                                  std::stop_token stop);

// Deletes the release's ExecutorPools and waits up to `patience` until their pods are gone.
// DeadlineExceeded names what is left.
[[nodiscard]] Status RemovePools(kube::Client& client, const std::string& release,
                                 const std::string& executor_namespace,
                                 std::chrono::seconds patience, std::stop_token stop);

}  // namespace envicutor::standalone
