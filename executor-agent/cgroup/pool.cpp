#include "executor-agent/cgroup/pool.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <iterator>

#include "common/base/log.h"

namespace envicutor::cgroup {
namespace {
constexpr int kDestroyMillis = 10'000;
constexpr std::chrono::milliseconds kLinger{5};

// `key` of an open flat-keyed control file, or -1.
int64_t KeyOf(const UniqueFd& file, std::string_view key) {
  std::array<char, 1024> text;
  const ssize_t got = ::pread(file.get(), text.data(), text.size(), 0);
  return got > 0 ? FlatKeyed({text.data(), static_cast<size_t>(got)}, key) : -1;
}

}  // namespace

int64_t StageGroup::CpuMicros() const {
  return std::max<int64_t>(KeyOf(cpu_stat, "usage_usec") - cpu_base_micros, 0);
}

GroupPool::GroupPool(const Group& parent, size_t ready, bool has_memory)
    : parent_(parent), ready_count_(ready), has_memory_(has_memory), worker_([this] { Work(); }) {}

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
  if (has_memory_) {
    // Absent where the kernel has no swap accounting: then there is no swap to forbid.
    const Status off = group->Write(kMemorySwapMax, "0");
    if (!off.ok() && off.code() != Code::kNotFound) return off;
  }
  StageGroup made{std::move(name), std::move(*group), {}, 0, {}};
  made.cpu_stat = UniqueFd(::openat(made.group.fd(), kCpuStat, O_RDONLY | O_CLOEXEC));
  if (!has_memory_) {
    made.events = UniqueFd(::openat(made.group.fd(), kEvents, O_RDONLY | O_CLOEXEC));
  }
  return made;
}

bool GroupPool::TakeAgain(StageGroup* group) {
  for (auto old = again_.begin(); old != again_.end(); ++old) {
    // The init of the stage before may still be ending: its time is that stage's.
    if (KeyOf(old->events, "populated") != 0) continue;
    const int64_t used = KeyOf(old->cpu_stat, "usage_usec");
    if (used < 0) continue;
    *group = std::move(*old);
    again_.erase(old);
    group->cpu_base_micros = used;
    return true;
  }
  return false;
}

Result<StageGroup> GroupPool::Take() {
  {
    const std::lock_guard lock(mutex_);
    StageGroup group;
    if (TakeAgain(&group)) return group;
    if (!ready_.empty()) {
      group = std::move(ready_.front());
      ready_.pop_front();
      return group;  // the next one is made when this one comes back
    }
  }
  return Make();
}

void GroupPool::GiveBack(StageGroup group, bool ended) {
  const std::lock_guard lock(mutex_);
  if (ended && !has_memory_ && group.cpu_stat.valid() && group.events.valid()) {
    again_.push_back(std::move(group));
    if (again_.size() <= 2 * ready_count_) return;
    group = std::move(again_.front());
    again_.pop_front();
  }
  used_.push_back(std::move(group));
  if (worker_waits_) used_changed_.notify_one();
}

void GroupPool::DestroyAll(std::deque<StageGroup> groups) {
  for (StageGroup& old : groups) {
    old.group = Group();
    old.cpu_stat.reset();
    old.events.reset();
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
      std::move(again_.begin(), again_.end(), std::back_inserter(old));
      again_.clear();
    }
    const bool last = stopping_ && old.empty();
    lock.unlock();
    DestroyAll(std::move(old));
    lock.lock();
    if (last) return;
  }
}

}  // namespace envicutor::cgroup
