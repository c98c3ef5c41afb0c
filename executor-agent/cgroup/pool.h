// Control groups for stages: made ahead, used once (memory.peak and the OOM count never go back),
// destroyed behind, so that neither mkdir nor rmdir is on the way of a run.
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
};

// Thread-safe. The parent outlives the pool; the destructor destroys every group that it made and
// got back.
class GroupPool {
 public:
  // `swap_off`: write 0 to memory.swap.max of each group.
  GroupPool(const Group& parent, size_t ready, bool swap_off);
  ~GroupPool();
  GroupPool(const GroupPool&) = delete;
  GroupPool& operator=(const GroupPool&) = delete;

  [[nodiscard]] Result<StageGroup> Take();
  void GiveBack(StageGroup group);  // kills what is in it, then destroys it in the background

 private:
  [[nodiscard]] Result<StageGroup> Make();
  void Work();
  void DestroyAll(std::deque<StageGroup> groups);
  void Refill(std::unique_lock<std::mutex>& lock);

  const Group& parent_;
  const size_t ready_count_;
  const bool swap_off_;
  std::mutex mutex_;
  std::condition_variable used_changed_;  // told when the worker waits for it, or to stop
  std::condition_variable stop_;
  bool worker_waits_ = false;
  std::deque<StageGroup> ready_;
  std::deque<StageGroup> used_;
  uint64_t next_ = 0;
  bool stopping_ = false;
  std::thread worker_;
};

}  // namespace envicutor::cgroup
