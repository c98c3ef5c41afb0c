#include "tests/sim/agent.h"

#include <algorithm>

namespace envicutor::op::sim {

api::AgentInfo Agent::Info() const {
  api::AgentInfo info;
  info.instance = instance_;
  info.slots = slots_;
  info.memory_bytes = int64_t{1} << 40;
  return info;
}

HeldRuns Agent::ListRuns() const {
  HeldRuns held;
  held.instance = instance_;
  for (const auto& [uid, attempt] : running_) held.runs.push_back({{uid, attempt}, false, "run"});
  for (const auto& [sequence, result] : results_) {
    held.runs.push_back({{result.uid, result.attempt}, true, ""});
  }
  return held;
}

Status Agent::Put(const api::RunRequest& request, bool* started) {
  *started = false;
  const auto running = running_.find(request.uid);
  if (running != running_.end() && running->second == request.attempt) return OkStatus();
  for (const auto& [sequence, result] : results_) {
    if (result.uid == request.uid && result.attempt == request.attempt) return OkStatus();
  }
  int64_t& highest = highest_attempt_[request.uid];
  if (highest > request.attempt) return Status(Code::kConflict, "a higher attempt is here");
  if (static_cast<int64_t>(running_.size()) >= slots_) return ResourceExhausted("no slot");
  highest = request.attempt;
  running_[request.uid] = request.attempt;
  ++executions[request.uid];
  *started = true;
  return OkStatus();
}

Status Agent::Cancel(const RunKey& key) {
  const auto it = running_.find(key.uid);
  if (it == running_.end() || it->second != key.attempt) {
    for (const auto& [sequence, result] : results_) {
      if (result.uid == key.uid && result.attempt == key.attempt) return OkStatus();
    }
    return NotFound("unknown run");
  }
  running_.erase(it);
  api::RunResult result;
  result.uid = key.uid;
  result.attempt = key.attempt;
  result.cancelled = true;
  AddResult(std::move(result));
  return OkStatus();
}

void Agent::Finish(const RunKey& key, const std::string& instance) {
  const auto it = running_.find(key.uid);
  if (instance != instance_ || it == running_.end() || it->second != key.attempt) return;
  running_.erase(it);
  api::RunResult result;
  result.uid = key.uid;
  result.attempt = key.attempt;
  result.verdict = api::Verdict::kAccepted;
  result.run.emplace();
  result.run->exit_code = 0;
  result.run->stdout_data = key.uid;
  AddResult(std::move(result));
}

void Agent::AddResult(api::RunResult result) { results_.emplace(next_++, std::move(result)); }

ResultsPage Agent::Poll(int64_t after) const {
  ResultsPage page;
  page.instance = instance_;
  page.next = next_ - 1;
  for (auto it = results_.upper_bound(after); it != results_.end(); ++it)
    page.results.push_back(it->second);
  return page;
}

void Agent::Acknowledge(const std::vector<RunKey>& runs) {
  for (const RunKey& key : runs) {
    std::erase_if(results_, [&](const auto& entry) {
      return entry.second.uid == key.uid && entry.second.attempt == key.attempt;
    });
  }
}

std::vector<RunKey> Agent::unacknowledged() const {
  std::vector<RunKey> keys;
  for (const auto& [sequence, result] : results_) keys.push_back({result.uid, result.attempt});
  return keys;
}

void Agent::Restart() {
  running_.clear();
  instance_ = "i" + std::to_string(++generation_);
  // Sequence numbers are the process's own: the journal is read in again.
  std::map<int64_t, api::RunResult> kept;
  next_ = 1;
  for (auto& [sequence, result] : results_) kept.emplace(next_++, std::move(result));
  results_ = std::move(kept);
}

}  // namespace envicutor::op::sim
