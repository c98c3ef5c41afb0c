#include "standalone/node/adoption.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <system_error>
#include <vector>

#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/log.h"
#include "standalone/node/host.h"
#include "standalone/node/plan.h"

namespace envicutor::standalone {
namespace {

// A command that writes faster than the node reads waits; while no node is there the init drops.
constexpr int kPipeBytes = 1 << 20;
constexpr std::chrono::seconds kEndTimeout{10};

std::string RecordPath(const std::string& pod_dir) { return pod_dir + "/process.json"; }
std::string OutputPath(const std::string& pod_dir) { return pod_dir + "/output"; }

}  // namespace

std::string NodeLockPath(const std::string& node_dir) { return node_dir + "/lock"; }

Result<UniqueFd> LockNode(const std::string& node_dir) {
  const std::string path = NodeLockPath(node_dir);
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd.valid()) return ErrnoStatus(errno, "open " + path);
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  if (::fcntl(fd.get(), F_OFD_SETLK, &lock) != 0) {
    return FailedPrecondition("another node works in " + node_dir);
  }
  return fd;
}

std::string BootId() {
  const Result<std::string> id = ReadFile("/proc/sys/kernel/random/boot_id", 256);
  return id.ok() ? id->substr(0, id->find('\n')) : std::string();
}

Status WriteProcessRecord(const std::string& pod_dir, const ProcessRecord& record) {
  return WriteFileAtomic(RecordPath(pod_dir),
                         DumpJson({{"pid", record.process.pid},
                                   {"startTicks", record.process.start_ticks},
                                   {"bootID", record.boot_id},
                                   {"containerID", record.container_id},
                                   {"machine", record.machine},
                                   {"group", record.group}}),
                         0600);
}

Result<ProcessRecord> ReadProcessRecord(const std::string& pod_dir) {
  ENVICUTOR_ASSIGN(const std::string text, ReadFile(RecordPath(pod_dir), 1U << 16U));
  ENVICUTOR_ASSIGN(const Json json, ParseJson(text));
  ProcessRecord record;
  record.process = {static_cast<pid_t>(GetInt(json, "pid")),
                    static_cast<uint64_t>(GetInt(json, "startTicks"))};
  record.boot_id = GetString(json, "bootID");
  record.container_id = GetString(json, "containerID");
  record.machine = GetBool(json, "machine");
  record.group = GetString(json, "group");
  if (record.process.pid <= 1) return InvalidArgument(RecordPath(pod_dir) + " names no process");
  return record;
}

void RemoveProcessRecord(const std::string& pod_dir) { ::unlink(RecordPath(pod_dir).c_str()); }

UniqueFd OpenRecorded(const ProcessRecord& record) {
  if (record.boot_id.empty() || record.boot_id != BootId()) return UniqueFd();
  return OpenProcess(record.process);
}

std::string EventsPath(const std::string& pod_dir) { return pod_dir + "/events"; }

Result<UniqueFd> OpenOutput(const std::string& pod_dir) {
  const std::string path = OutputPath(pod_dir);
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW));
  if (!fd.valid()) return ErrnoStatus(errno, "open " + path);
  return fd;
}

Result<KeptFiles> MakeKeptFiles(const std::string& pod_dir) {
  const std::string output = OutputPath(pod_dir);
  const std::string events = EventsPath(pod_dir);
  ::unlink(output.c_str());
  ::unlink(events.c_str());
  if (::mkfifo(output.c_str(), 0600) != 0) return ErrnoStatus(errno, "make the pipe " + output);
  KeptFiles files;
  ENVICUTOR_ASSIGN(files.output_read, OpenOutput(pod_dir));
  ENVICUTOR_ASSIGN(files.drain, OpenOutput(pod_dir));
  files.output_write = UniqueFd(::open(output.c_str(), O_WRONLY | O_CLOEXEC));
  if (!files.output_write.valid()) return ErrnoStatus(errno, "open " + output);
  // Less is only less room; some systems bound it.
  (void)::fcntl(files.output_write.get(), F_SETPIPE_SZ, kPipeBytes);
  files.events = UniqueFd(::open(events.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!files.events.valid()) return ErrnoStatus(errno, "make " + events);
  // Room for the last word, however full the disk is then.
  if (const int error = ::posix_fallocate(files.events.get(), 0, kEventsBytes); error != 0) {
    return ErrnoStatus(error, "make room for " + events);
  }
  return files;
}

bool EndRecorded(const std::string& pod_dir) {
  const Result<ProcessRecord> record = ReadProcessRecord(pod_dir);
  if (!record.ok()) return false;
  const UniqueFd process = OpenRecorded(*record);
  if (process.valid()) {
    SendSignal(process, SIGKILL);
    if (!WaitForEnd(process, kEndTimeout)) {
      log::Error("a container does not end", {{"pid", std::to_string(record->process.pid)}});
      return true;
    }
  }
  if (!record->group.empty()) PodGroups::RemoveGroup(record->group);
  RemoveProcessRecord(pod_dir);
  return process.valid();
}

int EndRecordedIn(const std::string& pods_dir) {
  std::vector<std::string> dirs;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(pods_dir, error)) {
    dirs.push_back(entry.path().string());
  }
  return static_cast<int>(std::count_if(dirs.begin(), dirs.end(), EndRecorded));
}

int EndLeftoverPods(const std::string& data_dir) {
  const std::string node_dir = data_dir + "/node";
  if (::access((node_dir + "/pods").c_str(), F_OK) != 0) return 0;
  const Result<UniqueFd> lock = LockNode(node_dir);
  return lock.ok() ? EndRecordedIn(node_dir + "/pods") : 0;
}

}  // namespace envicutor::standalone
