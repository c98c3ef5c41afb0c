#include "operator/dispatch/dispatch_core.h"

#include <algorithm>
#include <utility>

#include "common/api/limits.h"

namespace envicutor::op {
namespace {

Effect Call(std::function<void()> call) {
  Effect effect;
  effect.call = std::move(call);
  return effect;
}

}  // namespace

DispatchCore::DispatchCore(DispatchOptions options)
    : options_(std::move(options)), in_flight_(std::make_shared<InFlight>()) {
  in_flight_->SetLimits(options_.in_flight);
}

void DispatchCore::SetBounds(const DispatchOptions& options, SteadyTime now, Effects* out) {
  options_.queue_max = options.queue_max;
  options_.namespace_max = options.namespace_max;
  options_.namespace_weights = options.namespace_weights;
  options_.in_flight = options.in_flight;
  in_flight_->SetLimits(options_.in_flight);
  for (auto& [name, pool] : pools_) {
    pool.queue.SetWeights(options_.namespace_weights);
    pool.queue.ReleaseAll();
  }
  for (const std::string& pool : Pools()) Pump(pool, now, out);
}

DispatchCore::Pool& DispatchCore::PoolNamed(const std::string& name) {
  const auto [it, fresh] = pools_.try_emplace(name);
  if (fresh) it->second.queue = RunQueue(options_.namespace_weights, in_flight_);
  return it->second;
}

void DispatchCore::Submit(const std::string& pool, const std::string& ns, int64_t priority,
                          api::RunRequest request, RunEvents events, SteadyTime now, Effects* out) {
  const std::string uid = request.uid;
  if (runs_.count(uid) != 0) return;  // one run a uid at a time; the first one's events go on
  Run run;
  run.pool = pool;
  run.ns = ns;
  run.priority = priority;
  run.attempt = request.attempt;
  run.memory = request.memory_bytes;
  run.request = std::make_shared<const api::RunRequest>(std::move(request));
  run.events = std::move(events);
  Run& stored = runs_.emplace(uid, std::move(run)).first->second;
  if (Claim(uid, stored, out)) return;
  // A later attempt waited once already. Before all agents have said what they hold, one of them
  // may have this run, and what waits was there before this operator.
  const bool fresh = open_ && stored.attempt == 1 && !stored.events.admitted;
  const auto of_namespace = static_cast<int64_t>(PoolNamed(pool).queue.CountOf(ns));
  const bool full = queued_ >= options_.queue_max;
  if (fresh && (full || of_namespace >= options_.namespace_max)) {
    const std::string bound =
        full ? "the queue holds " + std::to_string(queued_) + " submissions, its maximum"
             : "namespace " + ns + " has " + std::to_string(of_namespace) +
                   " submissions waiting, the maximum of a namespace";
    Deliver(uid, stored, ResourceExhausted(bound), out);
    return;
  }
  Enqueue(uid, stored, false, now);
  Pump(pool, now, out);
}

// A run that an agent held before anyone asked: its result, or its place, is taken over.
bool DispatchCore::Claim(const std::string& uid, Run& run, Effects* out) {
  const auto it = unclaimed_.find(uid);
  if (it == unclaimed_.end()) return false;
  std::vector<Unclaimed> copies = std::move(it->second);
  unclaimed_.erase(it);
  // The latest attempt; of two a result before one that still runs, before one that was stopped.
  const auto worth = [](const Unclaimed& copy) {
    const int state = !copy.result.has_value() ? 1 : (copy.result->cancelled ? 0 : 2);
    return std::pair(copy.attempt, state);
  };
  const auto best =
      std::max_element(copies.begin(), copies.end(),
                       [&](const auto& a, const auto& b) { return worth(a) < worth(b); });
  Unclaimed held = std::move(*best);
  copies.erase(best);
  for (const Unclaimed& copy : copies) DropUnclaimed(uid, copy, out);
  if (held.attempt < run.attempt) {
    DropUnclaimed(uid, held, out);
    return false;
  }
  run.agent = held.agent;
  run.attempt = held.attempt;
  Agent& agent = agents_[held.agent];
  if (held.result.has_value()) {
    Deliver(uid, run, std::move(*held.result), out);
    return true;
  }
  --agent.unclaimed_running;
  agent.runs.insert(uid);
  agent.used_memory += run.memory;
  in_flight_->Start(run.ns);
  run.state = Run::State::kPlaced;
  run.taken = true;
  if (run.events.on_dispatched) {
    out->push_back(Call([call = run.events.on_dispatched, at = agent.placement] { call(at); }));
  }
  return true;
}

void DispatchCore::Cancel(const std::string& uid, SteadyTime now, Effects* out) {
  const auto it = runs_.find(uid);
  if (it == runs_.end()) {
    DropAllUnclaimed(uid, out);
    return;
  }
  Run& run = it->second;
  if (run.state == Run::State::kQueued) {
    const std::string pool = run.pool;
    Unqueue(uid, run);
    Deliver(uid, run, Status(Code::kCancelled, "cancelled before it started"), out);
    Pump(pool, now, out);
    return;
  }
  if (run.state != Run::State::kPlaced || run.cancelled) return;
  run.cancelled = true;
  Effect effect;
  effect.kind = Effect::Kind::kCancel;
  effect.agent = run.agent;
  effect.runs = {{uid, run.attempt}};
  out->push_back(std::move(effect));
}

void DispatchCore::Acknowledge(const std::string& uid, SteadyTime now, Effects* out) {
  const auto it = runs_.find(uid);
  if (it == runs_.end() || it->second.state != Run::State::kDelivered) return;
  const RunKey key{uid, it->second.attempt};
  const std::string agent = it->second.agent;
  runs_.erase(it);
  DelayAcks(agent, now);
  QueueAck(agent, key, out);
  DropAllUnclaimed(uid, out);  // of the same attempt: nobody needs them any more
}

void DispatchCore::Enqueue(const std::string& uid, Run& run, bool front, SteadyTime now) {
  Pool& pool = PoolNamed(run.pool);
  run.state = Run::State::kQueued;
  run.agent.clear();
  run.taken = false;
  QueuedRun queued{uid, run.ns, run.priority, run.memory};
  if (!run.request->environment_node.empty()) {
    pool.bound.push_back({std::move(queued), now});
  } else if (front) {
    pool.queue.PushFront(std::move(queued));
  } else {
    pool.queue.Push(std::move(queued));
  }
  ++queued_;
}

bool DispatchCore::Unqueue(const std::string& uid, const Run& run) {
  Pool& pool = PoolNamed(run.pool);
  if (!pool.queue.Remove(uid) && pool.parked.erase(uid) == 0 && !RemoveBound(pool, uid)) {
    return false;
  }
  --queued_;
  return true;
}

// The one answer to whoever submitted. A result stays known until it is acknowledged, a failure is
// over.
void DispatchCore::Deliver(const std::string& uid, Run& run, Result<api::RunResult> result,
                           Effects* out) {
  RunPlacement placement;
  const auto agent = agents_.find(run.agent);
  if (agent != agents_.end()) placement = agent->second.placement;
  const bool has_result = result.ok();
  if (run.events.on_done) {
    out->push_back(Call([call = run.events.on_done, result = std::move(result), placement] {
      call(result, placement);
    }));
  }
  if (!has_result) {
    runs_.erase(uid);
    return;
  }
  if (run.events.acknowledge_on_done) {
    const RunKey key{uid, run.attempt};
    const std::string name = run.agent;
    runs_.erase(uid);
    QueueAck(name, key, out);
    return;
  }
  run.state = Run::State::kDelivered;
  run.request.reset();
  run.events = {};
}

bool DispatchCore::Usable(const Agent& agent, SteadyTime now) const {
  return agent.connected && !agent.draining && !agent.silent && agent.full_until <= now;
}

void DispatchCore::Pump(const std::string& name, SteadyTime now, Effects* out) {
  if (!open_) return;
  ReleaseNamespaces(now, name);
  PumpBound(name, now, out);
  const auto it = pools_.find(name);
  if (it == pools_.end() || it->second.queue.size() == 0) return;
  Pool& pool = it->second;
  std::vector<ExecutorRoom> rooms;
  std::vector<const std::string*> names;
  bool any_free = false;
  int64_t largest = 0;
  for (const auto& [agent_name, agent] : agents_) {
    if (agent.pool != name || !agent.connected) continue;
    largest = std::max(largest, agent.memory);
    ExecutorRoom room;
    room.memory_bytes = agent.memory;
    if (Usable(agent, now)) {
      room.free_slots =
          agent.slots - static_cast<int64_t>(agent.runs.size()) - agent.unclaimed_running;
      room.free_memory_bytes = agent.memory - agent.used_memory;
    }
    any_free = any_free || room.free_slots > 0;
    rooms.push_back(room);
    names.push_back(&agent_name);
  }
  if (!any_free) return;
  Schedule schedule = PlanStarts(&pool.queue, &rooms);
  pool.largest = largest;
  for (QueuedRun& run : schedule.too_large) {
    std::string id = run.id;
    pool.parked.emplace(std::move(id), std::move(run));
  }
  for (const Assignment& start : schedule.starts) {
    --queued_;
    Place(start.run.id, runs_.at(start.run.id), *names[start.executor], out);
  }
}

void DispatchCore::Place(const std::string& uid, Run& run, const std::string& name, Effects* out) {
  Agent& agent = agents_.at(name);
  run.state = Run::State::kPlaced;
  run.agent = name;
  run.taken = false;
  agent.runs.insert(uid);
  agent.used_memory += run.memory;
  Effect effect;
  effect.kind = Effect::Kind::kPut;
  effect.agent = name;
  effect.request = run.request;
  out->push_back(std::move(effect));
}

void DispatchCore::Unplace(const std::string& uid, Run& run) {
  const auto it = agents_.find(run.agent);
  if (it == agents_.end()) return;
  if (it->second.runs.erase(uid) == 0) return;
  it->second.used_memory -= run.memory;
  if (in_flight_->End(run.ns)) released_.insert(run.ns);
}

// What waited for its own namespace's runs to end may start. Other pools are looked at soon.
void DispatchCore::ReleaseNamespaces(SteadyTime now, const std::string& pool) {
  for (const std::string& ns : std::exchange(released_, {})) {
    for (auto& [name, other] : pools_) {
      if (other.queue.Release(ns) && name != pool) full_retries_.emplace(now, name);
    }
  }
}

void DispatchCore::PutAnswered(const std::string& name, const RunKey& key, const Status& status,
                               SteadyTime now, Effects* out) {
  const auto it = runs_.find(key.uid);
  if (it == runs_.end()) return;
  Run& run = it->second;
  // A result, a lost agent or a newer attempt may have been faster than the answer.
  if (run.state != Run::State::kPlaced || run.agent != name || run.attempt != key.attempt) return;
  const std::string pool = run.pool;
  Agent& agent = agents_.at(name);
  switch (status.code()) {
    case Code::kOk:
      run.taken = true;
      run.taken_at = now;
      if (run.events.on_dispatched) {
        out->push_back(Call([call = run.events.on_dispatched, at = agent.placement] { call(at); }));
      }
      return;
    case Code::kResourceExhausted:
      agent.full_until = now + options_.full_retry;
      full_retries_.emplace(agent.full_until, pool);
      break;
    case Code::kFailedPrecondition:  // draining, or its disk is full: its pod will tell, or it will
                                     // pass
      agent.full_until = now + options_.refused_retry;
      full_retries_.emplace(agent.full_until, pool);
      break;
    case Code::kInvalidArgument:
    case Code::kConflict: {
      Unplace(key.uid, run);
      const bool unreadable = status.code() == Code::kInvalidArgument;
      Deliver(key.uid, run,
              unreadable ? status : Unavailable("a later attempt is on the executor already"), out);
      Pump(pool, now, out);
      return;
    }
    default:
      put_retries_.emplace(now + options_.put_retry, Retry{key.uid, name, false});
      return;
  }
  // It was not taken: nothing ran, so the attempt does not count.
  Unplace(key.uid, run);
  if (run.cancelled) {
    Deliver(key.uid, run, Status(Code::kCancelled, "cancelled before it started"), out);
  } else {
    Enqueue(key.uid, run, true, now);
  }
  Pump(pool, now, out);
}

void DispatchCore::Tick(SteadyTime now, Effects* out) {
  MaybeOpen(now, out);
  while (!put_retries_.empty() && put_retries_.begin()->first <= now) {
    const Retry retry = put_retries_.begin()->second;
    put_retries_.erase(put_retries_.begin());
    const auto it = runs_.find(retry.uid);
    if (it == runs_.end() || it->second.state != Run::State::kPlaced ||
        it->second.agent != retry.agent || (it->second.taken && !retry.cancel)) {
      continue;
    }
    // One that does not even answer the poll is not asked: it answers again, or its runs are lost.
    if (agents_.at(retry.agent).silent) {
      put_retries_.emplace(now + options_.put_retry, retry);
      continue;
    }
    Effect effect;
    effect.kind = retry.cancel ? Effect::Kind::kCancel : Effect::Kind::kPut;
    if (retry.cancel) effect.runs = {{retry.uid, it->second.attempt}};
    effect.agent = retry.agent;
    effect.request = it->second.request;
    out->push_back(std::move(effect));
  }
  while (!ack_retries_.empty() && ack_retries_.begin()->first <= now) {
    const auto agent = agents_.find(ack_retries_.begin()->second);
    ack_retries_.erase(ack_retries_.begin());
    if (agent == agents_.end()) continue;
    if (agent->second.silent) {
      ack_retries_.emplace(now + options_.ack_retry, agent->first);
      continue;
    }
    agent->second.ack_in_flight = false;
    FlushAcks(agent->first, agent->second, out);
  }
  while (!full_retries_.empty() && full_retries_.begin()->first <= now) {
    const std::string pool = full_retries_.begin()->second;
    full_retries_.erase(full_retries_.begin());
    Pump(pool, now, out);
  }
  std::vector<std::string> silent;
  for (auto& [name, agent] : agents_) {
    if (agent.silent && !agent.runs.empty() && agent.silent_since + options_.silence_limit <= now) {
      silent.push_back(name);
    }
  }
  for (const std::string& name : silent) {
    agents_.at(name).connected = false;
    Lose(name, "executor " + name + " does not answer", out);
    Pump(agents_.at(name).pool, now, out);
  }
  if (!open_) return;
  GiveUpBound(now, out);
  for (auto it = unclaimed_.begin(); it != unclaimed_.end();) {
    std::vector<Unclaimed>& copies = it->second;
    for (size_t i = copies.size(); i-- > 0;) {
      if (copies[i].since + options_.unclaimed_grace > now) continue;
      DropUnclaimed(it->first, copies[i], out);
      copies.erase(copies.begin() + static_cast<std::ptrdiff_t>(i));
    }
    it = copies.empty() ? unclaimed_.erase(it) : std::next(it);
  }
}

std::optional<SteadyTime> DispatchCore::NextDue() const {
  std::optional<SteadyTime> due;
  const auto consider = [&](SteadyTime at) {
    if (!due.has_value() || at < *due) due = at;
  };
  if (!put_retries_.empty()) consider(put_retries_.begin()->first);
  if (!ack_retries_.empty()) consider(ack_retries_.begin()->first);
  if (!full_retries_.empty()) consider(full_retries_.begin()->first);
  if (listed_ && !open_) consider(listed_at_ + options_.adoption_wait);
  return due;
}

bool DispatchCore::Awaits(const std::string& agent, const RunKey& key) const {
  const auto it = runs_.find(key.uid);
  return it != runs_.end() && it->second.state == Run::State::kPlaced && !it->second.taken &&
         it->second.agent == agent && it->second.attempt == key.attempt;
}

std::optional<RunWait> DispatchCore::Waiting(const std::string& uid) const {
  const auto it = runs_.find(uid);
  if (it == runs_.end() || it->second.state == Run::State::kDelivered) return std::nullopt;
  const Run& run = it->second;
  RunWait wait;
  if (run.state == Run::State::kPlaced) {
    if (run.taken) return std::nullopt;
    wait.no_capacity = true;
    wait.message = "handed to executor " + run.agent + ", which has not answered yet";
    return wait;
  }
  const Pool& pool = pools_.at(run.pool);
  const PoolLoad load = Load(run.pool);
  if (pool.parked.count(uid) != 0) {
    wait.no_capacity = true;
    wait.message = "it needs " + api::FormatQuantity(run.memory) +
                   " of memory; the largest executor of pool " + run.pool + " has " +
                   api::FormatQuantity(pool.largest);
    return wait;
  }
  if (!run.request->environment_node.empty()) {
    wait.no_capacity = true;
    wait.message = "it waits for a free slot of pool " + run.pool + " on node " +
                   run.request->environment_node + ", which has its environment";
    return wait;
  }
  wait.position = pool.queue.PositionOf(uid).value_or(0);
  if (in_flight_->Full(run.ns)) {
    wait.message = std::to_string(wait.position) + " ahead of it in pool " + run.pool +
                   "; namespace " + run.ns + " has " + std::to_string(in_flight_->CountOf(run.ns)) +
                   " submissions on executors, the most it may";
  } else if (load.slots == 0) {
    wait.no_capacity = true;
    wait.message = "pool " + run.pool + " has no executor that is ready";
  } else if (wait.position == 0) {
    wait.no_capacity = true;
    wait.message = "it is next; " + std::to_string(load.busy) + " of " +
                   std::to_string(load.slots) + " slots of pool " + run.pool + " are busy";
  } else {
    wait.message = std::to_string(wait.position) + " ahead of it in pool " + run.pool;
  }
  return wait;
}

PoolLoad DispatchCore::Load(const std::string& name) const {
  PoolLoad load;
  const auto it = pools_.find(name);
  if (it != pools_.end()) {
    load.queued = static_cast<int64_t>(it->second.queue.size() + it->second.parked.size() +
                                       it->second.bound.size());
  }
  for (const auto& [agent_name, agent] : agents_) {
    if (agent.pool != name) continue;
    AgentLoad one;
    one.pod = agent_name;
    one.ready = agent.connected && !agent.silent;
    one.draining = agent.draining;
    one.slots = agent.slots;
    one.busy = static_cast<int64_t>(agent.runs.size()) + agent.unclaimed_running;
    load.busy += one.busy;
    if (one.ready && !one.draining) load.slots += one.slots;
    load.agents.push_back(std::move(one));
  }
  return load;
}

std::vector<std::string> DispatchCore::Pools() const {
  std::vector<std::string> names;
  for (const auto& [name, pool] : pools_) names.push_back(name);
  return names;
}

}  // namespace envicutor::op
