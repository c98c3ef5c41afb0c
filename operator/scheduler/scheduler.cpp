#include "operator/scheduler/scheduler.h"

#include <algorithm>

namespace envicutor::op {
namespace {

bool Fits(const ExecutorRoom& room, const QueuedRun& run) {
  return room.free_slots > 0 && room.free_memory_bytes >= run.memory_bytes;
}

// The emptiest by slots, then by memory: spreads load, and the next large run finds room.
bool Roomier(const ExecutorRoom& a, const ExecutorRoom& b) {
  if (a.free_slots != b.free_slots) return a.free_slots > b.free_slots;
  return a.free_memory_bytes > b.free_memory_bytes;
}

}  // namespace

Schedule PlanStarts(RunQueue* queue, std::vector<ExecutorRoom>* executors) {
  Schedule schedule;
  int64_t largest = -1;
  int64_t free_slots = 0;
  for (const ExecutorRoom& room : *executors) {
    largest = std::max(largest, room.memory_bytes);
    free_slots += std::max<int64_t>(0, room.free_slots);
  }
  if (largest < 0) return schedule;  // none is up: all wait
  std::vector<bool> reserved(executors->size(), false);
  std::vector<QueuedRun> blocked;  // had to wait for memory; they go back to the head
  while (free_slots > 0) {
    const QueuedRun* next = queue->Next();
    if (next == nullptr) break;
    if (next->memory_bytes > largest) {
      const QueuedRun run = *next;  // not started: its namespace is not charged
      queue->Remove(run.id);
      schedule.too_large.push_back(run);
      continue;
    }
    size_t best = executors->size();
    size_t reserve = executors->size();
    for (size_t i = 0; i < executors->size(); ++i) {
      if (reserved[i]) continue;
      const ExecutorRoom& room = (*executors)[i];
      if (Fits(room, *next) && (best == executors->size() || Roomier(room, (*executors)[best])))
        best = i;
      if (room.memory_bytes >= next->memory_bytes &&
          (reserve == executors->size() || Roomier(room, (*executors)[reserve]))) {
        reserve = i;
      }
    }
    if (best < executors->size()) {
      ExecutorRoom& room = (*executors)[best];
      --room.free_slots;
      --free_slots;
      room.free_memory_bytes -= next->memory_bytes;
      schedule.starts.push_back({queue->Pop(), best});
      continue;
    }
    // Nothing has room for it now. Keep the roomiest executor that could take it for it, and let
    // the others go on; when all that could take it are kept for others already, everything behind
    // waits.
    if (reserve == executors->size()) break;
    reserved[reserve] = true;
    free_slots -= std::max<int64_t>(0, (*executors)[reserve].free_slots);
    blocked.push_back(queue->Pop());
  }
  for (auto it = blocked.rbegin(); it != blocked.rend(); ++it) queue->PutBack(std::move(*it));
  return schedule;
}

}  // namespace envicutor::op
