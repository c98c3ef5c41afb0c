// What the host can give: which mode the node runs in, memory, CPUs, and control groups for pods.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"
#include "common/base/unique_fd.h"

namespace envicutor::standalone {

enum class NodeMode { kHost, kUml };

struct ModeDecision {
  NodeMode mode = NodeMode::kHost;
  bool groups = false;      // pods get control groups of the host
  std::string explanation;  // one sentence for people
};

// `wanted` is auto, host or uml. FailedPrecondition when uml is wanted or needed and Debian's
// user-mode-linux is not installed.
[[nodiscard]] Result<ModeDecision> DecideMode(std::string_view wanted);

[[nodiscard]] int64_t HostMemoryBytes();
[[nodiscard]] int HostCpus();

// A machine of User-Mode Linux needs more than the pod's limit: its kernel, and 1/64 for page
// tables.
[[nodiscard]] int64_t MachineMemoryBytes(int64_t pod_limit);

// Groups for pods below this process's own (cgroup v2). Not thread-safe but for
// MakeGroup/RemoveGroup of different names.
class PodGroups {
 public:
  // Hands memory, pids, cpu (where there) down. Whoever is in this process's group, and is not to
  // be there then, is moved into a leaf of it. Where it fails nothing stays of it, but for what
  // Leave would leave. Waits up to 5 s for other nodes that do the same, and for as long in Leave;
  // Unavailable when one has not finished by then.
  // Groups that a dead predecessor of the same `node_dir` left stay: their containers may live.
  // Those of other nodes in the same group are theirs.
  [[nodiscard]] static Result<PodGroups> Make(const std::string& node_dir);
  PodGroups() = default;

  [[nodiscard]] bool enabled() const { return !base_.empty(); }
  [[nodiscard]] std::string Folder(const std::string& name) const { return base_ + "/" + name; }
  // The folder's descriptor, for Launch. What was in a group of that name is ended.
  [[nodiscard]] Result<UniqueFd> MakeGroup(const std::string& name, int64_t memory_bytes,
                                           int64_t cpu_millis) const;
  // Ends what is in groups whose name is not in `known`.
  void RemoveOthers(const std::vector<std::string>& known) const;
  // Once every pod has ended: takes back what Make did, unless somebody depends on it: another
  // node, or a group below with a limit of its own, or one that hands controllers down itself. Then
  // the next node that leaves when nobody does takes it back.
  void Leave() const;
  // OOM kills in the group itself so far.
  [[nodiscard]] static int64_t OomKills(const std::string& folder);
  // Ends what is left in it.
  static void RemoveGroup(const std::string& folder);

 private:
  [[nodiscard]] Status Enable(const std::string& own) const;

  std::string base_;  // .../envicutor-pods-NODE
};

}  // namespace envicutor::standalone
