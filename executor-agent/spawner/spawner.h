// The spawner's parts. Single-threaded, no allocation: state is in static tables.
#pragma once

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "executor-agent/sandbox/native/protocol.h"

namespace envicutor::agent::native {

struct Failure {
  int error = 0;          // errno, 0 when all is well
  const char* what = "";  // the step
};
[[nodiscard]] inline Failure LastError(const char* what) { return {errno, what}; }

// --- hub.cpp: the private mount namespace and the boxes' file systems in it.
[[nodiscard]] Failure SetUp(const char* payload, size_t size);  // kHello
[[nodiscard]] Failure MakeBox(const Request& request, int* top_fd);
inline constexpr size_t kMaxBoxPath = 640;
void BoxPath(char (&path)[kMaxBoxPath], uint64_t id);
[[nodiscard]] const char* HubPath();
[[nodiscard]] uint64_t FilterKey();  // keyed.h
// Whether the kernel chooses neither the spawner nor an init when memory is short: it may refuse
// that (no CAP_SYS_RESOURCE).
[[nodiscard]] bool ExemptFromOomKilling();
[[nodiscard]] int HostProc();  // the machine's /proc, for oom_score_adj; -1 without one

// --- sweeper.cpp: removes boxes behind the spawner's back.
[[nodiscard]] Failure StartSweeper();
void DropBox(uint64_t id);

// --- environment.cpp: prepared mount namespaces, one for each environment.
[[nodiscard]] Failure MakeEnvironment(uint64_t id, const char* payload, size_t size);
void DropEnvironment(uint64_t id);
[[nodiscard]] int EnvironmentFd(uint64_t id);  // -1 when unknown

// --- network.cpp: pooled network namespaces, lo up and nothing else.
struct Network {
  int fd = -1;        // the namespace
  int counters = -1;  // its /proc/net/dev
  long long packets = 0;
};
[[nodiscard]] Failure TakeNetwork(Network* network);
// Back to the pool, or closed when lo carried anything: no connection in TIME_WAIT may meet the
// next user.
void GiveBackNetwork(const Network& network);
void RefillNetworks();  // makes at most one; called when idle

// --- run.cpp: starting and ending of runs. A failure is reported to the run's own control socket.
void StartRun(const Request& request, const char* payload, const int* fds, size_t fd_count);
void EndRun(pid_t pid);
void EndAllRuns();  // and reaps their inits: when it returns nothing of a box is left

// One run, from its request until its init was reaped. The init, and the program until its execve,
// work in this memory: nobody else touches it meanwhile.
struct Run {
  pid_t pid = 0;  // of the init; 0: free
  Network network;
  Request request;
  int fds[kMaxFds];
  int program_fd;  // or -1
  int environment_fd;
  char box[kMaxBoxPath];
  void* mapped;  // a payload that came in a memfd, or nullptr
  char** argv;
  char** envp;
  long long init_cpu_nanos;  // the init's own until it started the program
  char** direct_paths;       // ends with NULL
  char** direct_argv;
  // argv NULL env NULL paths NULL words arguments NULL
  char* strings[2 * kMaxStrings + kMaxDirectStrings + 4];
  char payload[kMaxInlinePayload];
  alignas(64) char program_stack[16U << 10U];
  alignas(64) char init_stack[16U << 10U];
};

// --- init.cpp: PID 1 of a box. May share the spawner's memory; never returns. No errno (sys.h).
void InitMain(void* run);

// --- program.cpp: the step from init to the program; runs in a vfork child of the init.
void BecomeProgram(void* run);

// `fd`, when not -1, goes along.
void SendEvent(int control, EventKind kind, int value, long long cpu_nanos, const char* what,
               int fd = -1);

}  // namespace envicutor::agent::native
