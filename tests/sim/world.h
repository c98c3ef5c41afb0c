// The control plane in one thread with a seeded virtual clock: an API server whose requests fail,
// whose answers get lost and whose watch events are late; operators that crash; agents that restart
// and pods that die. One seed, one history: a failing seed replays exactly.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "operator/controllers/submission_controller.h"
#include "operator/controllers/ttl.h"
#include "operator/dispatch/dispatch_core.h"
#include "tests/sim/agent.h"
#include "tests/unit/operator/fakes.h"

namespace envicutor::op::sim {

struct Faults {
  double api_refused = 0.03;  // a request is not done
  double api_answer_lost = 0.03;
  double agent_refused = 0.03;
  double agent_answer_lost = 0.03;
  double page_replayed = 0.1;
  double watch_lost = 0.02;  // an event does not come; the watch ends (410) and a relist follows
  int slowest_event_millis = 40;
  int operator_crashes = 3;
  // An operator that lost its lease goes on for a while beside the next: it still talks to agents,
  // its writes are fenced off.
  int depositions = 2;
  bool fence = true;  // false: what it writes is written
  int agent_restarts = 3;
  int pod_losses = 2;
  int touches = 20;  // other writers change a submission
  int deletions = 3;
  int cancels = 3;
  int longest_run_millis = 2'500;

  // The operator dies at its n-th request to the API server or to an agent; 0: does not.
  int crash_at_await = 0;
  bool crash_after_commit = false;  // the request was done, its answer is not seen

  static Faults None();
};

class World {
 public:
  World(uint64_t seed, int submissions, int agents, Faults faults);
  ~World();

  void Run();
  // What is wrong with the history; empty when all promises were kept.
  [[nodiscard]] std::vector<std::string> Violations() const;
  // Every write to the API server, with its time.
  [[nodiscard]] const std::vector<std::string>& history() const { return history_; }
  [[nodiscard]] int status_writes() const;
  // Requests that operators made.
  [[nodiscard]] int awaits() const { return awaits_; }

 private:
  // One operator process: all of this is gone when it crashes.
  struct Operator;

  void At(Duration delay, std::function<void()> action);
  // The same, for the operator of now only: not after it crashed.
  void AtOperator(Duration delay, std::function<void()> action);
  bool Chance(double probability);
  Duration Between(int low_millis, int high_millis);

  void StartOperator();
  void CrashOperator();
  void DeposeOperator();
  // Runs `action` as the deposed operator.
  void AsDeposed(const std::function<void()>& action);
  // Counts a request of an operator; false when it dies before it is sent.
  bool Await();
  void Relist();
  void Work();  // everything the operator can do without time passing
  void Step();  // to the next event
  [[nodiscard]] bool Quiet() const;

  void Carry(Effects effects);
  void Do(Effect effect);
  void Connect(const std::string& agent);
  void PollAgent(const std::string& agent, int64_t after, const std::string& instance);
  void AddAgent();
  void LoseAgent();
  void ScheduleFaults();
  void CheckWrite(const Json& object, bool deleted);

  std::mt19937_64 random_;
  Faults faults_;
  FakeClock clock_;
  Options options_;
  metrics::OperatorMetrics metrics_{nullptr};
  op::testing::FakeClient api_;
  op::testing::FakeCatalog catalog_;
  op::testing::FakeBuilds builds_;
  std::map<std::string, std::unique_ptr<Agent>> agents_;
  std::multimap<SteadyTime, std::function<void()>> events_;
  std::unique_ptr<Operator> operator_;
  int epoch_ = 0;
  std::unique_ptr<Operator> deposed_;
  int deposed_epoch_ = 0;
  bool as_deposed_ = false;
  bool dying_ = false;
  int awaits_ = 0;
  std::map<std::string, Json> final_;  // status by uid, once it is final
  int next_agent_ = 0;
  int submissions_;
  int agent_count_;
  bool calm_ = false;  // the faults are over: all must end well
  std::set<std::string> deleted_;
  std::map<std::string, int> executions_;
  std::vector<std::string> problems_;
  std::vector<std::string> history_;
};

}  // namespace envicutor::op::sim
