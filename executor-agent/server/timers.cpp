#include "executor-agent/server/timers.h"

#include <utility>

namespace envicutor::agent {

Timers::Timers(const Clock& clock) : clock_(clock) {
  thread_ = std::jthread([this](const std::stop_token& stop) { Loop(stop); });
}

Timers::~Timers() { Stop(); }

void Timers::Stop() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

Timers::Id Timers::At(SteadyTime when, std::function<void()> callback) {
  const std::lock_guard lock(mutex_);
  const Id id = next_id_++;
  index_[id] = queue_.emplace(when, Timer{id, std::move(callback)});
  if (when < looks_at_) changed_.notify_all();
  return id;
}

void Timers::Cancel(Id id) {
  std::function<void()> gone;  // what it holds may end here: outside the lock
  const std::lock_guard lock(mutex_);
  const auto found = index_.find(id);
  if (found == index_.end()) return;
  gone = std::move(found->second->second.callback);
  queue_.erase(found->second);
  index_.erase(found);
}

void Timers::Loop(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested()) {
    if (queue_.empty()) {
      looks_at_ = SteadyTime::max();
      changed_.wait(lock, stop, [this] { return !queue_.empty(); });
      continue;
    }
    const auto first = queue_.begin();
    const SteadyTime due = first->first;
    if (const Duration left = due - clock_.Now(); left > Duration::zero()) {
      looks_at_ = due;
      changed_.wait_for(lock, stop, left,
                        [this, due] { return queue_.empty() || queue_.begin()->first < due; });
      continue;
    }
    const std::function<void()> callback = std::move(first->second.callback);
    index_.erase(first->second.id);
    queue_.erase(first);
    lock.unlock();
    callback();
    lock.lock();
  }
}

}  // namespace envicutor::agent
