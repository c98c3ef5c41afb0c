// Starts envicutor-pod-init in new namespaces, and the handle of what it started.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/base/unique_fd.h"
#include "standalone/node/plan.h"

namespace envicutor::standalone {

// A container that was started. Destroying it ends every process of it, at once. Not thread-safe.
class PodProcess {
 public:
  // `control`: of the node that started it. Else, of one that took it over, `events_path` is the
  // file in which the init leaves its last word.
  PodProcess(pid_t pid, UniqueFd pidfd, UniqueFd control, UniqueFd network,
             std::string events_path = "");
  ~PodProcess();
  PodProcess(const PodProcess&) = delete;
  PodProcess& operator=(const PodProcess&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }
  // Readable when it has ended.
  [[nodiscard]] int pidfd() const { return pidfd_.get(); }
  // Readable when TakeEvents has something.
  [[nodiscard]] int control() const { return adopted() ? pidfd_.get() : control_.get(); }
  // Its network namespace, when it has one of its own; else -1.
  [[nodiscard]] int network() const { return network_.get(); }

  // Never blocks. `*closed` is set when the init has said its last word.
  [[nodiscard]] std::vector<InitEvent> TakeEvents(bool* closed);
  void Terminate();  // SIGTERM to the command
  void Kill();       // everything, at once
  // Blocks until the init has been reaped (it is dead or dying then).
  void Wait();

 private:
  [[nodiscard]] bool adopted() const { return !control_.valid(); }

  pid_t pid_;
  UniqueFd pidfd_;
  UniqueFd control_;
  UniqueFd network_;
  std::string events_path_;
  std::string buffer_;
  bool reaped_ = false;
};

// What lets a container outlive its node; descriptors as plan.h says, borrowed.
struct KeepFds {
  int events = -1;
  int drain = -1;
  int node_lock = -1;
};

struct LaunchRequest {
  std::string init_binary;
  LaunchPlan plan;
  int output_fd = -1;                // stdout and stderr of the command; borrowed
  int cgroup_fd = -1;                // the folder of a cgroup v2 group to start in; -1: none
  std::optional<KeepFds> keep = {};  // absent: it ends with this process
  // Called when its process is there and does nothing yet; an error ends it again.
  std::function<Status(pid_t)> on_process = {};
};

// The events in the file that a kept container's init writes.
[[nodiscard]] std::vector<InitEvent> ReadEvents(const std::string& path);
// What it saved there of the output at its end.
[[nodiscard]] std::string ReadRest(const std::string& path);

[[nodiscard]] Result<std::unique_ptr<PodProcess>> Launch(const LaunchRequest& request);

}  // namespace envicutor::standalone
