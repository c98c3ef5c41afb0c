#include "tests/sim/world.h"

#include <algorithm>

#include "tests/unit/operator/submissions.h"

namespace envicutor::op::sim {
namespace {

constexpr Duration kFaultyTime = std::chrono::seconds(60);
constexpr Duration kCalmTime = std::chrono::seconds(600);

// DispatchCore behind the Runner interface; effects go to the world.
class CoreRunner final : public Runner {
 public:
  CoreRunner(const Clock& clock, std::function<void(Effects)> carry)
      : clock_(clock), carry_(std::move(carry)), core(DispatchOptions{}) {}

  template <typename F>
  void In(F&& f) {
    Effects effects;
    f(core, clock_.Now(), &effects);
    carry_(std::move(effects));
  }
  void Submit(const std::string& pool, const std::string& ns, int64_t priority,
              api::RunRequest request, RunEvents events) override {
    In([&](DispatchCore& c, SteadyTime now, Effects* out) {
      c.Submit(pool, ns, priority, std::move(request), std::move(events), now, out);
    });
  }
  void Cancel(const std::string& uid) override {
    In([&](DispatchCore& c, SteadyTime now, Effects* out) { c.Cancel(uid, now, out); });
  }
  void Acknowledge(const std::string& uid) override {
    In([&](DispatchCore& c, SteadyTime now, Effects* out) { c.Acknowledge(uid, now, out); });
  }
  std::optional<RunWait> Waiting(const std::string& uid) const override {
    return core.Waiting(uid);
  }

 private:
  const Clock& clock_;
  std::function<void(Effects)> carry_;

