#include "executor-agent/cgroup/pool.h"

#include <algorithm>
#include <chrono>
#include <iterator>

#include "common/base/log.h"

namespace envicutor::cgroup {
namespace {
constexpr int kDestroyMillis = 10'000;
constexpr std::chrono::milliseconds kLinger{5};
}  // namespace

GroupPool::GroupPool(const Group& parent, size_t ready, bool swap_off)
    : parent_(parent), ready_count_(ready), swap_off_(swap_off), worker_([this] { Work(); }) {}

GroupPool::~GroupPool() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  used_changed_.notify_all();
  stop_.notify_all();
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
      return group;  // the next one is made when this one comes back
    }
  }
  return Make();
}

void GroupPool::GiveBack(StageGroup group) {
  const std::lock_guard lock(mutex_);
  used_.push_back(std::move(group));
  if (worker_waits_) used_changed_.notify_one();
}

void GroupPool::DestroyAll(std::deque<StageGroup> groups) {
  for (StageGroup& old : groups) {
    old.group = Group();
    // What is empty goes at once; else its processes are killed and waited for.
    if (parent_.RemoveChild(old.name).ok()) continue;
    const Status gone = Destroy(parent_, old.name, kDestroyMillis);
    if (!gone.ok()) log::Error("control group not removed", {{"error", gone.ToString()}});
  }
}

void GroupPool::Refill(std::unique_lock<std::mutex>& lock) {
  while (!stopping_ && ready_.size() < ready_count_) {
    lock.unlock();
    Result<StageGroup> made = Make();
    lock.lock();
    if (!made.ok()) {  // Take tries again, and says so
      log::Error("cannot prepare a control group", {{"error", made.status().ToString()}});
      return;
    }
    ready_.push_back(std::move(*made));
  }
}

void GroupPool::Work() {
  std::unique_lock lock(mutex_);
  while (true) {
    Refill(lock);
    worker_waits_ = true;
    used_changed_.wait(lock, [&] { return stopping_ || !used_.empty(); });
    worker_waits_ = false;
    // A stage is over when only its init is left, which then takes its namespaces apart: by now
    // that is done, and what other stages gave back meanwhile goes in the same round.
    stop_.wait_for(lock, kLinger, [&] { return stopping_; });
    std::deque<StageGroup> old = std::move(used_);
    used_.clear();
    if (stopping_) {
      std::move(ready_.begin(), ready_.end(), std::back_inserter(old));
      ready_.clear();
    }
    const bool last = stopping_ && old.empty();
    lock.unlock();
    DestroyAll(std::move(old));
    lock.lock();
    if (last) return;
  }
}

}  // namespace envicutor::cgroup
