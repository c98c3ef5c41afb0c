// What a node leaves on disk so that the next one finds the containers that outlived it. All of it
// is below DATA/node, which no container sees: nothing here was written by untrusted code.
//
//   DATA/node/lock            held by the living node
//   DATA/node/pods/UID/       0700
//     process.json            which process the container's init is
//     events                  what the init said last: that the command runs, how it ended
//     output                  a named pipe: stdout and stderr of the command
#pragma once

#include <string>

#include "common/base/status.h"
#include "common/base/unique_fd.h"
#include "standalone/node/process.h"

namespace envicutor::standalone {

// DATA/node/lock, held by this process as long as the descriptor lives; others see that through
// F_OFD_GETLK. FailedPrecondition: another node works there.
[[nodiscard]] Result<UniqueFd> LockNode(const std::string& node_dir);
[[nodiscard]] std::string NodeLockPath(const std::string& node_dir);

struct ProcessRecord {
  ProcessId process;
  std::string boot_id;  // process ids mean nothing after the machine was started anew
  std::string container_id;
  bool machine = false;
  std::string group;  // the folder of its cgroup v2 group; "": none
};

[[nodiscard]] Status WriteProcessRecord(const std::string& pod_dir, const ProcessRecord& record);
// NotFound: no container runs there as far as a node knows.
[[nodiscard]] Result<ProcessRecord> ReadProcessRecord(const std::string& pod_dir);
void RemoveProcessRecord(const std::string& pod_dir);

// The process of a record, if it is exactly that one and lives; else invalid.
[[nodiscard]] UniqueFd OpenRecorded(const ProcessRecord& record);
[[nodiscard]] std::string BootId();

[[nodiscard]] std::string EventsPath(const std::string& pod_dir);
// A new, empty pipe and a new file of zeros; what was there is gone.
struct KeptFiles {
  UniqueFd events;
  UniqueFd output_read;   // does not block
  UniqueFd output_write;  // for the command
  UniqueFd drain;
};
[[nodiscard]] Result<KeptFiles> MakeKeptFiles(const std::string& pod_dir);
// The reading end of an existing pipe; does not block.
[[nodiscard]] Result<UniqueFd> OpenOutput(const std::string& pod_dir);

// Ends what the record of a pod's folder names, at once, and blocks until it has ended; its group
// and the record go too. True when something was there.
bool EndRecorded(const std::string& pod_dir);
// The same for all pods of DATA/node/pods; the number of what was ended.
int EndRecordedIn(const std::string& pods_dir);

// Ends all containers that a node of DATA left when it was killed. Nothing, when a node lives
// there. The number of what was ended.
int EndLeftoverPods(const std::string& data_dir);

}  // namespace envicutor::standalone
