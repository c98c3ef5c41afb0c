// What both engines need of the machine around them.
#pragma once

#include <cstdint>
#include <string>

#include "common/base/status.h"
#include "common/base/unique_fd.h"

namespace envicutor::agent {

// Makes the folder and holds its lock while the descriptor lives. FailedPrecondition when another
// process has it.
[[nodiscard]] Result<UniqueFd> LockStateDir(const std::string& dir);
// Names the control group of the agent whose state is in `folder`: the same after a restart,
// another one for each agent of a machine, though pods of one node see their folders under the same
// path.
[[nodiscard]] std::string GroupId(const std::string& folder);
// The path of `name` in the folder of the running program.
[[nodiscard]] std::string BesideOwnBinary(const std::string& name);
// /etc/passwd and /etc/group of boxes: each user of the range is called "box".
[[nodiscard]] std::string BoxPasswd(unsigned first, unsigned count);
[[nodiscard]] std::string BoxGroups(unsigned first, unsigned count);
// A sealed file in memory. Seekable, so that the extractor can read a zip's directory at its end.
[[nodiscard]] Result<UniqueFd> MemoryFile(const std::string& content);
// Empties tmp and shm of a box's file system and gives them their modes back.
[[nodiscard]] Status EmptyScratch(int top);
// Bytes taken on the file system that `top` is the top of; -1 when it does not say.
[[nodiscard]] int64_t UsedBytes(int top);
// A folder directly below `top`, never through a link.
[[nodiscard]] Result<UniqueFd> OpenFolder(int top, const char* name);

}  // namespace envicutor::agent
