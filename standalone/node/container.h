// One start of a pod's container: from the spec to the process, its log and its end.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/base/unique_fd.h"
#include "standalone/node/launcher.h"
#include "standalone/node/log_file.h"
#include "standalone/node/node_context.h"
#include "standalone/node/pod_spec.h"
#include "standalone/node/pod_state.h"

namespace envicutor::standalone {

// Why a container cannot be made; reason is the kubelet's word for it.
struct CannotStart {
  std::string reason;  // ErrImagePull, CreateContainerConfigError, CreateContainerError
  std::string message;
};

// Not thread-safe. Destroying it ends the container at once and removes its group and forwarding. A
// container whose node is killed runs on, and Adopt finds it (adoption.h).
class Container {
 public:
  // nullptr, with `why` set, when it cannot be made. It runs when started() says so.
  [[nodiscard]] static std::unique_ptr<Container> Start(NodeContext& context, const PodSpec& pod,
                                                        const std::string& pod_dir,
                                                        const std::string& address,
                                                        CannotStart* why);
  // The container that an earlier process of this node started and said to run. nullptr when it has
  // ended or cannot be taken over: then nothing of it runs any more, and `end` says what is known.
  [[nodiscard]] static std::unique_ptr<Container> Adopt(NodeContext& context, const PodSpec& pod,
                                                        const std::string& pod_dir,
                                                        const std::string& address,
                                                        WallTime started, ContainerEnd* end);
  ~Container();

  // For poll: either readable means Pump has work.
  [[nodiscard]] int control_fd() const { return closed_ ? -1 : process_->control(); }
  [[nodiscard]] int output_fd() const { return output_open_ ? output_.get() : -1; }
  // Takes events and output. Never blocks.
  void Pump();
  [[nodiscard]] bool started() const { return started_; }
  // Set once everything of it has ended and its output was read.
  [[nodiscard]] std::optional<ContainerEnd> TakeEnd();
  void Terminate() { process_->Terminate(); }
  void Kill() { process_->Kill(); }
  [[nodiscard]] const std::string& id() const { return id_; }

 private:
  Container(NodeContext& context, const PodSpec& pod, const std::string& pod_dir);
  // Why not; and what it needs is there then.
  [[nodiscard]] Status TakeOver(const PodSpec& pod, const std::string& address);
  [[nodiscard]] Status Forward(const PodSpec& pod, const std::string& address);
  void OpenLog(const PodSpec& pod, bool anew);
  void ReadOutput();
  [[nodiscard]] std::string TerminationMessage() const;
  // Of the last word of its init, which a container that was killed has not.
  [[nodiscard]] ContainerEnd EndOf(const std::optional<InitEvent>& word) const;

  NodeContext& context_;
  std::string uid_;
  std::string pod_dir_;
  std::string id_;
  WallTime started_at_;
  std::unique_ptr<PodProcess> process_;
  std::unique_ptr<LogWriter> log_;
  UniqueFd output_;
  bool output_open_ = true;
  bool closed_ = false;
  bool started_ = false;
  bool forwarded_ = false;
  std::string group_;  // the folder of its control group; "": none
  std::optional<InitEvent> end_;
};

// The plan of a container; pure but for `lookup` and the volumes it prepares below pod_dir.
[[nodiscard]] Result<LaunchPlan> MakeLaunchPlan(const NodeContext& context, const PodSpec& pod,
                                                const std::string& pod_dir,
                                                const std::string& address,
                                                const DataLookup& lookup);
// Where the pod listens: its named ports, its probes', and an executor's three, in order.
[[nodiscard]] std::vector<int> PodPorts(const PodSpec& pod);
[[nodiscard]] bool RunsInMachine(const NodeContext& context, const PodSpec& pod);

}  // namespace envicutor::standalone
