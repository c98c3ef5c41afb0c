// What all boxes of one isolate sandbox share: isolate's configuration, control groups, box ids.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "executor-agent/cgroup/delegation.h"
#include "executor-agent/sandbox/cpu_slots.h"
#include "executor-agent/sandbox/isolate/launcher.h"
#include "executor-agent/sandbox/sandbox.h"

namespace envicutor::agent::isolate {

// Thread-safe. A box id is isolate's; user and group id are first_uid + id. An id is initialised
// (isolate --init) for each stage anew, because a control group's peak and OOM count never go back;
// that happens in the background, ahead of the next use.
class Engine {
 public:
  [[nodiscard]] static Result<std::shared_ptr<Engine>> Make(const SandboxOptions& options);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  [[nodiscard]] SandboxInfo Info() const;
  [[nodiscard]] Launcher& launcher() { return *launcher_; }
  [[nodiscard]] const std::string& binary() const { return options_.isolate_binary; }
  [[nodiscard]] bool has_pids() const { return delegation_.pids; }
  [[nodiscard]] CpuSlots& cpus() { return *cpus_; }
  [[nodiscard]] bool has_extractor() const { return has_extractor_; }
  [[nodiscard]] const std::string& extractor_path() const { return extractor_path_; }
  [[nodiscard]] unsigned Uid(unsigned id) const { return options_.first_uid + id; }

  // ResourceExhausted when all are taken.
  [[nodiscard]] Result<unsigned> TakeId();
  void GiveBackId(unsigned id);
  // The control group of the id, initialised and never used. Waits for the background.
  [[nodiscard]] Result<cgroup::Group> Ready(unsigned id);
  // A stage ran in it: what is left of it is ended, and it is initialised anew behind.
  void Used(unsigned id);

  // A tmpfs for a box; its top folder.
  [[nodiscard]] Result<UniqueFd> MountDisk(unsigned id, int64_t bytes);
  void UnmountDisk(unsigned id);  // logs what fails
  // The folders with /bin/sh and /usr/bin/env of the id's box.
  [[nodiscard]] Status LinkTools(unsigned id, const BoxEnvironment& environment);

  // Paths in the launcher's mount namespace; `Hub` is the same folder for everybody.
  [[nodiscard]] std::string Path(const std::string& below) const { return hub_ + "/" + below; }
  [[nodiscard]] int Hub() const { return hub_fd_.get(); }

 private:
  enum class State { kIdle, kQueued, kWorking, kReady };
  struct Id {
    State state = State::kIdle;
    bool taken = false;
  };

  Engine() = default;
  [[nodiscard]] Status FillHub();       // in the launcher's thread
  [[nodiscard]] Status ShowConfig();    // in the launcher's thread
  [[nodiscard]] Status CheckIsolate();  // version, and that it reads our configuration
  [[nodiscard]] Status Prepare(unsigned id, bool initialise);
  void Work();
  [[nodiscard]] size_t ReadyAndFree() const;  // with mutex_ held

  SandboxOptions options_;
  UniqueFd lock_;  // flock: one process for a state folder
  cgroup::Delegation delegation_;
  std::string cg_root_;
  std::string hub_;
  UniqueFd hub_fd_;
  std::unique_ptr<CpuSlots> cpus_;
  bool has_extractor_ = false;
  std::string extractor_path_;
  std::string version_;
  std::unique_ptr<Launcher> launcher_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Id> ids_;
  std::deque<unsigned> queue_;
  bool stopping_ = false;
  std::thread worker_;
};

}  // namespace envicutor::agent::isolate
