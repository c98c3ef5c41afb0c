// Sandbox: runs untrusted programs in boxes. Two engines (native/, isolate/), one conformance
// suite.
//
// A Box is the files of one submission (/box) on a file system of its own, bounded by maxDisk. Each
// Run is a stage: fresh processes, namespaces, control group, /tmp and /dev/shm; every process is
// dead when it returns, and only /box goes on to the next stage. Boxes of different submissions
// share nothing.
#pragma once

#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "common/api/limits.h"
#include "common/api/run.h"
#include "common/base/status.h"

namespace envicutor::agent {

// The environment as prepared for boxes (store/).
struct BoxEnvironment {
  std::string
      view_dir;       // host folder bound read-only as /nix/store; trusted, never written by a box
  std::string shell;  // /nix/store/...-bash/bin/bash, linked as /bin/sh
  std::string env_binary;  // linked as /usr/bin/env, or ""
};

// A program that a shell would do nothing but execute (run/simple_command.h).
struct DirectStart {
  std::vector<std::string> paths;  // the first that the box's user may execute is the program
  std::vector<std::string> words;  // its argv[0], argv[1], ...
  bool with_arguments = false;     // then the shell's own, of StageSpec.argv
  std::vector<std::string> env;    // besides StageSpec.env
};

struct StageSpec {
  std::vector<std::string> argv;  // argv[0] is an absolute path in the box
  std::vector<std::string> env;   // "NAME=value", complete: nothing is inherited
  // When argv is {shell, "-c", script, name, arguments...}: what that comes to. An engine may start
  // it without the shell; where the kernel refuses it, the shell is to say why.
  std::optional<DirectStart> direct;
  std::string stdin_data;     // given through a pipe or memfd; end of file after it
  bool merge_stderr = false;  // stderr goes into stdout, in order
  api::Limits limits;         // resolved
};

// What happened, unjudged: verdict.h makes a StageResult of it.
struct StageOutcome {
  enum class Killed { kNo, kCpuTime, kWallTime, kOutput, kMemory, kCancelled, kSandboxError };
  Killed killed = Killed::kNo;  // the first reason for which the sandbox ended it
  std::string
      killed_limit;    // "cpuTime", "extraTime", "wallTime", "maxStdout", "maxStderr", "memory"
  int exit_code = -1;  // valid when exit_signal is 0 and it was not killed
  int exit_signal = 0;
  bool oom_killed = false;  // the kernel's memory.events counted an OOM kill in the box
  bool disk_full = false;   // the box's file system was full at the end
  std::string stdout_data;  // at most maxStdout bytes
  std::string stderr_data;
  int64_t stdout_bytes = 0;
  int64_t stderr_bytes = 0;
  int64_t cpu_time_micros = 0;  // of the whole tree, from just before exec
  int64_t wall_time_micros = 0;
  int64_t memory_bytes = 0;  // peak; 0 when degraded
  std::string error;         // for kSandboxError: what failed, for the log and exitMessage
};

// Not thread-safe, except that Run may be stopped through its token.
class Box {
 public:
  virtual ~Box() = default;  // ends and removes everything of the box

  // Makes parent folders. The path has passed api::CheckBoxPath. Never follows a link.
  [[nodiscard]] virtual Status WriteFile(const api::RunFile& file) = 0;
  // A failure that is not the program's is an outcome with kSandboxError, never a thrown or lost
  // run.
  [[nodiscard]] virtual StageOutcome Run(const StageSpec& spec, std::stop_token stop) = 0;
  // Extracts an archive with the sandboxed extractor as a stage of its own.
  [[nodiscard]] virtual StageOutcome Extract(const std::string& archive, const api::Limits& limits,
                                             std::stop_token stop) = 0;
  // Regular files only, links never followed, at most max_bytes kept. NotFound, InvalidArgument
  // (not a regular file).
  [[nodiscard]] virtual Result<api::OutputFile> ReadFile(const std::string& path,
                                                         size_t max_bytes) = 0;
  // Bytes that the files of /box take now, for the compile cache's bound; empties /tmp and /dev/shm
  // to tell. -1 where the engine cannot.
  [[nodiscard]] virtual int64_t BoxBytes() { return -1; }
  // A new box with a copy of this one's /box as it is now: tests run in clones, so that they cannot
  // see each other.
  [[nodiscard]] virtual Result<std::unique_ptr<Box>> Clone() = 0;
};

struct SandboxInfo {
  std::string engine;     // "native", "isolate"
  bool degraded = false;  // no memory and pids control groups: limits are approximate
  std::string detail;     // for people: kernel, control group, what is missing
};

// Thread-safe: NewBox and the boxes' methods may run on many threads, a box on one at a time.
class Sandbox {
 public:
  virtual ~Sandbox() = default;
  [[nodiscard]] virtual SandboxInfo Info() const = 0;
  // max_disk_bytes bounds everything the box can write: /box, /tmp, /dev/shm together.
  [[nodiscard]] virtual Result<std::unique_ptr<Box>> NewBox(const BoxEnvironment& environment,
                                                            int64_t max_disk_bytes) = 0;
};

// Whether each running stage has a CPU of its own (cpu_slots.h).
enum class PinCpus { kAuto, kOn, kOff };

struct SandboxOptions {
  std::string
      state_dir;  // of our own, survives restarts: what a dead predecessor left is found there
  int slots = 1;  // how many boxes run at once: pools are sized by it
  unsigned first_uid = 60000;  // boxes use first_uid .. first_uid + 4 * slots
  bool allow_degraded = false;
  PinCpus pin_cpus = PinCpus::kAuto;
  std::string isolate_binary;    // for the isolate engine
  std::string extractor_binary;  // the static envicutor-extract; "" : beside the agent's own binary
};

// Both remove what an earlier process with the same state_dir left (processes, groups, mounts,
// files).
[[nodiscard]] Result<std::unique_ptr<Sandbox>> NewNativeSandbox(const SandboxOptions& options);
[[nodiscard]] Result<std::unique_ptr<Sandbox>> NewIsolateSandbox(const SandboxOptions& options);

}  // namespace envicutor::agent
