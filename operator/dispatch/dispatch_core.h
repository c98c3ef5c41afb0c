// The decisions of dispatch without threads, clocks or I/O: which run goes to which agent, what a
// result, a lost answer, a restarted or silent agent means. Events come in with the time, effects
// come out; the Dispatcher (dispatcher.h) carries them out, the simulation too.
//
// A run: Queued ─Put─► Placed (sent, perhaps taken) ─result─► Delivered ─Acknowledge─► forgotten.
// A run is delivered exactly once. Runs and results nobody asked for (a new operator's first
// seconds) wait until they are claimed by Submit, or are dropped after `unclaimed_grace`. A uid may
// have several (an operator that was deposed sent it elsewhere): each is accounted for.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "common/base/clock.h"
#include "operator/dispatch/agent_api.h"
#include "operator/dispatch/runner.h"
#include "operator/scheduler/run_queue.h"
#include "operator/scheduler/scheduler.h"

namespace envicutor::op {

struct Effect {
  enum class Kind { kPut, kCancel, kAck, kCall };
  Kind kind = Kind::kCall;
  std::string agent;
  std::shared_ptr<const api::RunRequest> request;  // kPut
  std::vector<RunKey> runs;                        // kCancel: one; kAck
  std::function<void()> call;                      // kCall: an event for whoever submitted
};
using Effects = std::vector<Effect>;

struct DispatchOptions {
  int64_t queue_max = 100'000;
  int64_t namespace_max = 20'000;
  std::map<std::string, double> namespace_weights;  // others weigh 1
  InFlightLimits in_flight;
  Duration silence_limit =
      std::chrono::seconds(5);  // after the first failed poll: its runs are lost
  Duration adoption_wait = std::chrono::seconds(5);  // at start: for agents that do not answer
  // How long a run waits for an executor on the one node that has its environment.
  Duration bound_grace = std::chrono::seconds(30);
  Duration unclaimed_grace = std::chrono::seconds(60);
  Duration put_retry = std::chrono::milliseconds(200);
  Duration full_retry = std::chrono::milliseconds(20);  // after a 429
  Duration refused_retry = std::chrono::seconds(1);     // after a 503
  Duration ack_retry = std::chrono::milliseconds(500);
  Duration ack_delay = Duration::zero();  // acknowledgements within it share a request
};

struct AgentLoad {
  std::string pod;
  bool ready = false;
  bool draining = false;
  int64_t slots = 0;
  int64_t busy = 0;
};

struct PoolLoad {
  int64_t queued = 0;  // waiting, those that fit no executor included
  int64_t slots = 0;   // of agents that are ready
  int64_t busy = 0;
  std::vector<AgentLoad> agents;
};

// Not thread-safe.
class DispatchCore {
 public:
  explicit DispatchCore(DispatchOptions options);

  // New bounds and weights, from here on; the durations stay. Runs that are over a new bound go on.
  void SetBounds(const DispatchOptions& options, SteadyTime now, Effects* out);

  void Submit(const std::string& pool, const std::string& ns, int64_t priority,
              api::RunRequest request, RunEvents events, SteadyTime now, Effects* out);
  void Cancel(const std::string& uid, SteadyTime now, Effects* out);
  void Acknowledge(const std::string& uid, SteadyTime now, Effects* out);

  // The executor pods that exist are all known: dispatching starts when each has said what it
  // holds, or `adoption_wait` later.
  void AgentsListed(SteadyTime now, Effects* out);
  // A pod with an address; again when something about it changed.
  void AgentFound(const std::string& name, const std::string& pool, const std::string& node,
                  bool draining, SteadyTime now, Effects* out);
  // `asked`: when the question for what it holds was sent; only runs taken before can be missing.
  void AgentConnected(const std::string& name, const api::AgentInfo& info, const HeldRuns& held,
                      SteadyTime asked, SteadyTime now, Effects* out);
  void AgentPolled(const std::string& name, ResultsPage page, SteadyTime now, Effects* out);
  void AgentSilent(const std::string& name, SteadyTime now, Effects* out);
  void AgentGone(const std::string& name, const std::string& why, SteadyTime now, Effects* out);
  void Drain(const std::string& name);

  void PutAnswered(const std::string& agent, const RunKey& key, const Status& status,
                   SteadyTime now, Effects* out);
  void AckAnswered(const std::string& agent, const std::vector<RunKey>& runs, const Status& status,
                   SteadyTime now, Effects* out);
  void CancelAnswered(const std::string& agent, const RunKey& key, const Status& status,
                      SteadyTime now, Effects* out);

  // Retries and time-outs that are due. NextDue: when to call it again.
  void Tick(SteadyTime now, Effects* out);
  [[nodiscard]] std::optional<SteadyTime> NextDue() const;

