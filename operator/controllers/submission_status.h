// What is written into a Submission's status: pure functions from what happened to the object that
// is sent to the status subresource.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/api/run.h"
#include "common/base/clock.h"
#include "common/base/json.h"
#include "operator/dispatch/runner.h"

namespace envicutor::op {

enum class Phase { kPending, kRunning, kCompleted, kFailed, kCancelled };
[[nodiscard]] std::string_view PhaseName(Phase phase);
// Completed, Failed and Cancelled are final.
[[nodiscard]] bool IsTerminal(const Json& submission);
// Of its attempts so far those that spec.maxAttempts does not count.
[[nodiscard]] int64_t UncountedAttempts(const Json& submission);
// By its spec, or as it is being deleted.
[[nodiscard]] bool AsksForCancel(const Json& submission);

// One word and one sentence for a phase.
struct Progress {
  Phase phase = Phase::kPending;
  std::string reason;
  std::string message;
  bool admitted = false;  // the condition Admitted can be set
  std::optional<RunPlacement> placement;
  std::optional<WallTime> start_time;
  int64_t attempt = 1;
  int64_t uncounted_attempts = 0;  // 0: as many as the object says
};

struct Outcome {
  Phase phase = Phase::kCompleted;
  std::string reason;   // of Failed; "" for Completed
  std::string message;  // "" : made from the verdict
  bool admitted = true;
  api::Verdict verdict = api::Verdict::kNone;
  std::optional<api::RunResult> result;
  std::optional<api::StageResult> environment;
  std::optional<RunPlacement> placement;
  int64_t attempt = 1;
  std::optional<int64_t> queue_millis;
  std::optional<int64_t> overhead_millis;
};

// What is PUT to the status subresource: the identity of `submission`, the object as last seen, the
// resourceVersion that it must still have, and its whole new status. Not a patch: an API server
// decodes and encodes the present object once more for one.
[[nodiscard]] Json ProgressUpdate(const Json& submission, const Progress& progress, WallTime now);
// Outputs are cut to the size budget of the object.
[[nodiscard]] Json OutcomeUpdate(const Json& submission, Outcome outcome, WallTime now);

// Of a finished one, what the operator still needs: name, namespace, uid, resourceVersion, phase,
// completionTime and its own time to live.
[[nodiscard]] Json FinishedMembers(const Json& submission, const Json& status,
                                   const std::string& version);
// The same from its text; nullopt: it has not finished, or its text must be parsed to know.
[[nodiscard]] std::optional<Json> SkimFinished(std::string_view object);

// A sentence for a verdict where the agent gave none: "time limit exceeded in the run stage:
// wallTime".
[[nodiscard]] std::string MessageOf(const api::RunResult& result);
// Milliseconds that the program's own stages took by the clock.
[[nodiscard]] int64_t StageMillis(const api::RunResult& result);

}  // namespace envicutor::op
