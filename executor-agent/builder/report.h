// What became of a build, and the termination message that tells the operator
// (docs/architecture.md, "A builder pod").
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "common/api/environment.h"
#include "common/api/stage_result.h"
#include "common/base/status.h"

namespace envicutor::agent {

enum class BuildOutcome {
  kBuilt,
  kBuildFailed,
  kEvaluationFailed,
  kTimedOut,
  kOutOfMemory,
  kPublishFailed,  // built, but not in the cache
  kInternalError
};
[[nodiscard]] std::string_view BuildOutcomeName(BuildOutcome outcome);

struct BuildReport {
  BuildOutcome outcome = BuildOutcome::kInternalError;
  std::string message;                // one sentence or the useful end of the error, for a person
  std::string reason;                 // kPublishFailed: Published::reason
  api::BuiltEnvironment environment;  // kBuilt, kPublishFailed
  int64_t closure_paths = 0;
  std::optional<api::StageResult> stage;
};

// Kubernetes keeps 4096 bytes of a termination message.
inline constexpr size_t kMaxTerminationMessageBytes = 4096;

// At most kMaxTerminationMessageBytes: the log's end and the message are cut until it fits.
[[nodiscard]] std::string TerminationMessage(const BuildReport& report);

// The part of Nix's output that tells a person what is wrong: from the last "error:" on, with our
// own folders and hints about options taken out. "" when there is none.
[[nodiscard]] std::string UsefulError(std::string_view log);

// "shell.nix:1:2", not where it was on the builder.
[[nodiscard]] std::string WithoutOurFolders(std::string_view text);

}  // namespace envicutor::agent
