// The half of DispatchCore that hears from agents: what they hold, their results, their silence.
#include <algorithm>
#include <utility>

#include "operator/dispatch/dispatch_core.h"

namespace envicutor::op {
namespace {

constexpr size_t kMaxAcksAtOnce = 500;

}  // namespace

void DispatchCore::AgentsListed(SteadyTime now, Effects* out) {
  if (listed_) return;
  listed_ = true;
  listed_at_ = now;
  MaybeOpen(now, out);
}

// Starting while an agent's runs are unknown could run a submission twice for no reason.
void DispatchCore::MaybeOpen(SteadyTime now, Effects* out) {
  if (open_ || !listed_) return;
  const bool all = std::all_of(agents_.begin(), agents_.end(),
                               [](const auto& entry) { return entry.second.connected; });
  if (!all && now < listed_at_ + options_.adoption_wait) return;
  open_ = true;
  for (auto& [uid, copies] : unclaimed_) {
    for (Unclaimed& held : copies) held.since = now;
  }
  for (const std::string& pool : Pools()) Pump(pool, now, out);
}

void DispatchCore::AgentFound(const std::string& name, const std::string& pool,
                              const std::string& node, bool draining, SteadyTime now,
                              Effects* out) {
  Agent& agent = agents_[name];
  agent.pool = pool;
  agent.placement = {name, node};
  agent.draining = agent.draining || draining;
  (void)now;
  (void)out;
}

void DispatchCore::AgentConnected(const std::string& name, const api::AgentInfo& info,
                                  const HeldRuns& held, SteadyTime asked, SteadyTime now,
                                  Effects* out) {
  const auto it = agents_.find(name);
  if (it == agents_.end()) return;
  Agent& agent = it->second;
  agent.connected = true;
  agent.silent = false;
  agent.instance = info.instance;
  agent.draining = agent.draining || info.draining;
  agent.slots = info.slots;
  agent.memory = info.memory_bytes;
  std::set<std::pair<std::string, int64_t>> there;
  for (const HeldRun& run : held.runs) there.emplace(run.key.uid, run.key.attempt);
  // What ran for nobody and is not there any more can neither be claimed nor keep a slot.
  for (auto entry = unclaimed_.begin(); entry != unclaimed_.end();) {
    agent
        .unclaimed_running -= static_cast<int64_t>(std::erase_if(entry->second, [&](const auto& u) {
      return u.agent == name && !u.result.has_value() && !there.contains({entry->first, u.attempt});
    }));
    entry = entry->second.empty() ? unclaimed_.erase(entry) : std::next(entry);
  }
  for (const HeldRun& run : held.runs) HoldUnclaimed(name, agent, run.key, std::nullopt, now);
  for (const HeldRun& run : held.runs) ClaimForQueued(run.key.uid, out);
  // What it took and does not have any more died with its process.
  std::vector<std::string> missing;
  for (const std::string& uid : agent.runs) {
    const Run& run = runs_.at(uid);
    const bool has_it = there.contains({uid, run.attempt});
    if (!has_it && run.taken && run.taken_at < asked) missing.push_back(uid);
  }
  for (const std::string& uid : missing) {
    Run& run = runs_.at(uid);
    Unplace(uid, run);
    Deliver(uid, run, Unavailable("executor " + name + " restarted and lost the run"), out);
  }
  Pool& pool = PoolNamed(agent.pool);
  if (agent.memory > pool.largest && !pool.parked.empty()) {
    auto parked = std::exchange(pool.parked, {});
    for (auto& [uid, run] : parked) pool.queue.Push(std::move(run));
  }
  MaybeOpen(now, out);
  Pump(agent.pool, now, out);
}

// It was put in the queue before this agent said that it has it.
void DispatchCore::ClaimForQueued(const std::string& uid, Effects* out) {
  const auto held = unclaimed_.find(uid);
  const auto run = runs_.find(uid);
  if (held == unclaimed_.end() || run == runs_.end() || run->second.state != Run::State::kQueued) {
    return;
  }
  const int64_t attempt = run->second.attempt;
  if (std::none_of(held->second.begin(), held->second.end(),
                   [attempt](const Unclaimed& copy) { return copy.attempt >= attempt; })) {
    return;
  }
  Unqueue(uid, run->second);
  Claim(uid, run->second, out);
}

// A run that an agent says it holds. Ours: nothing to learn. Nobody's: kept until claimed or stale.
void DispatchCore::HoldUnclaimed(const std::string& name, Agent& agent, const RunKey& key,
                                 std::optional<api::RunResult> result, SteadyTime now) {
  const auto run = runs_.find(key.uid);
  if (run != runs_.end() && run->second.state != Run::State::kQueued && run->second.agent == name &&
      run->second.attempt == key.attempt) {
    return;
  }
  if (std::find(agent.acks.begin(), agent.acks.end(), key) != agent.acks.end()) return;
  std::vector<Unclaimed>& copies = unclaimed_[key.uid];
  auto held = std::find_if(copies.begin(), copies.end(), [&](const Unclaimed& copy) {
    return copy.agent == name && copy.attempt == key.attempt;
  });
  if (held == copies.end()) {
    held = copies.insert(held, Unclaimed{name, key.attempt, std::nullopt, now});
    ++agent.unclaimed_running;
  }
  if (result.has_value() && !held->result.has_value()) {
    --agent.unclaimed_running;
    held->result = std::move(result);
  }
}

void DispatchCore::DropAllUnclaimed(const std::string& uid, Effects* out) {
  const auto it = unclaimed_.find(uid);
  if (it == unclaimed_.end()) return;
  const std::vector<Unclaimed> copies = std::move(it->second);
  unclaimed_.erase(it);
  for (const Unclaimed& held : copies) DropUnclaimed(uid, held, out);
}

// `held` is out of unclaimed_, or about to be.
void DispatchCore::DropUnclaimed(const std::string& uid, const Unclaimed& held, Effects* out) {
  const auto agent = agents_.find(held.agent);
  if (agent == agents_.end()) return;
  if (!held.result.has_value()) {
    --agent->second.unclaimed_running;
    Effect effect;
    effect.kind = Effect::Kind::kCancel;
    effect.agent = held.agent;
    effect.runs = {{uid, held.attempt}};
    out->push_back(std::move(effect));
    // Its (cancelled) result comes and is dropped as unclaimed in its turn.
    return;
  }
  QueueAck(held.agent, {uid, held.attempt}, out);
}

// Without a word to the agent.
void DispatchCore::ForgetUnclaimed(const std::string& name, Agent& agent, const RunKey& key) {
  const auto it = unclaimed_.find(key.uid);
  if (it == unclaimed_.end()) return;
  std::erase_if(it->second, [&](const Unclaimed& held) {
    if (held.agent != name || held.attempt != key.attempt) return false;
    if (!held.result.has_value()) --agent.unclaimed_running;
    return true;
  });
  if (it->second.empty()) unclaimed_.erase(it);
}

void DispatchCore::AgentPolled(const std::string& name, ResultsPage page, SteadyTime now,
                               Effects* out) {
  const auto it = agents_.find(name);
  if (it == agents_.end()) return;
  Agent& agent = it->second;
  agent.silent = false;
  for (RunProgress& progress : page.progress) {
    const auto run = runs_.find(progress.key.uid);
    if (run == runs_.end() || run->second.agent != name ||
        run->second.attempt != progress.key.attempt || run->second.state != Run::State::kPlaced ||
        !run->second.events.on_progress) {
      continue;
    }
    Effect effect;
    effect.call = [call = run->second.events.on_progress, stage = std::move(progress.stage)] {
      call(stage);
    };
    out->push_back(std::move(effect));
  }
  for (api::RunResult& result : page.results) TakeResult(name, agent, std::move(result), now, out);
  Pump(agent.pool, now, out);
}

void DispatchCore::TakeResult(const std::string& name, Agent& agent, api::RunResult result,
                              SteadyTime now, Effects* out) {
  const RunKey key{result.uid, result.attempt};
  const auto it = runs_.find(key.uid);
  if (it == runs_.end()) {
    // Nobody's, unless it is on its way out (acknowledged, the agent does not know it yet).
    if (std::find(agent.acks.begin(), agent.acks.end(), key) != agent.acks.end()) return;
    HoldUnclaimed(name, agent, key, std::move(result), now);
    return;
  }
  Run& run = it->second;
  if (run.state == Run::State::kQueued && key.attempt >= run.attempt) {
    HoldUnclaimed(name, agent, key, std::move(result), now);
    ClaimForQueued(key.uid, out);
    return;
  }
  if (key.attempt < run.attempt) {
    // Of an attempt that was given up: the present one counts.
    ForgetUnclaimed(name, agent, key);
    QueueAck(name, key, out);
    return;
  }
  if (run.attempt != key.attempt || run.agent != name) {
    // Another operator sent it there, perhaps the one that has the lease now and waits for it.
    // Dropped when ours is recorded, or when it is stale.
    HoldUnclaimed(name, agent, key, std::move(result), now);
    return;
  }
  if (run.state != Run::State::kPlaced) return;  // a replay: delivered, waits to be acknowledged
  Unplace(key.uid, run);
  Deliver(key.uid, run, std::move(result), out);
}

void DispatchCore::AgentSilent(const std::string& name, SteadyTime now, Effects* out) {
  const auto it = agents_.find(name);
  if (it == agents_.end()) return;
  if (!it->second.silent) {
    it->second.silent = true;
    it->second.silent_since = now;
  }
  Tick(now, out);
}

void DispatchCore::AgentGone(const std::string& name, const std::string& why, SteadyTime now,
                             Effects* out) {
  const auto it = agents_.find(name);
  if (it == agents_.end()) return;
  Lose(name, why, out);
  for (auto held = unclaimed_.begin(); held != unclaimed_.end();) {
    std::erase_if(held->second, [&](const Unclaimed& copy) { return copy.agent == name; });
    held = held->second.empty() ? unclaimed_.erase(held) : std::next(held);
  }
  const std::string pool = it->second.pool;
  agents_.erase(name);
  MaybeOpen(now, out);
  Pump(pool, now, out);
}

// Its runs are over: what an agent that comes back still has of them is dropped then.
void DispatchCore::Lose(const std::string& name, const std::string& why, Effects* out) {
  Agent& agent = agents_.at(name);
  const std::vector<std::string> lost(agent.runs.begin(), agent.runs.end());
  for (const std::string& uid : lost) {
    Run& run = runs_.at(uid);
    Unplace(uid, run);
    if (run.cancelled) {
      Deliver(uid, run, Status(Code::kCancelled, "cancelled; its executor is gone"), out);
    } else {
      Deliver(uid, run, Unavailable(why), out);
    }
  }
}

void DispatchCore::Drain(const std::string& name) {
  const auto it = agents_.find(name);
  if (it != agents_.end()) it->second.draining = true;
}

// Nobody waits for an acknowledgement: what comes within a moment goes in one request.
void DispatchCore::DelayAcks(const std::string& name, SteadyTime now) {
  const auto it = agents_.find(name);
  if (it == agents_.end() || it->second.ack_in_flight || options_.ack_delay <= Duration::zero()) {
    return;
  }
  it->second.ack_in_flight = true;
  ack_retries_.emplace(now + options_.ack_delay, name);
}

void DispatchCore::QueueAck(const std::string& name, RunKey key, Effects* out) {
  const auto it = agents_.find(name);
  if (it == agents_.end()) return;
  it->second.acks.push_back(std::move(key));
  FlushAcks(name, it->second, out);
}

// One request at a time for each agent: what comes meanwhile goes together in the next.
void DispatchCore::FlushAcks(const std::string& name, Agent& agent, Effects* out) {
  if (agent.ack_in_flight || agent.acks.empty()) return;
  agent.ack_in_flight = true;
  Effect effect;
  effect.kind = Effect::Kind::kAck;
  effect.agent = name;
  const size_t count = std::min(agent.acks.size(), kMaxAcksAtOnce);
  effect.runs.assign(agent.acks.begin(), agent.acks.begin() + static_cast<std::ptrdiff_t>(count));
  out->push_back(std::move(effect));
}

void DispatchCore::AckAnswered(const std::string& name, const std::vector<RunKey>& runs,
                               const Status& status, SteadyTime now, Effects* out) {
  const auto it = agents_.find(name);
  if (it == agents_.end()) return;
  Agent& agent = it->second;
  if (!status.ok() && status.code() != Code::kNotFound && status.code() != Code::kInvalidArgument) {
    ack_retries_.emplace(now + options_.ack_retry, name);  // stays in flight until then
    return;
  }
  // Those of this request are the first: new ones come behind.
  const size_t done = std::min(runs.size(), agent.acks.size());
  agent.acks.erase(agent.acks.begin(), agent.acks.begin() + static_cast<std::ptrdiff_t>(done));
  agent.ack_in_flight = false;
  FlushAcks(name, agent, out);
}

void DispatchCore::CancelAnswered(const std::string& name, const RunKey& key, const Status& status,
                                  SteadyTime now, Effects* out) {
  const auto it = runs_.find(key.uid);
  if (it == runs_.end() || it->second.state != Run::State::kPlaced || it->second.agent != name ||
      it->second.attempt != key.attempt) {
    return;
  }
  Run& run = it->second;
  if (!run.cancelled) return;  // what was stopped as nobody's was asked for since
  if (status.ok()) return;     // its result says so
  if (status.code() == Code::kNotFound && run.taken) {
    const std::string pool = run.pool;
    Unplace(key.uid, run);
    Deliver(key.uid, run, Status(Code::kCancelled, "cancelled; the executor does not know the run"),
            out);
    Pump(pool, now, out);
    return;
  }
  put_retries_.emplace(now + options_.put_retry, Retry{key.uid, name, true});
}

}  // namespace envicutor::op