  // A node with an executor of the pool that takes runs, the one with most free slots; "" when
  // there is none.
  [[nodiscard]] std::string NodeFor(const std::string& pool) const;
  [[nodiscard]] std::optional<RunWait> Waiting(const std::string& uid) const;
  // Whether the run is to be put on this agent and nothing is known of it there.
  [[nodiscard]] bool Awaits(const std::string& agent, const RunKey& key) const;
  [[nodiscard]] PoolLoad Load(const std::string& pool) const;
  [[nodiscard]] std::vector<std::string> Pools() const;
  [[nodiscard]] size_t run_count() const { return runs_.size(); }

 private:
  struct Run {
    enum class State { kQueued, kPlaced, kDelivered };
    State state = State::kQueued;
    std::string pool;
    std::string ns;
    int64_t priority = 0;
    std::shared_ptr<const api::RunRequest> request;
    int64_t attempt = 1;  // the request's, or that of the run that was adopted
    int64_t memory = 0;
    RunEvents events;
    std::string agent;
    bool taken = false;  // the agent answered that it has it
    SteadyTime taken_at;
    bool cancelled = false;
  };
  struct Agent {
    std::string pool;
    RunPlacement placement;
    std::string instance;
    bool connected = false;
    bool draining = false;
    bool silent = false;
    SteadyTime silent_since;
    SteadyTime full_until;
    int64_t slots = 0;
    int64_t memory = 0;
    int64_t used_memory = 0;
    std::unordered_set<std::string> runs;  // placed here
    int64_t unclaimed_running = 0;
    std::deque<RunKey> acks;
    bool ack_in_flight = false;
  };
  struct BoundRun {
    QueuedRun run;
    SteadyTime since;
  };
  struct Pool {
    RunQueue queue;
    std::unordered_map<std::string, QueuedRun> parked;  // too large for every executor that is up
    int64_t largest = 0;                                // memory of the largest executor seen then
    std::deque<BoundRun> bound;                         // those that only one node can take
  };
  struct Unclaimed {
    std::string agent;
    int64_t attempt = 1;
    std::optional<api::RunResult> result;
    SteadyTime since;
  };
  struct Retry {
    std::string uid;
    std::string agent;
    bool cancel = false;
  };

  void Pump(const std::string& pool, SteadyTime now, Effects* out);
  // dispatch_core_bound.cpp
  void PumpBound(const std::string& pool, SteadyTime now, Effects* out);
  void GiveUpBound(SteadyTime now, Effects* out);
  bool RemoveBound(Pool& pool, const std::string& uid);
  void ReleaseNamespaces(SteadyTime now, const std::string& pool);
  Pool& PoolNamed(const std::string& name);
  void Enqueue(const std::string& uid, Run& run, bool front, SteadyTime now);
  bool Unqueue(const std::string& uid, const Run& run);
  void Place(const std::string& uid, Run& run, const std::string& agent, Effects* out);
  void Unplace(const std::string& uid, Run& run);
  bool Claim(const std::string& uid, Run& run, Effects* out);
  void ClaimForQueued(const std::string& uid, Effects* out);
  void Deliver(const std::string& uid, Run& run, Result<api::RunResult> result, Effects* out);
  void Lose(const std::string& agent, const std::string& why, Effects* out);
  void TakeResult(const std::string& name, Agent& agent, api::RunResult result, SteadyTime now,
                  Effects* out);
  void HoldUnclaimed(const std::string& name, Agent& agent, const RunKey& key,
                     std::optional<api::RunResult> result, SteadyTime now);
  void DropUnclaimed(const std::string& uid, const Unclaimed& held, Effects* out);
  void DropAllUnclaimed(const std::string& uid, Effects* out);
  void ForgetUnclaimed(const std::string& name, Agent& agent, const RunKey& key);
  void DelayAcks(const std::string& agent, SteadyTime now);
  void QueueAck(const std::string& agent, RunKey key, Effects* out);
  void FlushAcks(const std::string& name, Agent& agent, Effects* out);
  void MaybeOpen(SteadyTime now, Effects* out);
  [[nodiscard]] bool Usable(const Agent& agent, SteadyTime now) const;

  DispatchOptions options_;
  std::unordered_map<std::string, Run> runs_;
  std::map<std::string, Agent> agents_;
  std::map<std::string, Pool> pools_;
  std::shared_ptr<InFlight> in_flight_;  // of all pools' queues
  std::set<std::string> released_;       // namespaces that were full: their runs may start
  std::unordered_map<std::string, std::vector<Unclaimed>> unclaimed_;  // by uid; none is empty
  std::multimap<SteadyTime, Retry> put_retries_;
  std::multimap<SteadyTime, std::string> ack_retries_;   // agents
  std::multimap<SteadyTime, std::string> full_retries_;  // pools
  bool listed_ = false;
  bool open_ = false;
  SteadyTime listed_at_;
  int64_t queued_ = 0;
};

}  // namespace envicutor::op
