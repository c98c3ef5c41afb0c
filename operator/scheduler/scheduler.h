// The decision which run starts where: a pure function over (queue, executors).
//
// A slot is a CPU and the run's memory: an executor takes a run when it has a free slot and the
// memory is left. The run that is next is never overtaken for lack of memory: an executor that
// could take it when others end is reserved for it, so that large runs do not starve. A run that no
// executor could take even when empty does not hold up the others.
#pragma once

#include <cstdint>
#include <vector>

#include "operator/scheduler/run_queue.h"

namespace envicutor::op {

struct ExecutorRoom {
  int64_t free_slots = 0;
  int64_t free_memory_bytes = 0;
  int64_t memory_bytes = 0;  // when empty
};

struct Assignment {
  QueuedRun run;
  size_t executor = 0;  // index into executors
};

struct Schedule {
  std::vector<Assignment> starts;
  std::vector<QueuedRun> too_large;  // no executor can ever take them; out of the queue
};

// Takes the runs that start out of `queue` and their room out of `executors`. At most
// (number of free slots + number too large) runs are looked at, whatever the length of the queue.
[[nodiscard]] Schedule PlanStarts(RunQueue* queue, std::vector<ExecutorRoom>* executors);

}  // namespace envicutor::op
