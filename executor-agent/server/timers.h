// Calls back at a time: deadlines of runs and ends of long polls, on one thread.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "common/base/clock.h"

namespace envicutor::agent {

// Thread-safe. Callbacks run on the timers' thread, one after another, without locks held; they
// must be short. None starts after the destructor began.
class Timers {
 public:
  using Id = uint64_t;  // 0 is none
  explicit Timers(const Clock& clock);
  ~Timers();
  Timers(const Timers&) = delete;
  Timers& operator=(const Timers&) = delete;

  [[nodiscard]] Id At(SteadyTime when, std::function<void()> callback);
  // No callback runs any more when it returns. Idempotent; the destructor does it too.
  void Stop();
  // The callback may be running or have run; a cancelled one does not start. 0 and unknown ones are
  // ignored.
  void Cancel(Id id);

 private:
  void Loop(const std::stop_token& stop);

  struct Timer {
    Id id = 0;
    std::function<void()> callback;
  };
  using Queue = std::multimap<SteadyTime, Timer>;

  const Clock& clock_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  Queue queue_;
  // When the thread will look by itself: an earlier timer wakes it, a later one need not.
  SteadyTime looks_at_ = SteadyTime::max();
  std::unordered_map<Id, Queue::iterator> index_;
  Id next_id_ = 1;
  std::jthread thread_;  // last: it uses the others
};

}  // namespace envicutor::agent
