// Keeps child processes running: restarts with backoff, logs of bounded size, an orderly stop. The
// children die with it, however it dies.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "common/base/backoff.h"
#include "common/base/clock.h"
#include "common/base/unique_fd.h"
#include "standalone/cli/data_dir.h"
#include "standalone/node/log_file.h"

namespace envicutor::standalone {

struct ChildSpec {
  std::string name;
  std::vector<std::string> argv;  // argv[0] is a path
  std::string log_path;
  int stop_order = 0;                      // lower ones are stopped, and have ended, first
  std::vector<std::string> environment{};  // "NAME=value", where we have no NAME ourselves
};

class Supervisor {
 public:
  // `on_change` runs on Run's thread whenever the set of processes changed.
  Supervisor(const Clock& clock, std::function<void(const std::vector<RunningChild>&)> on_change);
  ~Supervisor();
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  // Thread-safe.
  void Add(ChildSpec spec);
  void RequestStop();
  // Times a child ended before it was told to.
  [[nodiscard]] int64_t Restarts(const std::string& name) const;

  // Blocks SIGCHLD, SIGINT, SIGTERM, SIGHUP for this and later threads: before any other thread.
  void Prepare();
  // Until a signal or RequestStop; then stops the children and returns. On the thread that Prepare
  // was called on: the kernel ends the children when this very thread ends.
  void Run();

 private:
  struct Child {
    ChildSpec spec;
    std::unique_ptr<LogWriter> log;
    UniqueFd output;
    UniqueFd pidfd;
    ProcessId process;
    bool running = false;
    int64_t restarts = 0;
    SteadyTime started;
    SteadyTime next_start;
    std::optional<SteadyTime> kill_at;
    Backoff backoff{std::chrono::milliseconds(200), std::chrono::seconds(30)};
  };
  void TakeRequests();
  void StartDue();
  bool Spawn(Child* child);
  void Reap();
  void ReadOutput(Child* child);
  void StopStep();
  void WaitForNews();
  void Changed();

  const Clock& clock_;
  std::function<void(const std::vector<RunningChild>&)> on_change_;
  UniqueFd signals_;
  UniqueFd wake_;
  std::list<Child> children_;  // Run's thread only
  SteadyTime quiet_until_;     // children's output is not looked at before
  bool stopping_ = false;

  mutable std::mutex mutex_;  // guards what follows
  std::vector<ChildSpec> requests_;
  std::vector<RunningChild> shown_;
  bool stop_requested_ = false;
};

}  // namespace envicutor::standalone
