#include "executor-agent/server/runs.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <utility>

#include "common/api/bounds.h"
#include "common/api/trace.h"
#include "common/base/json.h"
#include "common/base/log.h"
#include "executor-agent/run/executor.h"

namespace envicutor::agent {
namespace {

constexpr size_t kMaxForgotten = 4096;

std::string Mebibytes(int64_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

}  // namespace

Runs::Runs(Options options, ExecuteFn execute, Journal& journal, ResultLog& log, Timers& timers,
           const Clock& clock, metrics::AgentMetrics& metrics)
    : options_(options),
      execute_(std::move(execute)),
      journal_(journal),
      log_(log),
      timers_(timers),
      clock_(clock),
      metrics_(metrics) {
  for (const api::RunResult& result : journal_.recovery().results) {
    done_[result.uid] = result.attempt;
    log_.AddResult({result.uid, result.attempt}, DumpJson(api::RunResultToJson(result)));
  }
  for (const RunKey& lost : journal_.recovery().lost) {
    log::Warn("a run was lost with the process before this one",
              {{"uid", lost.uid},
               {"attempt", std::to_string(lost.attempt)},
               {"traceId", api::TraceIdFor("", lost.uid)}});
    metrics_.lost_runs_total.Increment();
  }
  for (int i = 0; i < options_.slots; ++i) {
    workers_.emplace_back([this](const std::stop_token& stop) { Work(stop); });
  }
}

Runs::~Runs() { Stop(); }

TakeAnswer Runs::CheckHere(const RunKey& key) {
  const std::string which = "attempt " + std::to_string(key.attempt) + " of " + key.uid;
  if (const auto run = active_.find(key.uid); run != active_.end()) {
    const int64_t here = run->second->request.attempt;
    if (here == key.attempt) return {TakeOutcome::kSame, which + " runs here"};
    if (here > key.attempt)
      return {TakeOutcome::kSuperseded, "a higher attempt of " + key.uid + " runs here"};
  }
  if (const auto done = done_.find(key.uid); done != done_.end()) {
    if (done->second == key.attempt) return {TakeOutcome::kSame, which + " is done"};
    if (done->second > key.attempt) {
      return {TakeOutcome::kSuperseded, "a higher attempt of " + key.uid + " is done"};
    }
  }
  if (const auto gone = forgotten_.find(key.uid);
      gone != forgotten_.end() && gone->second >= key.attempt) {
    return {TakeOutcome::kSuperseded, which + " was finished and acknowledged"};
  }
  return {};
}

TakeAnswer Runs::CheckCapacity(int64_t memory) const {
  if (busy_ >= options_.slots) {
    return {TakeOutcome::kNoCapacity, "all " + std::to_string(options_.slots) + " slots are taken"};
  }
  if (memory > options_.memory_bytes - used_memory_) {
    return {TakeOutcome::kNoCapacity, "the run may need " + Mebibytes(memory) + ", " +
                                          Mebibytes(options_.memory_bytes - used_memory_) + " of " +
                                          Mebibytes(options_.memory_bytes) + " are free"};
  }
  return {};
}

TakeAnswer Runs::Take(api::RunRequest request) {
  auto run = std::make_shared<Active>();
  // Whatever the operator reserved: the limits are what the boxes get.
  run->memory_bytes = std::max(request.memory_bytes, LargestMemoryLimit(request));
  run->request = std::move(request);
  const RunKey key = run->key();
  {
    const std::lock_guard lock(mutex_);
    if (TakeAnswer here = CheckHere(key); here.outcome != TakeOutcome::kTaken) return here;
    if (draining_) {
      metrics_.requests_refused_total.Increment();
      return {TakeOutcome::kDraining, "the executor ends: it takes no more runs"};
    }
    // A lower attempt is over from here on, whether there is room for this one now or not.
    if (const auto lower = active_.find(key.uid); lower != active_.end()) {
      lower->second->control.Stop(StopReason::kSuperseded);
      active_.erase(lower);
    }
    if (done_.erase(key.uid) > 0) log_.Remove({key.uid, key.attempt - 1});
    if (TakeAnswer full = CheckCapacity(run->memory_bytes); full.outcome != TakeOutcome::kTaken) {
      metrics_.requests_refused_total.Increment();
      return full;
    }
    // Before anything runs: what the journal does not know would be lost without a trace.
    if (const Status written = journal_.RecordAccepted(key); !written.ok()) {
      log::Error("a run could not be taken", api::LogContext(run->request),
                 {{"error", written.message()}});
      metrics_.requests_refused_total.Increment();
      if (written.code() == Code::kResourceExhausted)
        return {TakeOutcome::kNoCapacity, written.message()};
      return {TakeOutcome::kUnavailable, written.message()};
    }
    ++busy_;
    used_memory_ += run->memory_bytes;
    active_[key.uid] = run;
    ArmDeadline(run);
    queue_.push_back(run);
  }
  queued_.notify_one();
  return {TakeOutcome::kTaken, ""};
}

void Runs::ArmDeadline(const ActivePtr& run) {
  if (run->request.deadline_unix_millis == 0) return;
  const WallTime deadline{std::chrono::milliseconds(std::min(
      run->request.deadline_unix_millis, std::numeric_limits<int64_t>::max() / 2'000'000))};
  const SteadyTime due = clock_.Now() + (deadline - clock_.WallNow());
  run->deadline = timers_.At(due, [weak = std::weak_ptr<Active>(run)] {
    if (const ActivePtr late = weak.lock()) late->control.Stop(StopReason::kDeadline);
  });
}

bool Runs::Cancel(const RunKey& key) {
  const std::lock_guard lock(mutex_);
  const auto run = active_.find(key.uid);
  if (run != active_.end() && run->second->request.attempt == key.attempt) {
    run->second->control.Stop(StopReason::kCancelled);
    return true;
  }
  const auto done = done_.find(key.uid);
  return done != done_.end() && done->second == key.attempt;
}

std::vector<RunView> Runs::List() const {
  const std::lock_guard lock(mutex_);
  std::vector<RunView> views;
  views.reserve(active_.size() + done_.size());
  for (const auto& [uid, run] : active_) views.push_back({run->key(), false, run->stage});
  for (const auto& [uid, attempt] : done_) views.push_back({{uid, attempt}, true, ""});
  return views;
}

void Runs::RememberForgotten(const RunKey& key) {
  const auto [known, added] = forgotten_.try_emplace(key.uid, key.attempt);
  known->second = std::max(known->second, key.attempt);
  if (!added) return;
  forgotten_order_.push_back(key.uid);
  if (forgotten_order_.size() <= kMaxForgotten) return;
  forgotten_.erase(forgotten_order_.front());
  forgotten_order_.pop_front();
}

void Runs::Acknowledge(const std::vector<RunKey>& keys) {
  std::vector<RunKey> known;
  {
    const std::lock_guard lock(mutex_);
    for (const RunKey& key : keys) {
      const auto done = done_.find(key.uid);
      if (done == done_.end() || done->second > key.attempt) continue;
      done_.erase(done);
      log_.Remove(key);
      RememberForgotten(key);
      known.push_back(key);
    }
  }
  changed_.notify_all();
  if (const Status written = journal_.RecordForgotten(known); !written.ok()) {
    // Then they are sent once more after a restart, and acknowledged once more.
    log::Warn("an acknowledgement could not be written", {{"error", written.message()}});
  }
}

Runs::Load Runs::load() const {
  const std::lock_guard lock(mutex_);
  return {busy_, used_memory_, draining_};
}

void Runs::OnStage(const ActivePtr& run, std::string_view stage) {
  {
    const std::lock_guard lock(mutex_);
    run->stage = stage;
    const auto current = active_.find(run->request.uid);
    if (current == active_.end() || current->second != run) return;  // superseded
  }
  log_.SetProgress(run->key(), stage);
}

void Runs::Work(const std::stop_token& stop) {
  for (;;) {
    ActivePtr run;
    {
      std::unique_lock lock(mutex_);
      queued_.wait(lock, stop, [this] { return !queue_.empty(); });
      if (stop.stop_requested()) return;  // what is queued is lost like what runs
      run = std::move(queue_.front());
      queue_.pop_front();
    }
    log::Info("run started", api::LogContext(run->request), {{"runtime", run->request.runtime}});
    const api::RunResult result =
        execute_(run->request, run->control, [&](std::string_view stage) { OnStage(run, stage); });
    Finish(run, result);
  }
}

void Runs::Finish(const ActivePtr& run, const api::RunResult& result) {
  timers_.Cancel(run->deadline);
  const RunKey key = run->key();
  const StopReason reason = run->control.reason();
  const bool unfinished = result.verdict == api::Verdict::kNone;
  const bool lost = unfinished && reason == StopReason::kShutdown;
  std::string json;
  if (!lost && reason != StopReason::kSuperseded) {
    json = DumpJson(api::RunResultToJson(result));
    if (const Status written = journal_.RecordResult(key, json); !written.ok()) {
      // It is still in memory: only a crash before the acknowledgement would cost another attempt.
      log::Error("a result could not be written to the journal", api::LogContext(run->request),
                 {{"error", written.message()}});
    }
  }
  {
    const std::lock_guard lock(mutex_);
    --busy_;
    used_memory_ -= run->memory_bytes;
    const auto current = active_.find(key.uid);
    const bool counts = current != active_.end() && current->second == run;
    if (counts) active_.erase(current);
    if (counts && !json.empty()) {
      done_[key.uid] = key.attempt;
      log_.AddResult(key, std::move(json));
    } else if (!lost) {
      log_.Remove(key);
      static_cast<void>(
          journal_.RecordForgotten({key}));  // a higher attempt's record is left alone
    }
  }
  changed_.notify_all();
  metrics_.runs_total.With({unfinished ? "none" : std::string(VerdictName(result.verdict))})
      .Increment();
  log::Info("run finished", api::LogContext(run->request),
            {{"verdict", std::string(VerdictName(result.verdict))},
             {"cancelled", result.cancelled ? "true" : "false"},
             {"compileCached", result.compile_cached ? "true" : "false"},
             {"overheadMillis", std::to_string(result.overhead_millis)},
             {"message", result.message}});
}

void Runs::BeginDrain() {
  const std::lock_guard lock(mutex_);
  draining_ = true;
}

void Runs::WaitDrained(Duration grace, Duration ack_grace, const std::stop_token& hurry) {
  std::unique_lock lock(mutex_);
  const auto idle = [this] { return busy_ == 0; };
  if (!changed_.wait_for(lock, hurry, grace, idle)) return;
  static_cast<void>(changed_.wait_for(lock, hurry, ack_grace, [this] { return done_.empty(); }));
}

void Runs::Stop() {
  {
    const std::lock_guard lock(mutex_);
    draining_ = true;
    for (const auto& [uid, run] : active_) run->control.Stop(StopReason::kShutdown);
  }
  for (std::jthread& worker : workers_) worker.request_stop();
  for (std::jthread& worker : workers_) {
    if (worker.joinable()) worker.join();
  }
}

}  // namespace envicutor::agent
