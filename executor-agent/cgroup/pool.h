// Control groups for stages. With the memory controller: made ahead, used once (memory.peak and the
// OOM count never go back, and what a stage left in its box stays charged to its group), destroyed
// behind, so that neither mkdir nor rmdir is on the way of a run. Without it a group only counts
// CPU time and processes: one that is empty again is taken again, from where its count stands.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <string>
#include <thread>

#include "executor-agent/cgroup/group.h"

namespace envicutor::cgroup {

struct StageGroup {
  std::string name;
  Group group;
  UniqueFd cpu_stat;            // of the group, opened once; invalid where it has none
  int64_t cpu_base_micros = 0;  // what earlier stages used
  UniqueFd events;              // cgroup.events of a group that may be taken again
  // "usage_usec" less cpu_base_micros; 0 when it cannot be read.
  [[nodiscard]] int64_t CpuMicros() const;
};

// Thread-safe. The parent outlives the pool; the destructor destroys every group that it made and
// got back.
class GroupPool {
 public:
  // `has_memory`: children of `parent` have the memory controller.
  GroupPool(const Group& parent, size_t ready, bool has_memory);
  ~GroupPool();
  GroupPool(const GroupPool&) = delete;
  GroupPool& operator=(const GroupPool&) = delete;

  [[nodiscard]] Result<StageGroup> Take();
  // Destroys it in the background, with what is in it, or keeps it for another Take. `ended`: its
  // stage ended by itself, so that nothing but a dying init can be in it; any other is destroyed.
  void GiveBack(StageGroup group, bool ended);

 private:
  [[nodiscard]] Result<StageGroup> Make();
  [[nodiscard]] bool TakeAgain(StageGroup* group);  // mutex_ held
  void Work();
  void DestroyAll(std::deque<StageGroup> groups);
  void Refill(std::unique_lock<std::mutex>& lock);

  const Group& parent_;
  const size_t ready_count_;
  const bool has_memory_;
  std::mutex mutex_;
  std::condition_variable used_changed_;  // told when the worker waits for it, or to stop
  std::condition_variable stop_;
  bool worker_waits_ = false;
  std::deque<StageGroup> ready_;
  std::deque<StageGroup> again_;  // given back, for another Take; the oldest first, at most twice
                                  // ready_count_
  std::deque<StageGroup> used_;
  uint64_t next_ = 0;
  bool stopping_ = false;
  std::thread worker_;
};

}  // namespace envicutor::cgroup
