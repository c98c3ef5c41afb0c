#include "executor-agent/cgroup/pool.h"

#include "common/base/log.h"

namespace envicutor::cgroup {
namespace {
constexpr int kDestroyMillis = 10'000;
}

GroupPool::GroupPool(const Group& parent, size_t ready, bool swap_off)
    : parent_(parent), ready_count_(ready), swap_off_(swap_off), worker_([this] { Work(); }) {}

GroupPool::~GroupPool() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  worker_.join();
}

Result<StageGroup> GroupPool::Make() {
  std::string name;
  {
    const std::lock_guard lock(mutex_);
    name = std::to_string(next_++);
  }
  Result<Group> group = parent_.MakeChild(name);
  if (!group.ok()) return group.status();
  if (swap_off_) {
    // Absent where the kernel has no swap accounting: then there is no swap to forbid.
    const Status off = group->Write(kMemorySwapMax, "0");
    if (!off.ok() && off.code() != Code::kNotFound) return off;
  }
  return StageGroup{std::move(name), std::move(*group)};
}

Result<StageGroup> GroupPool::Take() {
  {
    const std::lock_guard lock(mutex_);
    if (!ready_.empty()) {
      StageGroup group = std::move(ready_.front());
      ready_.pop_front();
      changed_.notify_all();
      return group;
    }
  }
  return Make();
}

void GroupPool::GiveBack(StageGroup group) {
  {
    const std::lock_guard lock(mutex_);
    used_.push_back(std::move(group));
  }
  changed_.notify_all();
}

void GroupPool::Work() {
  std::unique_lock lock(mutex_);
  bool can_make = true;
  while (true) {
    changed_.wait(lock, [&] {
      return stopping_ || !used_.empty() || (can_make && ready_.size() < ready_count_);
    });
    StageGroup old;
    if (!used_.empty()) {
      old = std::move(used_.front());
      used_.pop_front();
    } else if (stopping_) {
      if (ready_.empty()) return;
      old = std::move(ready_.front());
      ready_.pop_front();
    }
    lock.unlock();
    if (!old.name.empty()) {
      old.group = Group();
      const Status gone = Destroy(parent_, old.name, kDestroyMillis);
      if (!gone.ok()) log::Error("control group not removed", {{"error", gone.ToString()}});
      can_make = true;
      lock.lock();
      continue;
    }
    Result<StageGroup> made = Make();
    lock.lock();
    can_make = made.ok();
    if (made.ok()) {
      ready_.push_back(std::move(*made));
    } else {
      log::Error("cannot prepare a control group", {{"error", made.status().ToString()}});
    }
  }
}

}  // namespace envicutor::cgroup
