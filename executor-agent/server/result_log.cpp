#include "executor-agent/server/result_log.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>
#include <vector>

#include "common/base/json.h"

namespace envicutor::agent {
namespace {

constexpr size_t kMaxWaiters = 64;
constexpr size_t kMaxBodyBytes = 16U << 20U;  // one result may be larger: then it comes alone

uint64_t StartNumber(const Clock& clock) {
  return static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(clock.WallNow().time_since_epoch())
          .count());
}

}  // namespace

ResultLog::ResultLog(std::string instance, const Clock& clock, Timers& timers,
                     Duration progress_delay)
    : instance_(std::move(instance)),
      clock_(clock),
      timers_(timers),
      progress_delay_(progress_delay),
      first_(StartNumber(clock)),
      last_(first_) {}

void ResultLog::AddResult(const RunKey& key, std::string json) {
  {
    const std::lock_guard lock(mutex_);
    if (const auto old = by_uid_.find(key.uid); old != by_uid_.end()) results_.erase(old->second);
    DropProgress(key.uid);
    results_[++last_] = {key, std::move(json)};
    by_uid_[key.uid] = last_;
  }
  Wake();
}

// With its timer: most runs end before that is due, and it would wake a thread for nothing.
void ResultLog::DropProgress(const std::string& uid) {
  const auto found = progress_.find(uid);
  if (found == progress_.end()) return;
  timers_.Cancel(found->second.timer);
  progress_.erase(found);
}

void ResultLog::SetProgress(const RunKey& key, std::string_view stage) {
  uint64_t token = 0;
  {
    const std::lock_guard lock(mutex_);
    token = next_token_++;
    DropProgress(key.uid);
    Progress& progress = progress_[key.uid];
    progress = {key.attempt, token, 0, std::string(stage), 0};
    if (progress_delay_ != Duration::zero()) {
      progress.timer = timers_.At(clock_.Now() + progress_delay_,
                                  [this, uid = key.uid, token] { Tell(uid, token); });
      return;
    }
  }
  Tell(key.uid, token);
}

void ResultLog::Tell(const std::string& uid, uint64_t token) {
  {
    const std::lock_guard lock(mutex_);
    const auto found = progress_.find(uid);
    if (found == progress_.end() || found->second.token != token) return;  // further on, or done
    found->second.sequence = ++last_;
  }
  Wake();
}

void ResultLog::Remove(const RunKey& key) {
  const std::lock_guard lock(mutex_);
  if (const auto it = progress_.find(key.uid);
      it != progress_.end() && it->second.attempt <= key.attempt) {
    DropProgress(key.uid);
  }
  const auto found = by_uid_.find(key.uid);
  if (found == by_uid_.end() || results_[found->second].key.attempt > key.attempt) return;
  results_.erase(found->second);
  by_uid_.erase(found);
}

std::string ResultLog::Render(uint64_t after, size_t limit) const {
  if (after > last_ || after < first_) after = 0;  // another process' number: everything
  std::string results;
  uint64_t next = last_;
  size_t count = 0;
  for (auto it = results_.upper_bound(after); it != results_.end(); ++it) {
    if (count == limit || (count > 0 && results.size() + it->second.json.size() > kMaxBodyBytes)) {
      next = std::prev(it)->first;
      break;
    }
    if (count++ > 0) results += ',';
    results += it->second.json;
  }
  Json progress = Json::array();
  for (const auto& [uid, state] : progress_) {
    if (state.sequence <= after || state.sequence > next) continue;
    progress.push_back({{"uid", uid}, {"attempt", state.attempt}, {"stage", state.stage}});
  }
  // Results are JSON already: parsing them only to print them again would double the cost of a
  // poll.
  return R"({"instance":)" + DumpJson(Json(instance_)) + R"(,"next":)" + std::to_string(next) +
         R"(,"results":[)" + results + R"(],"progress":)" + DumpJson(progress) + '}';
}

bool ResultLog::HasNews(uint64_t after) const {
  if (after != 0 && (after > last_ || after < first_)) return true;  // a new process is news
  if (!results_.empty() && results_.rbegin()->first > after) return true;
  return std::any_of(progress_.begin(), progress_.end(),
                     [after](const auto& entry) { return entry.second.sequence > after; });
}

uint64_t ResultLog::Poll(uint64_t after, size_t limit, Duration timeout, Answer answer) {
  std::unique_lock lock(mutex_);
  if (timeout <= Duration::zero() || HasNews(after)) {
    std::string news = Render(after, limit);
    lock.unlock();
    answer(std::move(news));
    return 0;
  }
  std::optional<Waiter> displaced;
  std::string body;
  if (waiters_.size() >= kMaxWaiters) {
    displaced = std::move(waiters_.front());
    waiters_.pop_front();
    body = Render(displaced->after, displaced->limit);
  }
  const uint64_t id = next_poll_++;
  const Timers::Id timer = timers_.At(clock_.Now() + timeout, [this, id] { TimeUp(id); });
  waiters_.push_back({id, after, limit, std::move(answer), timer});
  lock.unlock();
  if (displaced) {
    timers_.Cancel(displaced->timer);
    displaced->answer(std::move(body));
  }
  return id;
}

void ResultLog::Abandon(uint64_t poll) {
  Waiter gone;
  {
    const std::lock_guard lock(mutex_);
    const auto found = std::find_if(waiters_.begin(), waiters_.end(),
                                    [poll](const Waiter& waiter) { return waiter.id == poll; });
    if (found == waiters_.end()) return;
    gone = std::move(*found);
    waiters_.erase(found);
  }
  timers_.Cancel(gone.timer);
}

void ResultLog::TimeUp(uint64_t poll) {
  Waiter waiter;
  std::string body;
  {
    const std::lock_guard lock(mutex_);
    const auto found = std::find_if(waiters_.begin(), waiters_.end(),
                                    [poll](const Waiter& one) { return one.id == poll; });
    if (found == waiters_.end()) return;
    waiter = std::move(*found);
    waiters_.erase(found);
    body = Render(waiter.after, waiter.limit);
  }
  waiter.answer(std::move(body));
}

void ResultLog::Wake() {
  std::list<Waiter> woken;
  std::vector<std::string> bodies;
  {
    const std::lock_guard lock(mutex_);
    woken.swap(waiters_);
    for (const Waiter& waiter : woken) bodies.push_back(Render(waiter.after, waiter.limit));
  }
  size_t i = 0;
  for (Waiter& waiter : woken) {
    timers_.Cancel(waiter.timer);
    waiter.answer(std::move(bodies[i++]));
  }
}

void ResultLog::AnswerAll() { Wake(); }

size_t ResultLog::size() const {
  const std::lock_guard lock(mutex_);
  return results_.size();
}

bool ResultLog::Has(const RunKey& key) const {
  const std::lock_guard lock(mutex_);
  const auto found = by_uid_.find(key.uid);
  return found != by_uid_.end() && results_.at(found->second).key == key;
}

}  // namespace envicutor::agent
