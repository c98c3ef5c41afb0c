#include "operator/dispatch/dispatcher.h"

#include "common/base/backoff.h"
#include "common/base/log.h"

namespace envicutor::op {
namespace {

constexpr std::chrono::milliseconds kLongestTick{500};

std::string PoolOf(const Json& pod) {
  return GetString(At(pod, {"metadata", "labels"}), "envicutor.io/pool");
}

}  // namespace

Dispatcher::Dispatcher(const Clock& clock, AgentFactory factory, const DispatcherOptions& options)
    : clock_(clock),
      factory_(std::move(factory)),
      options_(options),
      core_(options.core),
      requests_(clock, options.requests, [this](const Effect& effect, bool doubtful) {
        return DoRequest(effect, doubtful);
      }) {}

Dispatcher::~Dispatcher() { Stop(); }

template <typename F>
void Dispatcher::InCore(bool may_call, F&& f) {
  Effects effects;
  bool sooner = false;
  {
    const std::lock_guard lock(mutex_);
    f(core_, clock_.Now(), &effects);
    const std::optional<SteadyTime> due = core_.NextDue();
    sooner = due.has_value() && *due < tick_until_;
  }
  if (sooner) tick_.notify_one();
  Carry(std::move(effects), may_call);
}

void Dispatcher::Follow(kube::Informer& pods) {
  kube::EventHandler handler;
  handler.on_add = [this](const kube::ObjectPtr& pod) { PodChanged(*pod); };
  handler.on_update = [this](const kube::ObjectPtr&, const kube::ObjectPtr& pod) {
    PodChanged(*pod);
  };
  handler.on_delete = [this](const kube::ObjectPtr& pod) {
    PodGone(kube::NameOf(*pod), "executor " + kube::NameOf(*pod) + " was deleted");
  };
  pods.AddHandler(std::move(handler));
}

void Dispatcher::Start() {
  requests_.Start();
  ticks_ = std::jthread([this](std::stop_token stop) { RunTicks(stop); });
}

void Dispatcher::PodsListed() {
  InCore(false,
         [](DispatchCore& core, SteadyTime now, Effects* out) { core.AgentsListed(now, out); });
}

void Dispatcher::SetBounds(const DispatchOptions& bounds) {
  InCore(false, [&](DispatchCore& core, SteadyTime now, Effects* out) {
    core.SetBounds(bounds, now, out);
  });
}

void Dispatcher::Stop() {
  std::map<std::string, std::unique_ptr<Session>> sessions;
  std::vector<std::unique_ptr<Session>> ended;
  {
    const std::lock_guard lock(sessions_mutex_);
    sessions.swap(sessions_);
    ended.swap(ended_);
  }
  for (auto& [name, session] : sessions) session->thread.request_stop();
  ticks_.request_stop();
  tick_.notify_all();
  requests_.Stop();
  sessions.clear();
  ended.clear();
  ticks_ = {};
}

void Dispatcher::PodChanged(const Json& pod) {
  const std::string name = kube::NameOf(pod);
  const std::string phase = GetString(At(pod, {"status"}), "phase");
  if (phase == "Failed" || phase == "Succeeded") {
    const std::string reason = GetString(At(pod, {"status"}), "reason", phase);
    PodGone(name, "executor " + name + " ended (" + reason + ")");
    return;
  }
  const std::string ip = GetString(At(pod, {"status"}), "podIP");
  if (ip.empty() || phase != "Running") return;
  const bool draining = At(pod, {"metadata", "deletionTimestamp"}).is_string();
  const std::string node = GetString(At(pod, {"spec"}), "nodeName");
  InCore(false, [&](DispatchCore& core, SteadyTime now, Effects* out) {
    core.AgentFound(name, PoolOf(pod), node, draining, now, out);
  });
  const std::lock_guard lock(sessions_mutex_);
  const auto it = sessions_.find(name);
  if (it != sessions_.end()) {
    if (it->second->ip == ip) return;
    it->second->thread.request_stop();
    ended_.push_back(std::move(it->second));
    sessions_.erase(it);
  }
  auto session = std::make_unique<Session>();
  session->name = name;
  session->ip = ip;
  session->thread =
      std::jthread([this, name, ip](std::stop_token stop) { RunSession(name, ip, stop); });
  sessions_.emplace(name, std::move(session));
}

void Dispatcher::PodGone(const std::string& name, const std::string& why) {
  EndSession(name);
  InCore(false, [&](DispatchCore& core, SteadyTime now, Effects* out) {
    core.AgentGone(name, why, now, out);
  });
  requests_.Forget(name);
}

void Dispatcher::EndSession(const std::string& name) {
  const std::lock_guard lock(sessions_mutex_);
  const auto it = sessions_.find(name);
  if (it == sessions_.end()) return;
  it->second->thread.request_stop();
  ended_.push_back(std::move(it->second));
  sessions_.erase(it);
}

void Dispatcher::RunSession(const std::string& name, const std::string& ip, std::stop_token stop) {
  Backoff backoff(std::chrono::milliseconds(100), std::chrono::seconds(2));
  std::mutex mutex;
  std::condition_variable_any wake;
  std::shared_ptr<AgentApi> api;
  bool told = false;
  while (!stop.stop_requested()) {
    Status failure;
    if (!api) {
      Result<std::unique_ptr<AgentApi>> made = factory_(ip);
      if (made.ok()) {
        api = std::move(made).value();
        const std::lock_guard lock(sessions_mutex_);
        const auto it = sessions_.find(name);
        if (it != sessions_.end() && it->second->ip == ip) it->second->api = api;
      } else {
        failure = made.status();
      }
    }
    const SteadyTime before = clock_.Now();
    if (api) failure = Serve(name, *api, stop);
    if (stop.stop_requested()) return;
    InCore(true, [&](DispatchCore& core, SteadyTime now, Effects* out) {
      core.AgentSilent(name, now, out);
    });
    // It worked for a while: a new trouble, starting from a short pause.
    if (clock_.Now() - before > std::chrono::seconds(5)) {
      backoff.Reset();
      told = false;
    }
    if (!told)
      log::Warn("executor does not answer", {{"pod", name}, {"error", failure.ToString()}});
    told = true;
    std::unique_lock lock(mutex);
    wake.wait_for(lock, stop, backoff.Next(), [] { return false; });
  }
}

Status Dispatcher::Serve(const std::string& name, AgentApi& api, std::stop_token stop) {
  while (!stop.stop_requested()) {
    const SteadyTime asked = clock_.Now();
    ENVICUTOR_ASSIGN(const api::AgentInfo info, api.Info());
    ENVICUTOR_ASSIGN(const HeldRuns held, api.ListRuns());
    InCore(true, [&](DispatchCore& core, SteadyTime now, Effects* out) {
      core.AgentConnected(name, info, held, asked, now, out);
    });
    log::Info("executor connected",
              {{"pod", name}, {"slots", std::to_string(info.slots)}, {"sandbox", info.sandbox}});
    if (on_load_change_) on_load_change_();
    int64_t after = 0;
    while (!stop.stop_requested()) {
      ENVICUTOR_ASSIGN(ResultsPage page, api.PollResults(after, options_.poll_wait, stop));
      if (page.instance != info.instance) break;  // a new process: start again from its beginning
      after = page.next;
      const bool news = !page.results.empty();
      InCore(true, [&](DispatchCore& core, SteadyTime now, Effects* out) {
        core.AgentPolled(name, std::move(page), now, out);
      });
      if (news && on_load_change_) on_load_change_();
    }
  }
  return OkStatus();
}

void Dispatcher::RunTicks(std::stop_token stop) {
  while (!stop.stop_requested()) {
    Effects effects;
    {
      std::unique_lock lock(mutex_);
      SteadyTime until = clock_.Now() + kLongestTick;
      const std::optional<SteadyTime> due = core_.NextDue();
      if (due.has_value() && *due < until) until = *due;
      // Only what is due sooner wakes this thread: InCore looks.
      tick_until_ = until;
      tick_.wait_until(lock, stop, until, [&] {
        const std::optional<SteadyTime> next = core_.NextDue();
        return next.has_value() && *next < until;
      });
      tick_until_ = SteadyTime::min();  // it looks itself before it waits again
      core_.Tick(clock_.Now(), &effects);
    }
    Carry(std::move(effects), true);
    std::vector<std::unique_ptr<Session>> ended;
    {
      const std::lock_guard lock(sessions_mutex_);
      ended.swap(ended_);
    }
  }
}

void Dispatcher::Carry(Effects effects, bool may_call) {
  for (Effect& effect : effects) {
    if (effect.kind == Effect::Kind::kCall && may_call) {
      effect.call();
    } else {
      requests_.Post(std::move(effect));
    }
  }
}

std::shared_ptr<AgentApi> Dispatcher::ApiOf(const std::string& name) {
  const std::lock_guard lock(sessions_mutex_);
  const auto it = sessions_.find(name);
  return it == sessions_.end() ? nullptr : it->second->api;
}

std::map<std::string, std::shared_ptr<AgentApi>> Dispatcher::Agents() {
  std::map<std::string, std::shared_ptr<AgentApi>> agents;
  const std::lock_guard lock(sessions_mutex_);
  for (const auto& [name, session] : sessions_) {
    if (session->api) agents.emplace(name, session->api);
  }
  return agents;
}

RequestPool::Answer Dispatcher::DoRequest(const Effect& effect, bool doubtful) {
  if (doubtful && effect.kind == Effect::Kind::kPut) {
    // It waited while another was not answered: the run may be elsewhere by now.
    const std::lock_guard lock(mutex_);
    if (!core_.Awaits(effect.agent, {effect.request->uid, effect.request->attempt})) {
      return RequestPool::Answer::kNone;
    }
  }
  const std::shared_ptr<AgentApi> api = ApiOf(effect.agent);
  Status status = Unavailable("executor " + effect.agent + " is gone");
  switch (effect.kind) {
    case Effect::Kind::kPut: {
      if (api) status = api->PutRun(*effect.request);
      const RunKey key{effect.request->uid, effect.request->attempt};
      InCore(true, [&](DispatchCore& core, SteadyTime now, Effects* out) {
        core.PutAnswered(effect.agent, key, status, now, out);
      });
      break;
    }
    case Effect::Kind::kCancel:
      if (api) status = api->CancelRun(effect.runs.front());
      InCore(true, [&](DispatchCore& core, SteadyTime now, Effects* out) {
        core.CancelAnswered(effect.agent, effect.runs.front(), status, now, out);
      });
      break;
    case Effect::Kind::kAck:
      if (api) status = api->Acknowledge(effect.runs);
      InCore(true, [&](DispatchCore& core, SteadyTime now, Effects* out) {
        core.AckAnswered(effect.agent, effect.runs, status, now, out);
      });
      break;
    case Effect::Kind::kCall:
      break;
  }
  if (!api) return RequestPool::Answer::kGone;
  const bool answered =
      status.code() != Code::kUnavailable && status.code() != Code::kDeadlineExceeded;
  return answered ? RequestPool::Answer::kGiven : RequestPool::Answer::kNone;
}

void Dispatcher::Submit(const std::string& pool, const std::string& fairness_key, int64_t priority,
                        api::RunRequest request, RunEvents events) {
  InCore(false, [&](DispatchCore& core, SteadyTime now, Effects* out) {
    core.Submit(pool, fairness_key, priority, std::move(request), std::move(events), now, out);
  });
  if (on_load_change_) on_load_change_();
}

void Dispatcher::Cancel(const std::string& uid) {
  InCore(false,
         [&](DispatchCore& core, SteadyTime now, Effects* out) { core.Cancel(uid, now, out); });
}

void Dispatcher::Acknowledge(const std::string& uid) {
  InCore(false, [&](DispatchCore& core, SteadyTime now, Effects* out) {
    core.Acknowledge(uid, now, out);
  });
}

std::optional<RunWait> Dispatcher::Waiting(const std::string& uid) const {
  const std::lock_guard lock(mutex_);
  return core_.Waiting(uid);
}

std::string Dispatcher::NodeFor(const std::string& pool) const {
  const std::lock_guard lock(mutex_);
  return core_.NodeFor(pool);
}

PoolLoad Dispatcher::Load(const std::string& pool) const {
  const std::lock_guard lock(mutex_);
  return core_.Load(pool);
}

std::vector<std::string> Dispatcher::Pools() const {
  const std::lock_guard lock(mutex_);
  return core_.Pools();
}

void Dispatcher::Drain(const std::string& pod) {
  const std::lock_guard lock(mutex_);
  core_.Drain(pod);
}

}  // namespace envicutor::op
