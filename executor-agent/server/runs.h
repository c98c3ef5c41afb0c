// Runs: which runs the agent has, on its slots. Takes, supersedes, cancels, finishes, drains.
//
// A run holds a slot (a worker thread) and its memory from the moment it is taken until its last
// process is gone, also after it was cancelled or superseded. Nothing waits here: what does not fit
// is refused, queueing is the operator's.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "common/api/run.h"
#include "common/metrics/metrics.h"
#include "executor-agent/journal/journal.h"
#include "executor-agent/run/control.h"
#include "executor-agent/server/result_log.h"
#include "executor-agent/server/timers.h"

namespace envicutor::agent {

enum class TakeOutcome {
  kTaken,
  kSame,        // the same run is here, running or done
  kSuperseded,  // a higher attempt is here, or this one was finished and acknowledged
  kNoCapacity,
  kDraining,
  kUnavailable,  // the journal cannot be written
};
struct TakeAnswer {
  TakeOutcome outcome = TakeOutcome::kTaken;
  std::string message;
};

struct RunView {
  RunKey key;
  bool done = false;
  std::string stage;
};

// Thread-safe.
class Runs {
 public:
  // Runs a request to its end on the calling thread: Executor::Execute in production.
  using ExecuteFn =
      std::function<api::RunResult(const api::RunRequest&, const RunControl&,
                                   const std::function<void(std::string_view)>& on_stage)>;
  struct Options {
    int slots = 1;
    int64_t memory_bytes = 0;  // that the runs' memory limits may add up to
  };

  // Results that the journal kept are in the log at once. All but options must outlive this.
  Runs(Options options, ExecuteFn execute, Journal& journal, ResultLog& log, Timers& timers,
       const Clock& clock, metrics::AgentMetrics& metrics);
  ~Runs();  // Stop()

  [[nodiscard]] TakeAnswer Take(api::RunRequest request);
  // False: no such run. One that is done already stays as it is.
  bool Cancel(const RunKey& key);
  [[nodiscard]] std::vector<RunView> List() const;
  void Acknowledge(const std::vector<RunKey>& keys);

  struct Load {
    int64_t busy_slots = 0;
    int64_t used_memory_bytes = 0;
    bool draining = false;
  };
  [[nodiscard]] Load load() const;
  [[nodiscard]] const Options& options() const { return options_; }

  // From now on every Take is refused.
  void BeginDrain();
  // Waits until no run is left (at most `grace`) and then until the operator has the results (at
  // most `ack_grace`: they are in the journal as well). Ends early when `hurry` is requested.
  void WaitDrained(Duration grace, Duration ack_grace, const std::stop_token& hurry);
  // Ends what still runs without a result (the operator tries again) and joins the workers.
  // Idempotent.
  void Stop();

 private:
  struct Active {
    api::RunRequest request;
    RunControl control;
    int64_t memory_bytes = 0;
    std::string stage = "queued";
    Timers::Id deadline = 0;
    [[nodiscard]] RunKey key() const { return {request.uid, request.attempt}; }
  };
  using ActivePtr = std::shared_ptr<Active>;

  TakeAnswer CheckHere(const RunKey& key);         // mutex_ held
  TakeAnswer CheckCapacity(int64_t memory) const;  // mutex_ held
  void ArmDeadline(const ActivePtr& run);
  void Work(const std::stop_token& stop);
  void OnStage(const ActivePtr& run, std::string_view stage);
  void Finish(const ActivePtr& run, const api::RunResult& result);
  void RememberForgotten(const RunKey& key);  // mutex_ held

  const Options options_;
  const ExecuteFn execute_;
  Journal& journal_;
  ResultLog& log_;
  Timers& timers_;
  const Clock& clock_;
  metrics::AgentMetrics& metrics_;

  mutable std::mutex mutex_;
  std::condition_variable_any queued_;       // for the workers
  std::condition_variable_any changed_;      // for WaitDrained: a run or an acknowledgement is done
  std::deque<ActivePtr> queue_;              // taken, for the next worker
  std::map<std::string, ActivePtr> active_;  // by uid: the attempt that counts
  std::map<std::string, int64_t> done_;      // uid to attempt: in the log, not acknowledged
  std::unordered_map<std::string, int64_t>
      forgotten_;                            // attempts that were acknowledged: never run again
  std::deque<std::string> forgotten_order_;  // oldest first, bounded
  int64_t busy_ = 0;
  int64_t used_memory_ = 0;
  bool draining_ = false;
  std::vector<std::jthread> workers_;  // last: they use the others
};

}  // namespace envicutor::agent
