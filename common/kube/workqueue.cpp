#include "common/kube/workqueue.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <thread>
#include <unordered_map>
#include <utility>

#include "common/metrics/metrics.h"

namespace envicutor::kube {
namespace {

double Seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

// Tokens come at a rate, up to a burst; one taken before it has come is waited for. Not
// thread-safe.
class TokenBucket {
 public:
  TokenBucket(double rate, double burst) : rate_(rate), burst_(burst), tokens_(burst) {}

  Duration Reserve(SteadyTime now) {
    if (last_ != SteadyTime{}) tokens_ = std::min(burst_, tokens_ + Seconds(now - last_) * rate_);
    last_ = now;
    tokens_ -= 1;
    if (tokens_ >= 0) return Duration::zero();
    return Duration(static_cast<int64_t>(-tokens_ / rate_ * 1e9));
  }

 private:
  double rate_;
  double burst_;
  double tokens_;
  SteadyTime last_{};
};

class Queue final : public WorkQueue {
 public:
  Queue(const std::string& name, const WorkQueueOptions& options)
      : options_(options),
        clock_(options.clock != nullptr ? *options.clock : system_clock_),
        bucket_(options.rate_per_second, options.burst),
        metrics_(options.registry, name) {
    if (options.registry != nullptr) {
      on_render_ = options.registry->OnRender([this] { UpdateWorkInProgress(); });
    }
  }
  ~Queue() override {
    on_render_.reset();
    ShutDown();
  }
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;

  void Add(const std::string& key) override {
    const std::scoped_lock lock(mutex_);
    NoteAsked(key, Again::kAtOnce);
    AddLocked(key, clock_.Now());
  }

  void AddAfter(const std::string& key, Duration delay) override {
    const std::scoped_lock lock(mutex_);
    NoteAsked(key, delay > Duration::zero() ? Again::kLater : Again::kAtOnce);
    AddAfterLocked(key, delay);
  }

  void AddRateLimited(const std::string& key) override {
    const std::scoped_lock lock(mutex_);
    metrics_.retries_total.Increment();
    const int failures = failures_[key]++;
    constexpr int kMaxShift = 40;  // 5 ms << 40 is far above any maximum and does not overflow
    Duration backoff = options_.max_delay;
    if (failures < kMaxShift) {
      const double nanos = static_cast<double>(options_.base_delay.count()) *
                           static_cast<double>(int64_t{1} << failures);
      if (nanos < static_cast<double>(backoff.count())) {
        backoff = Duration(static_cast<int64_t>(nanos));
      }
    }
    AddAfterLocked(key, std::max(backoff, bucket_.Reserve(clock_.Now())));
  }

  void Forget(const std::string& key) override {
    const std::scoped_lock lock(mutex_);
    failures_.erase(key);
  }

  void Undelay(const std::string& key) override {
    const std::scoped_lock lock(mutex_);
    DropDelayed(key);
    const auto it = working_.find(key);
    if (it != working_.end() && it->second.again == Again::kLater) it->second.again = Again::kNo;
  }

  std::optional<std::string> Get() override {
    std::unique_lock lock(mutex_);
    for (;;) {
      if (shut_down_) return std::nullopt;
      const SteadyTime now = clock_.Now();
      MoveDue(now);
      if (!ready_.empty()) return Take(now);
      // One worker keeps the time for all: else each delayed key would wake every idle worker.
      if (delayed_.empty() || timekeeper_) {
        ++idle_;
        wake_.wait(lock);
        --idle_;
      } else {
        timekeeper_ = true;
        time_.wait_for(lock, delayed_.begin()->first - now);
        timekeeper_ = false;
      }
    }
  }

  std::optional<std::string> TryGet() override {
    const std::scoped_lock lock(mutex_);
    const SteadyTime now = clock_.Now();
    MoveDue(now);
    if (shut_down_ || ready_.empty()) return std::nullopt;
    return Take(now);
  }

  std::optional<SteadyTime> NextReady() const override {
    const std::scoped_lock lock(mutex_);
    if (delayed_.empty()) return std::nullopt;
    return delayed_.begin()->first;
  }

  Again AskedAgain(const std::string& key) const override {
    const std::scoped_lock lock(mutex_);
    const auto it = working_.find(key);
    return it == working_.end() ? Again::kNo : it->second.again;
  }

  void Done(const std::string& key) override {
    const std::scoped_lock lock(mutex_);
    const auto it = working_.find(key);
    if (it == working_.end()) return;
    const SteadyTime now = clock_.Now();
    metrics_.work_duration_seconds.Observe(now - it->second.since);
    working_.erase(it);
    if (dirty_.contains(key)) Enqueue(key);
  }

  void ShutDown() override {
    const std::scoped_lock lock(mutex_);
    shut_down_ = true;
    wake_.notify_all();
    time_.notify_all();
  }

