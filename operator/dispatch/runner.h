// Runs a RunRequest on a free slot of a pool and gives its one result: the scheduler and the
// agents' clients behind one call. Used for Submissions and for the self-tests of Runtimes.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "common/api/run.h"
#include "common/base/status.h"

namespace envicutor::op {

struct RunPlacement {
  std::string pod;
  std::string node;
};

struct RunEvents {
  // On a thread of the runner's; must not block. The stage name is "extract", "compile", "run" or
  // "tests".
  std::function<void(const RunPlacement&)> on_dispatched;
  std::function<void(const std::string& stage)> on_progress;
  // Exactly once: the result, or Unavailable (executor lost), Cancelled, DeadlineExceeded,
  // ResourceExhausted (queue full), InvalidArgument (the agent could not read the request).
  std::function<void(const Result<api::RunResult>&, const RunPlacement&)> on_done;
  // False: the agent keeps the result until Acknowledge(uid), that is until it is recorded.
  bool acknowledge_on_done = true;
  // An operator has said that it is admitted: the queue's bounds are for what comes new.
  bool admitted = false;
};

// Why a run is not on an executor yet, or not known to be.
struct RunWait {
  bool no_capacity = false;  // no executor that is up could take it now, or ever
  int64_t position = 0;      // how many are ahead of it, about; 0: it is the next
  std::string message;       // for a person
};

// Thread-safe.
class Runner {
 public:
  virtual ~Runner() = default;
  // `fairness_key` is the namespace (fair between them); higher priority first. One attempt: when
  // the executor is lost the caller decides about the next. A run that an agent holds already
  // (after a restart of the operator) is adopted, not started again.
  virtual void Submit(const std::string& pool, const std::string& fairness_key, int64_t priority,
                      api::RunRequest request, RunEvents events) = 0;
  virtual void Cancel(const std::string& uid) = 0;
  // The result given to on_done is recorded: the agent may forget it. Unknown uids are ignored.
  virtual void Acknowledge(const std::string& uid) { (void)uid; }
  // A node on which the pool has an executor that takes runs; "" when there is none.
  [[nodiscard]] virtual std::string NodeFor(const std::string& pool) const {
    (void)pool;
    return "";
  }
  // nullopt when it is not waiting (dispatched, done, unknown).
  [[nodiscard]] virtual std::optional<RunWait> Waiting(const std::string& uid) const {
    (void)uid;
    return std::nullopt;
  }
};

}  // namespace envicutor::op
