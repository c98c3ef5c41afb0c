// Runs a RunRequest on a free slot of a pool and gives its one result: the scheduler, the agents' clients
// and retries behind one call. Used for Submissions and for the self-tests of Runtimes.
#pragma once

#include <functional>
#include <string>

#include "common/api/run.h"
#include "common/base/status.h"

namespace envicutor::op {

struct RunPlacement {
  std::string pod;
  std::string node;
};

struct RunEvents {
  // On a thread of the runner's; must not block. The stage name is "extract", "compile", "run" or "tests".
  std::function<void(const RunPlacement&)> on_dispatched;
  std::function<void(const std::string& stage)> on_progress;
  // Exactly once: the result, or Unavailable (executor lost), Cancelled, DeadlineExceeded,
  // ResourceExhausted (queue full).
  std::function<void(const Result<api::RunResult>&, const RunPlacement&)> on_done;
};

// Thread-safe.
class Runner {
 public:
  virtual ~Runner() = default;
  // `fairness_key` is the namespace (fair between them); higher priority first.
  virtual void Submit(const std::string& pool, const std::string& fairness_key, int64_t priority,
                      api::RunRequest request, RunEvents events) = 0;
  virtual void Cancel(const std::string& uid) = 0;
};

}  // namespace envicutor::op
