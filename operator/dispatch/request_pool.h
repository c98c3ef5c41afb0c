// The threads that carry out what a DispatchCore wants done: requests to agents, and the events for
// whoever submitted, which need no network and have a thread of their own.
//
// Each agent has a lane: its requests wait there, a few go at a time, one at a time after one that
// it left without an answer, and none is added while one is slow. As many slow ones as there are
// threads may come from agents that froze together; then threads are added, up to a bound, so that
// the others' requests do not wait for a time-out. They go when there is nothing slow any more.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "common/base/clock.h"
#include "operator/dispatch/dispatch_core.h"

namespace envicutor::op {

struct RequestPoolOptions {
  int threads = 8;
  int most_threads = 136;  // with those that are added: for a hundred agents that freeze at once
  int in_flight = 6;       // of one agent
  Duration slow = std::chrono::milliseconds(100);
};

// Thread-safe.
class RequestPool {
 public:
  enum class Answer { kGiven, kNone, kGone };  // kGone: there is no such agent any more
  // On a thread of the pool, several at a time. `doubtful`: the agent left the request before this
  // one without an answer.
  using Handler = std::function<Answer(const Effect& request, bool doubtful)>;

  RequestPool(const Clock& clock, const RequestPoolOptions& options, Handler handler);
  ~RequestPool();
  RequestPool(const RequestPool&) = delete;
  RequestPool& operator=(const RequestPool&) = delete;

  void Start();
  // Returns when what is under way is done; the rest is dropped.
  void Stop();
  // Does not block.
  void Post(Effect effect);
  // The agent is gone: nothing of it is kept when its requests are over.
  void Forget(const std::string& agent);

  [[nodiscard]] int threads() const;  // for requests
  [[nodiscard]] size_t lanes() const;

 private:
  struct Lane {
    std::deque<Effect> waiting;
    std::vector<SteadyTime> started;  // of those under way, the oldest first
    SteadyTime answered;              // when the last answer came
    bool ready = false;               // it is in ready_
    bool doubtful = false;
    bool gone = false;
  };
  using Lanes = std::map<std::string, Lane>;
  using Threads = std::list<std::jthread>;

  void Call();
  void Work(Threads::iterator self);
  void Oversee();
  // All under the lock.
  [[nodiscard]] bool MayStart(const Lane& lane, SteadyTime now) const;
  void MakeReady(Lanes::iterator lane);
  void Starve();
  void Finish(Lanes::iterator lane, SteadyTime started, Answer answer, SteadyTime now);
  [[nodiscard]] int Slow(SteadyTime now) const;
  void Grow(SteadyTime now);
  void AddThread();

  const Clock& clock_;
  const RequestPoolOptions options_;
  const Handler handler_;

  mutable std::mutex mutex_;  // everything below
  std::condition_variable wake_;
  Lanes lanes_;
  std::deque<Lanes::iterator> ready_;  // lanes that may start one, in turn
  int idle_ = 0;
  int workers_ = 0;
  bool stopping_ = false;
  Threads threads_;
  Threads left_;            // threads that are over, to be joined
  SteadyTime short_since_;  // when threads were added

  std::condition_variable oversee_;
  bool starved_ = false;  // a request waited and no thread was free
  std::jthread overseer_;

  std::condition_variable call_;
  std::deque<std::function<void()>> calls_;
  bool calling_ = false;
  std::jthread caller_;
};

}  // namespace envicutor::op
