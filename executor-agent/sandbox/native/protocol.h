// What the agent and its spawner (executor-agent/spawner) say to each other. Both are of one build:
// the spawner's program is embedded in the agent.
//
// One SOCK_SEQPACKET pair carries requests, and replies to those that have one, one at a time. Each
// run has a pair of its own, on which the box's init sends Events to the agent. Nothing that ran in
// a box ever holds either.
#pragma once

#include <array>
#include <cstdint>

namespace envicutor::agent::native {

enum class Op : uint32_t {
  kHello,            // payload: hub folder NUL, the filter's key (8 bytes), seccomp filter
                     // (sock_filter[]); first message
  kMakeEnvironment,  // id; payload: view NUL shell NUL env-binary NUL passwd NUL group NUL
  kDropEnvironment,  // id; no reply
  kMakeBox,          // id, uid, disk_bytes, inodes; reply, with kReplyOnFd on the socket that
                     // comes along, has a descriptor of its top folder
  kDropBox,          // id; no reply
  kRun,              // see RunFd; no reply: Events on kControlFd
};

// Descriptors of kRun, in this order; the last two only with their flags.
enum RunFd { kCgroupFd, kStdinFd, kStdoutFd, kStderrFd, kControlFd, kFirstOptionalFd };
inline constexpr uint32_t kHasProgramFd = 1;    // execute this descriptor instead of argv[0]
inline constexpr uint32_t kHasPayloadFd = 2;    // the payload is in this memfd
inline constexpr uint32_t kNoCgroup = 4;        // the cgroup descriptor is only a filler
inline constexpr uint32_t kLimitNproc = 8;      // no pids controller: use RLIMIT_NPROC (degraded)
inline constexpr uint32_t kMemoryLimited = 16;  // the group has a memory limit
inline constexpr uint32_t kDirectArguments = 64;
inline constexpr uint32_t kReplyOnFd = 32;  // where it has got lost nobody is answered
inline constexpr size_t kMaxFds = 7;

// A message is a Request and the payload. Bigger payloads of kRun travel in a memfd.
inline constexpr size_t kMaxInlinePayload = 48U << 10U;
// argv and env together: what execve takes at most with a usual stack.
inline constexpr size_t kMaxPayload = 6U << 20U;
inline constexpr size_t kMaxEnvironments = 64;
inline constexpr size_t kMaxStrings = 4096;       // argv and env entries of a run
inline constexpr size_t kMaxDirectStrings = 256;  // and what is started directly
// argv before the script's own arguments: shell, -c, script, name.
inline constexpr size_t kShellWords = 4;

struct Request {
  Op op = Op::kHello;
  uint32_t flags = 0;
  uint64_t id = 0;           // of the environment or box
  uint64_t environment = 0;  // kRun: which one
  uint64_t disk_bytes = 0;
  uint64_t inodes = 0;
  uint64_t max_open_files = 0;
  uint64_t max_file_size = 0;
  uint64_t stack = 0;
  uint64_t max_processes = 0;
  uint32_t uid = 0;
  int32_t cpu = -1;  // kRun: the only CPU of the program, or -1
  uint32_t argc = 0;
  uint32_t envc = 0;
  // kRun: a program to be executed instead of argv[0] where one of `direct_paths` can be; its argv
  // is the words, then with kDirectArguments argv from kShellWords on. Payload: argv, env, paths,
  // words.
  uint32_t direct_paths = 0;
  uint32_t direct_words = 0;
  uint32_t payload_size = 0;
};

struct Reply {
  int32_t error = 0;             // errno, 0 when it was done
  std::array<char, 124> what{};  // which step failed
};

enum class EventKind : uint32_t {
  kStarting,    // sent just before execve: wall_nanos is then, cpu_nanos what was spent until then;
                // a pidfd of the init goes along
  kNotStarted,  // by the spawner: there is no init. value is errno, what is the step
  kExecFailed,  // value is errno
  kSetupFailed,  // value is errno, what is the step
  kEnding,       // the program ended (value and wall_nanos as below), what it left behind is being
                 // killed
  kExited,  // value is the wait status, wall_nanos when it came; cpu_nanos the init's own use since
            // kStarting. Sent when no process but the init is left
};

struct Event {
  EventKind kind = EventKind::kStarting;
  int32_t value = 0;
  int64_t wall_nanos = 0;  // CLOCK_MONOTONIC
  int64_t cpu_nanos = 0;
  int64_t children_cpu_nanos = 0;  // kExited: all that was reaped, the time before exec included
  std::array<char, 64> what{};
};

// Names inside a box's tmpfs; its top is only seen from outside.
inline constexpr char kBoxDir[] = "box";
inline constexpr char kTmpDir[] = "tmp";
inline constexpr char kShmDir[] = "shm";

}  // namespace envicutor::agent::native
