// Deletes finished Submissions when their time is over: ttlSecondsAfterFinished of the spec, else
// the system's. `per_second` deletes as a rule; what falls behind goes faster, a few at a time:
// else more would finish than is deleted, and the API server would fill up. An API server that is
// away or throttles is left alone for some seconds. Thread-safe.
#pragma once

#include <condition_variable>
#include <mutex>
#include <optional>
#include <queue>
#include <string>
#include <thread>
#include <unordered_set>
#include <vector>

#include "common/base/clock.h"
#include "common/kube/client.h"

namespace envicutor::op {

class TtlCollector {
 public:
  TtlCollector(kube::Client& client, const Clock& clock, int64_t default_ttl_seconds,
               int per_second = 50);
  ~TtlCollector();
  TtlCollector(const TtlCollector&) = delete;
  TtlCollector& operator=(const TtlCollector&) = delete;

  // A submission with a terminal status; known ones are ignored.
  void Finished(const Json& submission);
  // Of those that set none, the known ones included.
  void SetDefault(int64_t seconds);
  void Start();
  void Stop();

  // Deletes what is due, at most `most`. The time of the next one; nullopt when there is none.
  std::optional<WallTime> Sweep(int most);
  // How many the next sweep of one of the threads takes: more, the later the first one is.
  [[nodiscard]] int BatchSize() const;
  // The same of the threads that help out when the first one is late; 0: they do nothing.
  [[nodiscard]] int HelpersBatchSize() const;
  [[nodiscard]] size_t size() const;

 private:
  struct Entry {
    WallTime due;
    WallTime from;                    // when it finished
    int64_t own = -1;                 // seconds that it set itself; -1: none
    const std::string* ns = nullptr;  // in namespaces_
    std::string name;
    const std::string* uid = nullptr;  // in known_
    bool operator>(const Entry& other) const { return due > other.due; }
  };
  void Run(std::stop_token stop, bool helps);
  [[nodiscard]] int64_t LateLocked() const;   // in steps of patience
  [[nodiscard]] WallTime NextLocked() const;  // when the first of entries_ may be tried
  void Failed(Entry entry, const Status& why);

  kube::Client& client_;
  const Clock& clock_;
  const int per_second_;
  mutable std::mutex mutex_;
  int64_t default_ttl_seconds_;
  WallTime not_before_;  // no deletion begins: the API server does not take any
  std::condition_variable_any wake_;
  std::priority_queue<Entry, std::vector<Entry>, std::greater<>> entries_;
  std::unordered_set<std::string> known_;       // uids
  std::unordered_set<std::string> namespaces_;  // names, once each: entries are many
  std::vector<std::jthread> threads_;
};

}  // namespace envicutor::op
