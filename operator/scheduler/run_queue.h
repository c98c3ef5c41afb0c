// The runs that wait for a slot of one pool, in the order in which they are to start: higher
// priority first, then fair between namespaces, then first come.
//
// Fair is start-time fair queueing: each namespace of a priority has a virtual time that grows by
// 1/weight with each of its runs that starts; the one with the least is next. A namespace that was
// idle starts at the present, so it neither catches up on the past nor waits behind another's
// backlog. A namespace that has as many runs in flight as it may is held: the others go past it
// until Release. No I/O, no clock, not thread-safe. Push, Next and Pop are O(log n), amortized.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "operator/scheduler/in_flight.h"

namespace envicutor::op {

struct QueuedRun {
  std::string id;
  std::string ns;
  int64_t priority = 0;
  int64_t memory_bytes = 0;
};

class RunQueue {
 public:
  // Namespaces that are not in `weights` weigh 1. `in_flight` is shared with the queues of other
  // pools; Pop counts a start there.
  explicit RunQueue(std::map<std::string, double> weights = {},
                    std::shared_ptr<InFlight> in_flight = nullptr)
      : weights_(std::move(weights)), in_flight_(std::move(in_flight)) {}

  // For what starts from here on.
  void SetWeights(std::map<std::string, double> weights) { weights_ = std::move(weights); }

  // False when the id is in the queue already.
  bool Push(QueuedRun run);
  // Back to the head of its namespace: it was popped but could not start after all. The namespace's
  // virtual time is given back.
  bool PushFront(QueuedRun run);
  // PushFront, and the start that Pop counted is taken back.
  void PutBack(QueuedRun run);
  // nullptr when not there.
  [[nodiscard]] const QueuedRun* Find(const std::string& id) const;
  bool Remove(const std::string& id);

  // The run that starts next; nullptr when none may.
  [[nodiscard]] const QueuedRun* Next();
  // Takes the next one out and charges its namespace. There must be one.
  QueuedRun Pop();
  // The namespace has room in flight again. True when something of it waits here.
  bool Release(const std::string& ns);
  void ReleaseAll();  // limits changed

  // How many start before it if nothing else comes, about: all of higher priority, those before it
  // in its own namespace, and as many of each other namespace of its priority. O(namespaces + log
  // n).
  [[nodiscard]] std::optional<int64_t> PositionOf(const std::string& id) const;

  [[nodiscard]] size_t size() const { return runs_.size(); }
  [[nodiscard]] size_t CountOf(const std::string& ns) const;

 private:
  struct Entry {
    QueuedRun run;
    int64_t sequence = 0;
  };
  struct Lane {                                           // one namespace at one priority
    std::deque<std::pair<int64_t, std::string>> waiting;  // (sequence, id), ascending
    double virtual_time = 0;
    bool held = false;  // its namespace is full: it is not in the level's order
  };
  struct Level {
    std::unordered_map<std::string, Lane> lanes;
    std::set<std::pair<double, std::string>> order;  // (virtual time, namespace) of lanes that wait
                                                     // and are not held
    double now = 0;                                  // virtual time of the last start
    size_t size = 0;
  };

  [[nodiscard]] double CostOf(const std::string& ns) const;
  bool Insert(QueuedRun run, bool front);
  void Erase(Level& level, Lane& lane, const std::string& ns);

  std::map<std::string, double> weights_;
  std::shared_ptr<InFlight> in_flight_;
  std::unordered_map<std::string, std::vector<int64_t>> held_;  // namespace -> priorities
  std::unordered_map<std::string, Entry> runs_;
  std::map<int64_t, Level, std::greater<>> levels_;
  std::unordered_map<std::string, size_t> per_namespace_;
  int64_t next_sequence_ = 1;
  int64_t next_front_ = 0;
};

}  // namespace envicutor::op
