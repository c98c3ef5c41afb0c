// One pod bound to this node, from its first sight to its removal: a thread that starts the
// container, pumps its log, probes it, restarts it by policy, ends it in grace and reports its
// status.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "common/base/backoff.h"
#include "common/base/unique_fd.h"
#include "common/kube/informer.h"
#include "standalone/node/container.h"
#include "standalone/node/node_context.h"
#include "standalone/node/pod_state.h"
#include "standalone/node/probe.h"

namespace envicutor::standalone {

class PodWorker {
 public:
  // `pod` is bound to this node. What an earlier process left of it is found in its folder.
  PodWorker(NodeContext& context, kube::ObjectPtr pod);
  ~PodWorker();  // ends the container at once, if it still runs
  PodWorker(const PodWorker&) = delete;
  PodWorker& operator=(const PodWorker&) = delete;

  // Thread-safe, never block:
  void Update(kube::ObjectPtr pod);
  void Vanished();  // the API has it no more: end it now
  void Stop();      // the node stops: end the container in grace, leave the pod
  // After Stop: blocks until the container has ended. Called by the owner only.
  void Join();
  [[nodiscard]] bool finished() const;
  [[nodiscard]] const std::string& uid() const { return uid_; }

 private:
  struct Inbox {
    kube::ObjectPtr pod;
    bool vanished = false;
    bool stop = false;
  };
  void Run();
  void Restore();
  void Resume();
  void BeginProbes(SteadyTime now);
  void Save() const;
  // One round: what is due now. False when the pod is done with.
  bool Step();
  void BeginTermination(Duration grace);
  // An address whose ports are free for this pod. Another node of this machine has its own pods'.
  [[nodiscard]] Status FindAddress();
  void StartContainer();
  void HandleEnd(const ContainerEnd& end);
  void RunProbes();
  void Finish(const std::string& phase, const std::string& reason, const std::string& message);
  void Report();
  bool Remove();
  void Wait();
  [[nodiscard]] SteadyTime NextDue() const;
  void Event(const char* type, const char* reason, const std::string& message) const;

  NodeContext& context_;
  std::string uid_;
  std::string pod_dir_;
  UniqueFd wake_;

  mutable std::mutex mutex_;  // guards inbox_, finished_
  Inbox inbox_;
  bool finished_ = false;

  // The thread's own.
  kube::ObjectPtr pod_;
  std::optional<PodSpec> spec_;
  PodState state_;
  int address_index_ = 0;
  PodAddresses addresses_;
  std::unique_ptr<Container> container_;
  std::optional<ProbeTracker> readiness_;
  std::optional<ProbeTracker> liveness_;
  std::unique_ptr<HttpProber> prober_;
  Backoff backoff_;
  SteadyTime next_start_;
  SteadyTime running_since_;
  std::optional<SteadyTime> kill_at_;
  bool terminating_ = false;  // SIGTERM was sent, or no more start is wanted
  bool vanished_ = false;
  bool stopping_ = false;
  Json reported_;
  SteadyTime report_not_before_;
  SteadyTime quiet_until_;  // the container's output alone is no reason to wake up before
  SteadyTime remove_not_before_;
  std::jthread thread_;
};

}  // namespace envicutor::standalone
