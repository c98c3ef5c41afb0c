// What the benchmarks run in: a no-op program, an environment with it, and the engines on a state
// folder of their own.
#pragma once

#include <spawn.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "executor-agent/sandbox/sandbox.h"

namespace envicutor::agent::bench {

// A temporary folder with the environment's view; removed at the end. Made by one thread.
class World {
 public:
  World();
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  [[nodiscard]] const std::string& folder() const { return folder_; }
  [[nodiscard]] BoxEnvironment environment() const;
  // The static program that returns from main at once, as this process sees it.
  [[nodiscard]] std::string noop() const { return folder_ + "/view/tools/probe"; }
  [[nodiscard]] Result<std::unique_ptr<Sandbox>> MakeSandbox(const std::string& engine, int slots,
                                                             const std::string& isolate) const;
  // `args` of the probe, in the box.
  [[nodiscard]] static StageSpec Spec(std::vector<std::string> args);

 private:
  std::string folder_;
};

// ioi/isolate driven as its manual says, with a configuration of our own in a mount namespace of
// our own: --init, --run, --cleanup. Thread-safe for different box ids.
class RawIsolate {
 public:
  // Takes this process into a new mount namespace: before any thread is there.
  [[nodiscard]] static Result<std::unique_ptr<RawIsolate>> Make(const World& world,
                                                                const std::string& binary);
  ~RawIsolate();
  RawIsolate(const RawIsolate&) = delete;
  RawIsolate& operator=(const RawIsolate&) = delete;
  // With --cg once a control group with the memory controller is ours (after an engine delegated
  // it).
  void UseControlGroups();
  [[nodiscard]] bool control_groups() const { return control_groups_; }
  // One whole cycle; dies with a message when it fails.
  void Cycle(int box) const;

 private:
  RawIsolate(const World& world, std::string binary) : world_(world), binary_(std::move(binary)) {}
  void WriteConfig(const std::string& cg_root) const;
  void Call(const std::vector<std::string>& args) const;

  const World& world_;
  const std::string binary_;
  bool control_groups_ = false;
  std::string group_;
};

// posix_spawn and waitpid; dies when that fails or the exit code is not 0.
void SpawnAndWait(const std::vector<std::string>& argv,
                  const posix_spawn_file_actions_t* actions = nullptr);

// CPU seconds that this process, the children it waited for and the engines' control groups have
// used: what a run costs whoever else uses the machine.
[[nodiscard]] double CpuSeconds();

// Resident, anonymous and peak memory, and open descriptors, as text.
[[nodiscard]] std::string MemoryOfThisProcess();

// Seconds of each call of `once(worker)`, `runs` a worker, all workers at once.
struct Times {
  std::vector<double> seconds;
  double elapsed = 0;
  double cpu = 0;  // of all calls together
  [[nodiscard]] double Median() const;
  [[nodiscard]] double PerSecond() const;
  [[nodiscard]] double Cpu() const;  // a call
  void Add(const Times& other);
};
[[nodiscard]] Times Measure(int workers, int runs, const std::function<void(int)>& once);

}  // namespace envicutor::agent::bench
