#include "operator/scheduler/run_queue.h"

#include <algorithm>

#include "common/base/check.h"

namespace envicutor::op {

double RunQueue::CostOf(const std::string& ns) const {
  const auto it = weights_.find(ns);
  return it == weights_.end() || it->second <= 0 ? 1.0 : 1.0 / it->second;
}

bool RunQueue::Insert(QueuedRun run, bool front) {
  if (runs_.count(run.id) != 0) return false;
  const int64_t sequence = front ? next_front_-- : next_sequence_++;
  Level& level = levels_[run.priority];
  Lane& lane = level.lanes[run.ns];
  const double before = lane.virtual_time;
  const bool was_idle = lane.waiting.empty();
  double virtual_time = was_idle ? std::max(before, level.now) : before;
  if (front) virtual_time = std::max(0.0, before - CostOf(run.ns));
  if (!was_idle && virtual_time != before) level.order.erase({before, run.ns});
  lane.virtual_time = virtual_time;
  if (!lane.held) level.order.insert({virtual_time, run.ns});
  if (front) {
    lane.waiting.emplace_front(sequence, run.id);
  } else {
    lane.waiting.emplace_back(sequence, run.id);
  }
  ++level.size;
  ++per_namespace_[run.ns];
  std::string id = run.id;
  runs_.emplace(std::move(id), Entry{std::move(run), sequence});
  return true;
}

bool RunQueue::Push(QueuedRun run) { return Insert(std::move(run), false); }

bool RunQueue::PushFront(QueuedRun run) { return Insert(std::move(run), true); }

void RunQueue::PutBack(QueuedRun run) {
  const std::string ns = run.ns;
  PushFront(std::move(run));
  if (in_flight_ && in_flight_->End(ns)) Release(ns);
}

const QueuedRun* RunQueue::Find(const std::string& id) const {
  const auto it = runs_.find(id);
  return it == runs_.end() ? nullptr : &it->second.run;
}

// After a lane lost a run: bookkeeping of the level and of the namespace. The level's own entry
// goes when it is empty; an empty lane goes when its virtual time is in the past.
void RunQueue::Erase(Level& level, Lane& lane, const std::string& ns) {
  --level.size;
  const auto count = per_namespace_.find(ns);
  if (--count->second == 0) per_namespace_.erase(count);
  if (lane.waiting.empty()) {
    lane.held = false;
    level.order.erase({lane.virtual_time, ns});
    if (lane.virtual_time <= level.now) level.lanes.erase(ns);
  }
}

bool RunQueue::Remove(const std::string& id) {
  const auto it = runs_.find(id);
  if (it == runs_.end()) return false;
  const QueuedRun run = it->second.run;
  const auto level = levels_.find(run.priority);
  Lane& lane = level->second.lanes[run.ns];
  const auto at = std::lower_bound(lane.waiting.begin(), lane.waiting.end(), it->second.sequence,
                                   [](const auto& entry, int64_t s) { return entry.first < s; });
  CHECK(at != lane.waiting.end() && at->second == id, "a queued run is in its namespace's lane");
  lane.waiting.erase(at);
  runs_.erase(it);
  Erase(level->second, lane, run.ns);
  if (level->second.size == 0) levels_.erase(level);
  return true;
}

// Lanes of full namespaces leave the order as they come up, once for each time they are full.
const QueuedRun* RunQueue::Next() {
  for (auto& [priority, level] : levels_) {
    while (!level.order.empty()) {
      const std::string ns = level.order.begin()->second;
      Lane& lane = level.lanes.at(ns);
      if (!in_flight_ || !in_flight_->Full(ns)) {
        return &runs_.at(lane.waiting.front().second).run;
      }
      lane.held = true;
      level.order.erase(level.order.begin());
      std::vector<int64_t>& held = held_[ns];
      if (std::find(held.begin(), held.end(), priority) == held.end()) held.push_back(priority);
    }
  }
  return nullptr;
}

bool RunQueue::Release(const std::string& ns) {
  const auto it = held_.find(ns);
  if (it == held_.end()) return false;
  const std::vector<int64_t> priorities = std::move(it->second);
  held_.erase(it);
  bool waits = false;
  for (const int64_t priority : priorities) {
    const auto level = levels_.find(priority);
    if (level == levels_.end()) continue;
    const auto lane = level->second.lanes.find(ns);
    if (lane == level->second.lanes.end() || !lane->second.held) continue;
    lane->second.held = false;
    lane->second.virtual_time = std::max(lane->second.virtual_time, level->second.now);
    level->second.order.insert({lane->second.virtual_time, ns});
    waits = true;
  }
  return waits;
}

void RunQueue::ReleaseAll() {
  while (!held_.empty()) Release(std::string(held_.begin()->first));
}

QueuedRun RunQueue::Pop() {
  CHECK(Next() != nullptr, "Pop when no run may start");
  const auto level_it = std::find_if(levels_.begin(), levels_.end(),
                                     [](const auto& entry) { return !entry.second.order.empty(); });
  Level& level = level_it->second;
  const auto [virtual_time, ns] = *level.order.begin();
  Lane& lane = level.lanes[ns];
  const auto it = runs_.find(lane.waiting.front().second);
  QueuedRun run = std::move(it->second.run);
  runs_.erase(it);
  lane.waiting.pop_front();
  level.now = std::max(level.now, virtual_time);
  level.order.erase({virtual_time, ns});
  lane.virtual_time = virtual_time + CostOf(ns);
  if (!lane.waiting.empty()) level.order.insert({lane.virtual_time, ns});
  Erase(level, lane, run.ns);
  if (level.size == 0) levels_.erase(level_it);
  if (in_flight_) in_flight_->Start(run.ns);
  return run;
}

std::optional<int64_t> RunQueue::PositionOf(const std::string& id) const {
  const auto it = runs_.find(id);
  if (it == runs_.end()) return std::nullopt;
  const QueuedRun& run = it->second.run;
  int64_t ahead = 0;
  for (const auto& [priority, level] : levels_) {
    if (priority > run.priority) {
      ahead += static_cast<int64_t>(level.size);
      continue;
    }
    const auto& waiting = level.lanes.at(run.ns).waiting;
    const auto at = std::lower_bound(waiting.begin(), waiting.end(), it->second.sequence,
                                     [](const auto& entry, int64_t s) { return entry.first < s; });
    const int64_t own = at - waiting.begin();
    ahead += own;
    const double own_turn =
        level.lanes.at(run.ns).virtual_time + static_cast<double>(own) * CostOf(run.ns);
    for (const auto& [virtual_time, ns] : level.order) {
      if (ns == run.ns) continue;
      if (virtual_time > own_turn) break;
      const double turns = (own_turn - virtual_time) / CostOf(ns);
      const auto earlier =
          static_cast<int64_t>(turns) + (virtual_time < own_turn || ns < run.ns ? 1 : 0);
      ahead += std::min(earlier, static_cast<int64_t>(level.lanes.at(ns).waiting.size()));
    }
    break;
  }
  return ahead;
}

size_t RunQueue::CountOf(const std::string& ns) const {
  const auto it = per_namespace_.find(ns);
  return it == per_namespace_.end() ? 0 : it->second;
}

}  // namespace envicutor::op
