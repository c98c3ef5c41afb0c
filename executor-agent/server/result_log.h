// Results that the operator has not acknowledged, and what running runs are at, in one sequence
// that long polls follow: a poll names the last number it saw and is answered as soon as there is a
// higher one.
//
// A stage is told only when a run has been in it for `progress_delay`: most runs are over before,
// and would cost the operator a poll each for nothing.
//
// Numbers begin at the process' start time in milliseconds, so that a number from before a restart
// is lower than all of this process': such a poll is answered at once, and its reader sees the new
// instance.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

#include "executor-agent/journal/journal.h"
#include "executor-agent/server/timers.h"

namespace envicutor::agent {

// Thread-safe.
class ResultLog {
 public:
  // Called once with the JSON body, on any thread, without locks held.
  using Answer = std::function<void(std::string body)>;

  ResultLog(std::string instance, const Clock& clock, Timers& timers,
            Duration progress_delay = std::chrono::milliseconds(500));

  void AddResult(const RunKey& key, std::string json);
  void SetProgress(const RunKey& key, std::string_view stage);
  // Forgets its progress, and its result of that attempt or a lower one.
  void Remove(const RunKey& key);

  // At most `limit` results. Gives an id for Abandon; 0 when it was answered already.
  uint64_t Poll(uint64_t after, size_t limit, Duration timeout, Answer answer);
  // The client is gone: its answer is not called any more.
  void Abandon(uint64_t poll);
  // Answers all that wait, as if their time were up.
  void AnswerAll();

  [[nodiscard]] size_t size() const;  // results kept
  [[nodiscard]] bool Has(const RunKey& key) const;
  [[nodiscard]] const std::string& instance() const { return instance_; }

 private:
  struct Result {
    RunKey key;
    std::string json;
  };
  struct Progress {
    int64_t attempt = 0;
    uint64_t token = 0;     // which SetProgress it was
    uint64_t sequence = 0;  // 0: not told yet
    std::string stage;
    Timers::Id timer = 0;  // that tells it
  };
  void DropProgress(const std::string& uid);  // mutex_ held
  struct Waiter {
    uint64_t id = 0;
    uint64_t after = 0;
    size_t limit = 0;
    Answer answer;
    Timers::Id timer = 0;
  };

  bool HasNews(uint64_t after) const;                      // mutex_ held
  std::string Render(uint64_t after, size_t limit) const;  // mutex_ held
  void Tell(const std::string& uid, uint64_t token);
  void Wake();
  void TimeUp(uint64_t poll);

  const std::string instance_;
  const Clock& clock_;
  Timers& timers_;
  const Duration progress_delay_;
  mutable std::mutex mutex_;
  const uint64_t first_;  // no event has it
  uint64_t last_;
  std::map<uint64_t, Result> results_;        // by sequence number
  std::map<std::string, uint64_t> by_uid_;    // of a result
  std::map<std::string, Progress> progress_;  // by uid
  std::list<Waiter> waiters_;                 // oldest first
  uint64_t next_poll_ = 1;
  uint64_t next_token_ = 1;
};

}  // namespace envicutor::agent