  size_t Length() const override {
    const std::scoped_lock lock(mutex_);
    return ready_.size();
  }

 private:
  struct Work {
    SteadyTime since;
    std::thread::id worker;
    Again again = Again::kNo;
  };

  // What others want of a key in work is no wish of its worker's.
  void NoteAsked(const std::string& key, Again again) {
    const auto it = working_.find(key);
    if (it == working_.end() || it->second.worker != std::this_thread::get_id()) return;
    if (it->second.again != Again::kAtOnce) it->second.again = again;
  }

  void AddLocked(const std::string& key, SteadyTime now) {
    if (shut_down_ || !dirty_.emplace(key, now).second) return;
    metrics_.adds_total.Increment();
    if (!working_.contains(key)) Enqueue(key);  // else Done() brings it back
  }

  void AddAfterLocked(const std::string& key, Duration delay) {
    const SteadyTime now = clock_.Now();
    if (delay <= Duration::zero()) return AddLocked(key, now);
    if (shut_down_) return;
    const SteadyTime at = now + std::chrono::duration_cast<SteadyTime::duration>(delay);
    const auto [it, is_new] = delayed_at_.emplace(key, at);
    if (!is_new) {
      if (it->second <= at) return;
      delayed_.erase({it->second, key});
      it->second = at;
    }
    // Only an earlier time than all others changes how long the timekeeper waits. In two steps:
    // begin() of before would be compared with, in an order that is the compiler's.
    const auto added = delayed_.emplace(at, key).first;
    if (added == delayed_.begin()) WakeTimekeeper();
  }

  void DropDelayed(const std::string& key) {
    const auto it = delayed_at_.find(key);
    if (it == delayed_at_.end()) return;
    delayed_.erase({it->second, key});
    delayed_at_.erase(it);
  }

  void WakeTimekeeper() {
    if (timekeeper_) {
      time_.notify_one();
    } else if (idle_ > 0) {
      wake_.notify_one();
    }
  }

  void WakeWorker() {
    if (idle_ > 0) {
      wake_.notify_one();
    } else if (timekeeper_) {
      time_.notify_one();
    }
  }

  void Enqueue(const std::string& key) {
    ready_.push_back(key);
    metrics_.depth.Set(static_cast<double>(ready_.size()));
    WakeWorker();
  }

  void MoveDue(SteadyTime now) {
    while (!delayed_.empty() && delayed_.begin()->first <= now) {
      const std::string key = delayed_.begin()->second;
      delayed_.erase(delayed_.begin());
      delayed_at_.erase(key);
      AddLocked(key, now);
    }
  }

  std::string Take(SteadyTime now) {
    std::string key = std::move(ready_.front());
    ready_.pop_front();
    metrics_.depth.Set(static_cast<double>(ready_.size()));
    const auto it = dirty_.find(key);
    metrics_.queue_duration_seconds.Observe(now - it->second);
    dirty_.erase(it);
    working_.emplace(key, Work{now, std::this_thread::get_id()});
    // One notify may have met a worker that found another key: pass it on. And somebody keeps the
    // time while anybody is idle.
    if (!ready_.empty()) {
      WakeWorker();
    } else if (!delayed_.empty() && !timekeeper_) {
      WakeTimekeeper();
    }
    return key;
  }

  void UpdateWorkInProgress() {
    const std::scoped_lock lock(mutex_);
    const SteadyTime now = clock_.Now();
    double sum = 0;
    double longest = 0;
    for (const auto& [key, work] : working_) {
      sum += Seconds(now - work.since);
      longest = std::max(longest, Seconds(now - work.since));
    }
    metrics_.unfinished_work_seconds.Set(sum);
    metrics_.longest_running_processor_seconds.Set(longest);
  }

  const WorkQueueOptions options_;
  const SystemClock system_clock_;
  const Clock& clock_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;  // of idle workers
  std::condition_variable time_;  // of the one that waits for the first delayed key
  size_t idle_ = 0;
  bool timekeeper_ = false;
  std::deque<std::string> ready_;
  std::unordered_map<std::string, SteadyTime> dirty_;  // wants work; since when
  std::unordered_map<std::string, Work> working_;
  std::set<std::pair<SteadyTime, std::string>> delayed_;
  std::unordered_map<std::string, SteadyTime> delayed_at_;
  std::unordered_map<std::string, int> failures_;
  TokenBucket bucket_;
  bool shut_down_ = false;
  const metrics::WorkQueueMetrics metrics_;
  std::shared_ptr<void> on_render_;
};

}  // namespace

std::unique_ptr<WorkQueue> NewWorkQueue(const std::string& name, const WorkQueueOptions& options) {
  return std::make_unique<Queue>(name, options);
}

}  // namespace envicutor::kube
