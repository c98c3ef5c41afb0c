// This process's own control group (cgroup v2): hands its controllers down to the pods' groups
// below it and takes them back. Nodes in one group do that one after the other.
#pragma once

#include <string>

#include "common/base/status.h"
#include "common/base/unique_fd.h"

namespace envicutor::standalone {

// The leaf for whoever is in the group, and what groups for pods are named: kPodGroupPrefix and the
// node's own suffix. Both directly below it.
inline constexpr char kLeafOfGroup[] = "/envicutor-node";
inline constexpr char kPodGroupPrefix[] = "/envicutor-pods-";

// A file of the kernel's: one write, and all of it with blanks for line ends ("" when unreadable).
[[nodiscard]] Status WriteControl(const std::string& path, const std::string& value);
[[nodiscard]] std::string ReadControl(const std::string& path);

// The group's folder. FailedPrecondition: no pure cgroup v2 host, memory or pids is not delegated
// to it, or it is not ours to write.
[[nodiscard]] Result<std::string> OwnGroup();

// Held until the descriptor is closed. Unavailable: for 5 s somebody else held it.
[[nodiscard]] Result<UniqueFd> LockGroup(const std::string& own);

// The rest with the lock held.
// Hands memory, pids and, where it is there, cpu down. A group with processes cannot, except the
// root of all: they are moved to the leaf.
[[nodiscard]] Status HandDown(const std::string& own);
// Undoes HandDown as far as nobody else depends on it: not where another node's groups are, or
// somebody's that has a limit or hands down itself. The leaf says that it was us.
void TakeBack(const std::string& own);

}  // namespace envicutor::standalone
