// The part of the control-group tree that is ours: the group this process was started in, and what
// is below.
//
//   OWN/                 where we were started; nothing above it is ever written
//     envicutor-agent/   a leaf with our own processes (a group with controllers for children has
//     none itself) envicutor-ID/      one group per stage below it; ID names the sandbox's state
//     folder
#pragma once

#include <string>
#include <vector>

#include "common/base/status.h"
#include "executor-agent/cgroup/group.h"

namespace envicutor::cgroup {

inline constexpr char kLeafName[] = "envicutor-agent";

// Where cgroup v2 is mounted, and the process's place in it.
struct Place {
  std::string mount_point;  // "/sys/fs/cgroup", or "/sys/fs/cgroup/unified" on hybrid hosts
  std::string path;         // "/kubepods/pod1/agent": relative to the mount point
};

// Pure: reads the texts of /proc/self/mountinfo and /proc/self/cgroup. FailedPrecondition says what
// is missing.
[[nodiscard]] Result<Place> FindPlace(std::string_view mountinfo, std::string_view self_cgroup);

struct Delegation {
  Group base;           // OWN
  std::string name;     // "envicutor-ID"
  Group boxes;          // envicutor-ID; invalid when there is no cgroup v2 at all
  std::string path;     // of `boxes`, for people
  bool memory = false;  // the controllers that children of `boxes` have
  bool pids = false;
  bool cpu = false;
  std::string missing;  // why it is not complete: a sentence, or ""
};

// Moves the processes of our own group to the leaf, enables the controllers, makes envicutor-ID
// (first destroying what a dead predecessor left in it). A missing controller is no error: see
// `missing`. When `all_or_nothing`, a controller that is not available leaves everything untouched
// and `boxes` invalid.
[[nodiscard]] Delegation Delegate(const std::string& id, bool all_or_nothing);

// Removes envicutor-ID again. Logs what fails.
void Undelegate(const Delegation& delegation);

}  // namespace envicutor::cgroup
