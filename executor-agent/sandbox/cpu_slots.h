// One slot, one CPU: which CPU a stage runs on. A program that moves between CPUs, or shares one
// with a neighbour, is measured slower than it is.
#pragma once

#include <mutex>
#include <vector>

#include "executor-agent/sandbox/sandbox.h"

namespace envicutor::agent {

// Whether stages are pinned. Pure. kAuto: where each slot can have a CPU and the CPUs are ours
// alone, as far as can be seen: we may use fewer than the machine has (somebody gave us a cpuset),
// or there are as many slots as CPUs. Several agents that all may use all CPUs must not pin: they
// would all choose the same.
[[nodiscard]] bool ShouldPin(PinCpus pin, int slots, int usable, int online);

// Thread-safe.
class CpuSlots {
 public:
  // The CPUs that this process may use now.
  CpuSlots(PinCpus pin, int slots);

  [[nodiscard]] bool pins() const { return pins_; }
  // A CPU that no other stage has, or -1: not pinned.
  [[nodiscard]] int Take();
  void GiveBack(int cpu);  // -1 is fine

 private:
  bool pins_ = false;
  std::mutex mutex_;
  std::vector<int> free_;  // the next to take is at the end
};

}  // namespace envicutor::agent