 public:
  DispatchCore core;
};

kube::WorkQueueOptions QueueOptions(const Clock& clock) {
  kube::WorkQueueOptions options;
  options.clock = &clock;
  return options;
}

}  // namespace

struct World::Operator {
  explicit Operator(World& world)
      : queue(kube::NewWorkQueue("submission", QueueOptions(world.clock_))),
        runner(world.clock_, [&world](Effects effects) { world.Carry(std::move(effects)); }),
        ttl(world.api_, world.clock_, 100'000),
        controller({world.api_, informer, *queue, runner, world.catalog_, world.builds_, ttl,
                    nullptr, world.metrics_, world.clock_, world.options_}) {}

  op::testing::FakeInformer informer;
  std::unique_ptr<kube::WorkQueue> queue;
  CoreRunner runner;
  TtlCollector ttl;
  SubmissionController controller;
};

Faults Faults::None() {
  Faults none;
  none.api_refused = none.api_answer_lost = none.agent_refused = none.agent_answer_lost = 0;
  none.page_replayed = none.watch_lost = 0;
  none.depositions = 0;
  none.operator_crashes = none.agent_restarts = none.pod_losses = 0;
  none.touches = none.deletions = none.cancels = 0;
  none.longest_run_millis = 50;
  return none;
}

int World::status_writes() const {
  const auto it = api_.requests.find("update");
  return it == api_.requests.end() ? 0 : it->second;
}

World::World(uint64_t seed, int submissions, int agents, Faults faults)
    : random_(seed),
      faults_(faults),
      options_(op::testing::TestOptions()),
      submissions_(submissions),
      agent_count_(agents) {
  catalog_.Serve("python3", op::testing::PythonRuntime());
  api_.fault = [this](const std::string&) -> Status {
    if (!Await()) return Unavailable("the process died");
    // operator/fenced_client.h
    if (as_deposed_ && faults_.fence) return Unavailable("the lease is lost");
    if (calm_ || !Chance(faults_.api_refused)) return OkStatus();
    switch (random_() % 4) {
      case 0:
        return ResourceExhausted("429: too many requests");
      case 1:
        return Internal("500: etcdserver: request timed out");
      case 2:
        return Status(Code::kConflict, "409: the object has been modified");
      default:
        return Unavailable("connection refused");
    }
  };
  api_.lose_answer = [this](const std::string&) {
    return dying_ || (!calm_ && Chance(faults_.api_answer_lost));
  };
  api_.on_change = [this](const Json& object, bool deleted) {
    CheckWrite(object, deleted);
    const auto tell = [&] {
      if (!operator_) return;
      if (!calm_ && Chance(faults_.watch_lost)) {
        AtOperator(Between(100, 3'000), [this] { Relist(); });
        return;
      }
      // Watch events are late, each by its own time; the informer drops what is older than it has.
      AtOperator(Between(0, faults_.slowest_event_millis),
                 [this, object, deleted] { operator_->informer.Deliver(object, deleted); });
    };
    tell();
    AsDeposed(tell);
  };
  for (int i = 0; i < agents; ++i) AddAgent();
  StartOperator();
  for (int i = 0; i < submissions; ++i) {
    At(Between(0, 30'000), [this, i] {
      Json spec = {{"runtimeRef", {{"name", "python3"}}}, {"source", ""}, {"maxAttempts", 10}};
      api_.Put(kube::kSubmissions, op::testing::Submission("s" + std::to_string(i), std::move(spec),
                                                           "ns" + std::to_string(i % 3)));
    });
  }
  ScheduleFaults();
}

World::~World() = default;

bool World::Chance(double probability) {
  return std::uniform_real_distribution<double>(0, 1)(random_) < probability;
}

Duration World::Between(int low_millis, int high_millis) {
  return std::chrono::milliseconds(
      std::uniform_int_distribution<int>(low_millis, high_millis)(random_));
}

void World::At(Duration delay, std::function<void()> action) {
  events_.emplace(clock_.Now() + delay, std::move(action));
}

void World::AtOperator(Duration delay, std::function<void()> action) {
  At(delay, [this, epoch = epoch_, action = std::move(action)] {
    if (epoch == epoch_ && operator_) {
      action();
    } else if (epoch == deposed_epoch_) {
      AsDeposed([&] {
        action();
        Work();
      });
    }
  });
}

void World::AsDeposed(const std::function<void()>& action) {
  if (!deposed_) return;
  std::swap(operator_, deposed_);
  std::swap(epoch_, deposed_epoch_);
  as_deposed_ = true;
  action();
  as_deposed_ = false;
  std::swap(operator_, deposed_);
  std::swap(epoch_, deposed_epoch_);
}

bool World::Await() {
  if (dying_) return false;
  if (++awaits_ != faults_.crash_at_await) return true;
  dying_ = true;
  return faults_.crash_after_commit;
}

// What a list says after a watch that broke off or was too old: all there is, and what is gone.
void World::Relist() {
  std::set<std::string> there;
  for (const auto& [key, object] : api_.objects) {
    there.insert(kube::KeyOf(object));
    operator_->informer.Deliver(object, false);
  }
  std::vector<Json> gone;
  for (const auto& [key, object] : operator_->informer.cache) {
    if (there.count(key) == 0) gone.push_back(*object);
  }
  for (const Json& object : gone) operator_->informer.Deliver(object, true);
}

void World::ScheduleFaults() {
  const auto sometime = [this] { return Between(100, 55'000); };
  for (int i = 0; i < faults_.operator_crashes; ++i) At(sometime(), [this] { CrashOperator(); });
  for (int i = 0; i < faults_.depositions; ++i) At(sometime(), [this] { DeposeOperator(); });
  for (int i = 0; i < faults_.pod_losses; ++i) At(sometime(), [this] { LoseAgent(); });
  for (int i = 0; i < faults_.agent_restarts; ++i) {
    At(sometime(), [this] {
      auto it = agents_.begin();
      std::advance(it, static_cast<long>(random_() % agents_.size()));
      it->second->Restart();
    });
  }
  const auto some_submission = [this]() -> Json* {
    const std::string name = std::to_string(random_() % static_cast<uint64_t>(submissions_));
    const auto it =
        api_.objects.find("submissions/ns" + std::to_string(std::stoi(name) % 3) + "/s" + name);
    return it == api_.objects.end() ? nullptr : &it->second;
  };
  for (int i = 0; i < faults_.touches; ++i) {
    At(sometime(), [this, some_submission] {
      if (const Json* object = some_submission()) {
        Json changed = *object;
        changed["metadata"]["labels"]["touched"] = std::to_string(random_());
        api_.Put(kube::kSubmissions, changed);
      }
    });
  }
  for (int i = 0; i < faults_.cancels; ++i) {
    At(sometime(), [this, some_submission] {
      if (const Json* object = some_submission()) {
        Json changed = *object;
        changed["spec"]["cancel"] = true;
        api_.Put(kube::kSubmissions, changed);
      }
    });
  }
  for (int i = 0; i < faults_.deletions; ++i) {
    At(sometime(), [this, some_submission] {
      if (const Json* object = some_submission()) {
        (void)api_.Delete(kube::kSubmissions, kube::NamespaceOf(*object), kube::NameOf(*object),
                          {});
      }
    });
  }
}

void World::StartOperator() {
  epoch_ = std::max(epoch_, deposed_epoch_) + 1;
  operator_ = std::make_unique<Operator>(*this);
  operator_->controller.Follow();
  for (const auto& [key, object] : api_.objects) operator_->informer.Deliver(object, false);
  for (const auto& [name, agent] : agents_) {
    operator_->runner.In([&, agent_name = name](DispatchCore& core, SteadyTime now, Effects* out) {
      core.AgentFound(agent_name, "default", "node", false, now, out);
    });
    AtOperator(Between(1, 50), [this, agent_name = name] { Connect(agent_name); });
  }
  operator_->runner.In(
      [](DispatchCore& core, SteadyTime now, Effects* out) { core.AgentsListed(now, out); });
}

void World::DeposeOperator() {
  if (!operator_ || deposed_) return;
  deposed_ = std::move(operator_);
  deposed_epoch_ = epoch_;
  StartOperator();
  At(Between(10, 6'000), [this, epoch = deposed_epoch_] {
    if (deposed_epoch_ == epoch) deposed_.reset();
  });
}

void World::CrashOperator() {
  dying_ = false;
  epoch_ = std::max(epoch_, deposed_epoch_) + 1;
  operator_.reset();
  At(Between(10, 5'000), [this] {
    if (!operator_) StartOperator();
  });
}

void World::AddAgent() {
  const std::string name = "executor-default-" + std::to_string(next_agent_++);
  agents_.emplace(name, std::make_unique<Agent>(name, 2));
  if (!operator_) return;
  operator_->runner.In([&](DispatchCore& core, SteadyTime now, Effects* out) {
    core.AgentFound(name, "default", "node", false, now, out);
  });
  AtOperator(Between(1, 50), [this, name] { Connect(name); });
}

void World::LoseAgent() {
  auto it = agents_.begin();
  std::advance(it, static_cast<long>(random_() % agents_.size()));
  const std::string name = it->first;
  for (const auto& [uid, count] : it->second->executions) executions_[uid] += count;
  agents_.erase(it);
  AtOperator(Between(0, 100), [this, name] {
    operator_->runner.In([&](DispatchCore& core, SteadyTime now, Effects* out) {
      core.AgentGone(name, "its pod was lost", now, out);
    });
  });
  At(Between(100, 3'000), [this] { AddAgent(); });
}

void World::Connect(const std::string& name) {
  const auto it = agents_.find(name);
  if (it == agents_.end()) return;
  if (!calm_ && Chance(faults_.agent_refused)) {
    operator_->runner.In([&](DispatchCore& core, SteadyTime now, Effects* out) {
      core.AgentSilent(name, now, out);
    });
    AtOperator(Between(100, 2'000), [this, name] { Connect(name); });
    return;
  }
  const SteadyTime asked = clock_.Now();
  const HeldRuns held = it->second->ListRuns();
  const api::AgentInfo info = it->second->Info();
  AtOperator(Between(0, 10), [this, name, held, info, asked] {
    operator_->runner.In([&](DispatchCore& core, SteadyTime now, Effects* out) {
      core.AgentConnected(name, info, held, asked, now, out);
    });
    PollAgent(name, 0, info.instance);
  });
}

void World::PollAgent(const std::string& name, int64_t after, const std::string& instance) {
  AtOperator(Between(1, 30), [this, name, after, instance] {
    const auto it = agents_.find(name);
    const bool fails = it == agents_.end() || (!calm_ && Chance(faults_.agent_refused / 3));
    if (fails) {
      operator_->runner.In([&](DispatchCore& core, SteadyTime now, Effects* out) {
        core.AgentSilent(name, now, out);
      });
      AtOperator(Between(100, 2'000), [this, name] { Connect(name); });
      return;
    }
    if (it->second->instance() != instance) {
      Connect(name);
      return;
    }
    ResultsPage page = it->second->Poll(after);
    const int64_t next = !calm_ && Chance(faults_.page_replayed) ? after : page.next;
    operator_->runner.In([&](DispatchCore& core, SteadyTime now, Effects* out) {
      core.AgentPolled(name, std::move(page), now, out);
    });
    PollAgent(name, next, instance);
  });
}

void World::Carry(Effects effects) {
  for (Effect& effect : effects) {
    AtOperator(Between(0, 5),
               [this, effect = std::move(effect)]() mutable { Do(std::move(effect)); });
  }
}

void World::Do(Effect effect) {
  if (effect.kind == Effect::Kind::kCall) {
    effect.call();
    return;
  }
  if (!Await()) return CrashOperator();
  const auto it = agents_.find(effect.agent);
  Status status = Unavailable("no such pod");
  if (it != agents_.end() && (calm_ || !Chance(faults_.agent_refused))) {
    Agent& agent = *it->second;
    switch (effect.kind) {
      case Effect::Kind::kPut: {
        bool started = false;
        status = agent.Put(*effect.request, &started);
        if (started) {
          const RunKey key{effect.request->uid, effect.request->attempt};
          At(Between(1, faults_.longest_run_millis),
             [this, name = effect.agent, key, instance = agent.instance()] {
               const auto at = agents_.find(name);
               if (at != agents_.end()) at->second->Finish(key, instance);
             });
        }
        break;
      }
      case Effect::Kind::kCancel:
        status = agent.Cancel(effect.runs.front());
        break;
      case Effect::Kind::kAck:
        agent.Acknowledge(effect.runs);
        status = OkStatus();
        break;
      case Effect::Kind::kCall:
        break;
    }
    if (!calm_ && Chance(faults_.agent_answer_lost)) status = Unavailable("the answer was lost");
  }
  if (dying_) return CrashOperator();
  AtOperator(Between(0, 10), [this, effect = std::move(effect), status] {
    operator_->runner.In([&](DispatchCore& core, SteadyTime now, Effects* out) {
      if (effect.kind == Effect::Kind::kPut) {
        core.PutAnswered(effect.agent, {effect.request->uid, effect.request->attempt}, status, now,
                         out);
      } else if (effect.kind == Effect::Kind::kAck) {
        core.AckAnswered(effect.agent, effect.runs, status, now, out);
      } else {
        core.CancelAnswered(effect.agent, effect.runs.front(), status, now, out);
      }
    });
  });
}

void World::Work() {
  while (operator_) {
    const std::optional<std::string> key = operator_->queue->TryGet();
    if (!key.has_value()) return;
    const Status status = operator_->controller.Reconcile(*key);
    if (status.ok()) {
      operator_->queue->Forget(*key);
    } else {
      operator_->queue->AddRateLimited(*key);
    }
    operator_->queue->Done(*key);
    if (dying_) return CrashOperator();
  }
}

void World::Step() {
  SteadyTime next = clock_.Now() + std::chrono::milliseconds(500);
  if (!events_.empty()) next = std::min(next, events_.begin()->first);
  if (operator_) {
    const auto ready = operator_->queue->NextReady();
    if (ready.has_value()) next = std::min(next, *ready);
    const auto due = operator_->runner.core.NextDue();
    if (due.has_value()) next = std::min(next, *due);
  }
  if (next > clock_.Now()) clock_.Advance(next - clock_.Now());
  while (!events_.empty() && events_.begin()->first <= clock_.Now()) {
    const auto action = std::move(events_.begin()->second);
    events_.erase(events_.begin());
    action();
    Work();
  }
  const auto tick = [this] {
    if (operator_) {
      operator_->runner.In(
          [](DispatchCore& core, SteadyTime now, Effects* out) { core.Tick(now, out); });
    }
    Work();
  };
  tick();
  AsDeposed(tick);
}

bool World::Quiet() const {
  for (const auto& [key, object] : api_.objects) {
    if (!op::testing::IsFinal(object)) return false;
  }
  for (const auto& [name, agent] : agents_) {
    if (!agent->unacknowledged().empty() || agent->running() > 0) return false;
  }
  return operator_ != nullptr && deposed_ == nullptr && operator_->controller.live() == 0;
}

void World::Run() {
  const SteadyTime start = clock_.Now();
  while (clock_.Now() < start + kFaultyTime) Step();
  calm_ = true;
  while (clock_.Now() < start + kFaultyTime + kCalmTime && !Quiet()) Step();
  for (const auto& [name, agent] : agents_) {
    for (const auto& [uid, count] : agent->executions) executions_[uid] += count;
  }
}

}  // namespace envicutor::op::sim
