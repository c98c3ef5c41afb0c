// An executor-agent of the simulation: runs by the protocol of common/api/run.h, with a journal
// that survives its process but not its pod. A run writes its own uid, so that mixed-up results
// show.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "operator/dispatch/agent_api.h"

namespace envicutor::op::sim {

class Agent {
 public:
  Agent(std::string name, int64_t slots) : name_(std::move(name)), slots_(slots) {}

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] api::AgentInfo Info() const;
  [[nodiscard]] HeldRuns ListRuns() const;
  // True when it starts now: the caller calls Finish(key) after the run's time.
  Status Put(const api::RunRequest& request, bool* started);
  Status Cancel(const RunKey& key);
  void Finish(const RunKey& key, const std::string& instance);
  [[nodiscard]] ResultsPage Poll(int64_t after) const;
  void Acknowledge(const std::vector<RunKey>& runs);
  // The process dies and starts again: what ran is gone, results that were journalled are not.
  void Restart();

  [[nodiscard]] const std::string& instance() const { return instance_; }
  // Of the results that nobody acknowledged yet.
  [[nodiscard]] std::vector<RunKey> unacknowledged() const;
  [[nodiscard]] size_t running() const { return running_.size(); }
  std::map<std::string, int> executions;  // by uid

 private:
  void AddResult(api::RunResult result);

  std::string name_;
  int64_t slots_;
  int generation_ = 1;
  std::string instance_ = "i1";
  std::map<std::string, int64_t> running_;     // uid -> attempt
  std::map<int64_t, api::RunResult> results_;  // by sequence
  std::map<std::string, int64_t> highest_attempt_;
  int64_t next_ = 1;
};

}  // namespace envicutor::op::sim
