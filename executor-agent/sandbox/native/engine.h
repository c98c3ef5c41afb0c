// What all boxes of one native sandbox share: control groups, the spawner, user ids, prepared
// environments.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "executor-agent/cgroup/delegation.h"
#include "executor-agent/cgroup/pool.h"
#include "executor-agent/sandbox/cpu_slots.h"
#include "executor-agent/sandbox/native/spare_boxes.h"
#include "executor-agent/sandbox/native/spawner_client.h"
#include "executor-agent/sandbox/sandbox.h"

namespace envicutor::agent::native {

// Thread-safe.
class Engine {
 public:
  [[nodiscard]] static Result<std::shared_ptr<Engine>> Make(const SandboxOptions& options);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  [[nodiscard]] SandboxInfo Info() const;
  [[nodiscard]] SpawnerClient& spawner() { return *spawner_; }
  // nullptr without any cgroup v2 (degraded).
  [[nodiscard]] cgroup::GroupPool* groups() { return groups_.get(); }
  [[nodiscard]] bool has_memory() const { return delegation_.memory; }
  [[nodiscard]] bool has_pids() const { return delegation_.pids; }
  [[nodiscard]] SpareBoxes& spares() { return *spares_; }
  [[nodiscard]] CpuSlots& cpus() { return *cpus_; }
  [[nodiscard]] int extractor() const { return extractor_.get(); }  // -1: there is none
  [[nodiscard]] const std::string& extractor_path() const { return extractor_path_; }

  // A user id that no other box has; ResourceExhausted when all are taken.
  [[nodiscard]] Result<unsigned> TakeUid();
  void GiveBackUid(unsigned uid);
  [[nodiscard]] uint64_t NextBoxId();
  // The id, in spawner `generation`, of the prepared mount namespace for it; made when it is not
  // there.
  [[nodiscard]] Result<uint64_t> PrepareEnvironment(uint64_t generation,
                                                    const BoxEnvironment& environment);

 private:
  Engine() = default;
  struct Prepared {
    uint64_t id = 0;
    uint64_t generation = 0;
    uint64_t last_use = 0;
  };
  void DropOldest();  // with environments_mutex_ held

  SandboxOptions options_;
  UniqueFd lock_;  // flock: one process for a state folder
  cgroup::Delegation delegation_;
  std::unique_ptr<SpawnerClient> spawner_;
  std::unique_ptr<SpareBoxes> spares_;
  std::unique_ptr<cgroup::GroupPool> groups_;
  std::unique_ptr<CpuSlots> cpus_;
  UniqueFd extractor_;
  std::string extractor_path_;

  std::mutex mutex_;
  std::set<unsigned> free_uids_;
  uint64_t next_box_ = 1;

  // Held while the spawner prepares one: whoever else wants it waits for it, boxes do not.
  std::mutex environments_mutex_;
  uint64_t next_environment_ = 1;
  uint64_t uses_ = 0;
  std::map<std::string, Prepared> environments_;
};

}  // namespace envicutor::agent::native
