// What envicutor-pod-init is told about the one container it starts: everything is decided by the
// node before, so that the init needs no Kubernetes and no policy. It travels as JSON in a memfd.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/json.h"
#include "common/base/status.h"

namespace envicutor::standalone {

struct PodMount {
  std::string source;  // a path of the host; "" with tmpfs
  std::string target;  // absolute, in the pod
  bool read_only = false;
  bool tmpfs = false;
  int64_t tmpfs_bytes = 0;  // 0: half of the memory, as tmpfs does
};

// A User-Mode-Linux machine of the container's own.
struct MachinePlan {
  std::string kernel = "/usr/bin/linux.uml";
  int64_t memory_bytes = 0;        // of the machine
  int64_t group_memory_bytes = 0;  // memory.max of the container's group inside; 0: no limit
  std::string host_address;        // of the tap device, e.g. 10.77.0.1
  std::string guest_address;       // 10.77.0.2, in a /30
};

struct LaunchPlan {
  std::string root_dir;  // an empty folder of the host on which the pod's root is mounted
  std::string bin_dir;   // the host folder that stands in for the image: envicutor's binaries
  std::vector<std::string> argv;
  std::vector<std::string> env;  // NAME=value
  std::string working_dir = "/";
  std::string hostname;
  std::vector<PodMount> mounts;
  bool privileged = false;
  int64_t open_files = 65536;
  std::optional<MachinePlan> machine;
};

// Where the bin_dir is in a pod.
inline constexpr char kPodBinDir[] = "/opt/envicutor/bin";
// The plan's copy that a machine's init reads.
inline constexpr char kMachinePlanPath[] = "/run/envicutor/plan.json";

[[nodiscard]] std::string LaunchPlanToJson(const LaunchPlan& plan);
[[nodiscard]] Result<LaunchPlan> LaunchPlanFromJson(const std::string& text);

// Descriptors that envicutor-pod-init is started with.
inline constexpr int kPlanFd = 3;
// A stream socket. To the init: kGo, then "TERM\n" when the command is to be terminated; end of
// file means that the node is gone. From it: one InitEvent as JSON a line.
inline constexpr int kControlFd = 4;
// Only of a pod that outlives its node (mode kKeptMode):
// a file of kEventsBytes zeros, into which the init writes what it writes to kControlFd, and after
// them, at its end, what no node has read of the output;
inline constexpr int kEventsFd = 5;
// the output's other end, so that it has a reader while no node is there; does not block;
inline constexpr int kDrainFd = 6;
// a file on which a living node holds an open-file-description lock.
inline constexpr int kNodeLockFd = 7;

inline constexpr char kHostMode[] = "host";
inline constexpr char kKeptMode[] = "host-kept";
// The node has written down which process the init is.
inline constexpr std::string_view kGo = "GO\n";
inline constexpr int64_t kEventsBytes = 8192;
inline constexpr int64_t kMaxRest = 1 << 20;

struct InitEvent {
  enum class Type {
    kStarted,  // the command runs
    kExited,   // it ended; exit_code, or signal when one ended it
    kError,    // it could not be started: message
  };
  Type type = Type::kStarted;
  int exit_code = 0;
  int signal = 0;
  bool oom_killed = false;
  std::string message = {};
};
[[nodiscard]] std::string InitEventToLine(const InitEvent& event);
[[nodiscard]] Result<InitEvent> InitEventFromLine(std::string_view line);

}  // namespace envicutor::standalone
