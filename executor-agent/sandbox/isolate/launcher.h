// The one thread that starts isolate. It has a mount namespace and a host name of its own, in which
// isolate's configuration and the boxes' disks are mounted: the machine's own mounts are never
// touched, and the kernel removes ours with the last process that uses them. Every isolate gets
// SIGTERM when this thread ends, however the agent dies.
#pragma once

#include <linux/filter.h>

#include <array>
#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "common/base/status.h"
#include "common/base/unique_fd.h"

namespace envicutor::agent::isolate {

// Thread-safe.
class Launcher {
 public:
  // `filter`: the system-call filter of all that is started, a program of classic BPF.
  explicit Launcher(std::vector<sock_filter> filter);
  ~Launcher();
  Launcher(const Launcher&) = delete;
  Launcher& operator=(const Launcher&) = delete;

  // New namespaces for the thread; the first thing to do.
  [[nodiscard]] Status Enter();
  // Runs `task` in the thread and waits for it.
  [[nodiscard]] Status Do(std::function<Status()> task);
  // Starts argv[0] with exactly `env` and the three standard descriptors (each above 2), nothing
  // else inherited. Gives a pidfd; the caller waits for it. InvalidArgument: the arguments are too
  // long or hold a NUL byte. `cpu`: the only one it and its children run on, or -1.
  [[nodiscard]] Result<UniqueFd> Spawn(const std::vector<std::string>& argv,
                                       const std::vector<std::string>& env,
                                       const std::array<int, 3>& streams, int cpu = -1);
  // Runs to the end. Gives its stdout and stderr; its exit code must be 0.
  [[nodiscard]] Result<std::string> Call(const std::vector<std::string>& argv);

 private:
  void Work();

  std::vector<sock_filter> filter_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::packaged_task<Status()>> tasks_;
  bool stopping_ = false;
  std::thread thread_;
};

// Waits for a child that has ended or is about to: the status as wait(2) has it.
[[nodiscard]] Result<int> WaitPidfd(int pidfd);

}  // namespace envicutor::agent::isolate
