// The spawner's parts. Single-threaded, no allocation: state is in static tables (tables.h).
#pragma once

#include <errno.h>
#include <linux/filter.h>
#include <stddef.h>
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
// A detached copy of a folder of the box's tmpfs, to be attached in another mount namespace; -1 and
// errno.
[[nodiscard]] int CloneBoxTree(uint64_t id, const char* dir);
[[nodiscard]] const char* HubPath();
[[nodiscard]] const sock_fprog& Filter();

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

// --- run.cpp: starting and ending of runs.
[[nodiscard]] Failure StartRun(const Request& request, const char* payload, const int* fds,
                               size_t fd_count, pid_t* pid, int* pidfd);
void EndRun(pid_t pid);

// --- init.cpp: PID 1 of a box, in a child of the spawner. Never returns.
struct Box {
  const Request* request;
  const char* payload;
  const int* fds;
  int program_fd;  // or -1
  int environment_fd;
  int network_fd;
};
[[noreturn]] void InitMain(const Box& box);

// --- program.cpp: the step from init to the program; runs in a vfork child of the init.
struct Program {
  const Request* request;
  const int* fds;
  int program_fd;
  char** argv;
  char** envp;
  long long init_cpu_nanos;
};
int BecomeProgram(void* program);
void SendEvent(int control, EventKind kind, int value, long long cpu_nanos, const char* what);

}  // namespace envicutor::agent::native
