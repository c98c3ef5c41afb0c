// Starts envicutor-pod-init in new namespaces, and the handle of what it started.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/base/unique_fd.h"
#include "standalone/node/plan.h"

namespace envicutor::standalone {

// A container that was started. Destroying it ends every process of it, at once. Not thread-safe.
class PodProcess {
 public:
  PodProcess(pid_t pid, UniqueFd pidfd, UniqueFd control, UniqueFd network);
  ~PodProcess();
  PodProcess(const PodProcess&) = delete;
  PodProcess& operator=(const PodProcess&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }
  // Readable when it has ended.
  [[nodiscard]] int pidfd() const { return pidfd_.get(); }
  // Readable when TakeEvents has something.
  [[nodiscard]] int control() const { return control_.get(); }
  // Its network namespace, when it has one of its own; else -1.
  [[nodiscard]] int network() const { return network_.get(); }

  // Never blocks. `*closed` is set when the init has said its last word.
  [[nodiscard]] std::vector<InitEvent> TakeEvents(bool* closed);
  void Terminate();  // SIGTERM to the command
  void Kill();       // everything, at once
  // Blocks until the init has been reaped (it is dead or dying then).
  void Wait();

 private:
  pid_t pid_;
  UniqueFd pidfd_;
  UniqueFd control_;
  UniqueFd network_;
  std::string buffer_;
  bool reaped_ = false;
};

struct LaunchRequest {
  std::string init_binary;
  LaunchPlan plan;
  int output_fd = -1;  // stdout and stderr of the command; borrowed
  int cgroup_fd = -1;  // the folder of a cgroup v2 group to start in; -1: none
};

[[nodiscard]] Result<std::unique_ptr<PodProcess>> Launch(const LaunchRequest& request);

}  // namespace envicutor::standalone
