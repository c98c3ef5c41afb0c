#include "operator/dispatch/request_pool.h"

#include <algorithm>
#include <system_error>
#include <utility>

#include "common/base/log.h"

namespace envicutor::op {

RequestPool::RequestPool(const Clock& clock, const RequestPoolOptions& options, Handler handler)
    : clock_(clock), options_(options), handler_(std::move(handler)) {}

RequestPool::~RequestPool() { Stop(); }

void RequestPool::Start() {
  const std::lock_guard lock(mutex_);
  for (int i = 0; i < options_.threads; ++i) AddThread();
  overseer_ = std::jthread([this] { Oversee(); });
  caller_ = std::jthread([this] { Call(); });
}

void RequestPool::Stop() {
  Threads threads;
  Threads left;
  std::jthread overseer;
  std::jthread caller;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    threads.swap(threads_);
    left.swap(left_);
    overseer = std::move(overseer_);
    caller = std::move(caller_);
  }
  wake_.notify_all();
  oversee_.notify_all();
  call_.notify_all();
}

void RequestPool::Post(Effect effect) {
  if (effect.kind == Effect::Kind::kCall) {
    bool wake = false;
    {
      const std::lock_guard lock(mutex_);
      calls_.push_back(std::move(effect.call));
      wake = !calling_;
    }
    if (wake) call_.notify_one();
    return;
  }
  bool wake = false;
  {
    const std::lock_guard lock(mutex_);
    const auto lane = lanes_.try_emplace(effect.agent).first;
    lane->second.waiting.push_back(std::move(effect));
    MakeReady(lane);
    // Else one of its own that is under way takes it, or the first thread that is done.
    wake = lane->second.ready && idle_ > 0;
    if (lane->second.ready) Starve();
  }
  if (wake) wake_.notify_one();
}

void RequestPool::Forget(const std::string& agent) {
  const std::lock_guard lock(mutex_);
  const auto lane = lanes_.find(agent);
  if (lane == lanes_.end()) return;
  lane->second.gone = true;
  if (!lane->second.ready && lane->second.started.empty()) lanes_.erase(lane);
}

int RequestPool::threads() const {
  const std::lock_guard lock(mutex_);
  return workers_;
}

size_t RequestPool::lanes() const {
  const std::lock_guard lock(mutex_);
  return lanes_.size();
}

// A lane that may not start one comes back with the end of one that is under way.
bool RequestPool::MayStart(const Lane& lane, SteadyTime now) const {
  if (lane.waiting.empty()) return false;
  if (lane.started.empty()) return true;
  if (lane.doubtful || lane.started.size() >= static_cast<size_t>(options_.in_flight)) return false;
  // Threads are short: a second one is for those that are known to answer.
  if (workers_ > options_.threads && lane.answered < short_since_) return false;
  return now - lane.started.front() < options_.slow;
}

// The time is looked at when a thread takes one.
void RequestPool::MakeReady(Lanes::iterator it) {
  Lane& lane = it->second;
  if (lane.ready || !MayStart(lane, lane.started.empty() ? SteadyTime() : lane.started.front())) {
    return;
  }
  lane.ready = true;
  ready_.push_back(it);
}

void RequestPool::Starve() {
  if (starved_ || idle_ > 0 || ready_.empty()) return;
  starved_ = true;
  oversee_.notify_one();
}

void RequestPool::Call() {
  std::unique_lock lock(mutex_);
  for (;;) {
    calling_ = false;
    call_.wait(lock, [this] { return stopping_ || !calls_.empty(); });
    calling_ = true;
    if (stopping_) return;
    std::function<void()> call = std::move(calls_.front());
    calls_.pop_front();
    lock.unlock();
    call();
    call = nullptr;  // not under the lock
    lock.lock();
  }
}

void RequestPool::Work(Threads::iterator self) {
  std::unique_lock lock(mutex_);
  SteadyTime now = clock_.Now();
  for (;;) {
    if (stopping_) return;
    if (ready_.empty()) {
      if (workers_ > options_.threads && workers_ - Slow(now) > options_.threads) {
        --workers_;
        left_.splice(left_.end(), threads_, self);
        return;
      }
      ++idle_;
      wake_.wait(lock, [this] { return stopping_ || !ready_.empty(); });
      --idle_;
      now = clock_.Now();
      continue;
    }
    const Lanes::iterator it = ready_.front();
    ready_.pop_front();
    Lane& lane = it->second;
    lane.ready = false;
    if (!MayStart(lane, now)) continue;
    Effect request = std::move(lane.waiting.front());
    lane.waiting.pop_front();
    lane.started.push_back(now);
    MakeReady(it);
    Starve();
    const bool doubtful = lane.doubtful;
    const SteadyTime started = now;
    lock.unlock();
    const Answer answer = handler_(request, doubtful);
    request = {};  // not under the lock
    now = clock_.Now();
    lock.lock();
    Finish(it, started, answer, now);
  }
}

void RequestPool::Finish(Lanes::iterator it, SteadyTime started, Answer answer, SteadyTime now) {
  Lane& lane = it->second;
  const bool held = lane.doubtful || now - lane.started.front() >= options_.slow;
  lane.started.erase(std::find(lane.started.begin(), lane.started.end(), started));
  lane.doubtful = answer == Answer::kNone;
  if (answer == Answer::kGiven) lane.answered = now;
  lane.gone = lane.gone || answer == Answer::kGone;
  MakeReady(it);
  // More than this thread can take were held back.
  if (held && lane.ready && lane.waiting.size() > 1 && idle_ > 0) wake_.notify_all();
  if (lane.gone && !lane.ready && lane.started.empty()) lanes_.erase(it);
}

int RequestPool::Slow(SteadyTime now) const {
  int64_t slow = 0;
  for (const auto& [agent, lane] : lanes_) {
    slow += std::count_if(lane.started.begin(), lane.started.end(),
                          [&](SteadyTime started) { return now - started >= options_.slow; });
  }
  return static_cast<int>(slow);
}

void RequestPool::Grow(SteadyTime now) {
  if (ready_.empty() || idle_ > 0 || workers_ - Slow(now) >= options_.threads) return;
  const int count = std::min(static_cast<int>(ready_.size()), options_.most_threads - workers_);
  if (count <= 0) return;
  if (workers_ <= options_.threads) short_since_ = now;
  try {
    for (int i = 0; i < count; ++i) AddThread();
  } catch (const std::system_error& error) {
    log::Warn("no more threads for requests to executors", {{"error", error.what()}});
  }
}

void RequestPool::AddThread() {
  const auto self = threads_.emplace(threads_.end());
  try {
    *self = std::jthread([this, self] { Work(self); });
  } catch (...) {
    threads_.erase(self);
    throw;
  }
  ++workers_;
}

void RequestPool::Oversee() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    oversee_.wait(lock, [this] { return stopping_ || starved_; });
    oversee_.wait_for(lock, options_.slow / 2, [this] { return stopping_; });
    if (stopping_) return;
    Grow(clock_.Now());
    starved_ = workers_ > options_.threads || (idle_ == 0 && !ready_.empty());
    Threads left;
    left.swap(left_);
    lock.unlock();
    left.clear();
    lock.lock();
  }
}

}  // namespace envicutor::op
