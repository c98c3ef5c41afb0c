#include "executor-agent/sandbox/cpu_slots.h"

#include <sched.h>
#include <unistd.h>

#include "common/base/log.h"

namespace envicutor::agent {

bool ShouldPin(PinCpus pin, int slots, int usable, int online) {
  if (pin == PinCpus::kOff || slots > usable) return false;
  return pin == PinCpus::kOn || usable < online || slots == usable;
}

CpuSlots::CpuSlots(PinCpus pin, int slots) {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof(set), &set) != 0) return;
  pins_ = ShouldPin(pin, slots, CPU_COUNT(&set), static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN)));
  if (!pins_) {
    if (pin == PinCpus::kOn)
      log::Warn("programs are not pinned to CPUs: there are fewer CPUs than slots",
                {{"cpus", std::to_string(CPU_COUNT(&set))}, {"slots", std::to_string(slots)}});
    return;
  }
  // The first CPU last: interrupts and the agent's own threads are mostly there.
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) free_.push_back(cpu);
  }
}

int CpuSlots::Take() {
  const std::lock_guard lock(mutex_);
  if (free_.empty()) return -1;
  const int cpu = free_.back();
  free_.pop_back();
  return cpu;
}

void CpuSlots::GiveBack(int cpu) {
  if (cpu < 0) return;
  const std::lock_guard lock(mutex_);
  free_.push_back(cpu);
}

}  // namespace envicutor::agent
