// From init to program. Runs in a vfork child that shares the init's memory until execve: it
// changes nothing but its own kernel state, and sets no errno (sys.h). Capabilities, groups and the
// limits that are the same for all were given up in the spawner, and the filter taken on (hub.cpp).
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <time.h>

#include "executor-agent/spawner/keyed.h"
#include "executor-agent/spawner/spawner.h"
#include "executor-agent/spawner/sys.h"

namespace envicutor::agent::native {
namespace {

constexpr unsigned kKernelSignals = 8;  // bytes of a signal set in the kernel's own calls

[[noreturn]] void Exit() {
  while (true) (void)Sys(SYS_exit_group, 127);
}

void Must(int control, long result, const char* step) {
  if (result >= 0) return;
  SendEvent(control, EventKind::kSetupFailed, static_cast<int>(-result), 0, step);
  Exit();
}

long SetLimit(int resource, uint64_t value) {
  const rlimit limit{value, value};
  return Sys(SYS_prlimit64, 0, resource, &limit, nullptr);
}

// The program must not inherit the init's protection from the OOM killer. By its own file: written
// by a vfork child it is for this process alone, not for all that share the memory.
void GiveUpOomExemption() {
  const long fd = Sys(SYS_openat, HostProc(), "self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (fd >= 0) (void)Sys(SYS_write, fd, "0", 1UL);
}

void SetLimits(const Request& request, int control) {
  Must(control, SetLimit(RLIMIT_NOFILE, request.max_open_files), "RLIMIT_NOFILE");
  Must(control, SetLimit(RLIMIT_FSIZE, request.max_file_size), "RLIMIT_FSIZE");
  Must(control, SetLimit(RLIMIT_STACK, request.stack), "RLIMIT_STACK");
  if ((request.flags & kLimitNproc) == 0) return;
  Must(control, SetLimit(RLIMIT_NPROC, request.max_processes), "RLIMIT_NPROC");
}

void Pin(int cpu) {
  if (cpu < 0 || cpu >= CPU_SETSIZE) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<unsigned>(cpu), &set);
  // Fails when the CPU was just taken from us: slower is better than not at all.
  (void)Keyed(SYS_sched_setaffinity, 0, sizeof(set), &set);
}

// The first of the paths that may be executed. What the kernel does not execute after all, a folder
// or a script without an interpreter, is the shell's to deal with, as is the message that nothing
// was found.
void ExecuteDirectly(const Run& run) {
  for (char** path = run.direct_paths; *path != nullptr; ++path) {
    if (Sys(SYS_faccessat, AT_FDCWD, *path, X_OK) < 0) continue;
    (void)Sys(SYS_execve, *path, run.direct_argv, run.envp);
    return;
  }
}

}  // namespace

void BecomeProgram(void* argument) {
  const auto& run = *static_cast<const Run*>(argument);
  const Request& request = run.request;
  const int control = run.fds[kControlFd];
  GiveUpOomExemption();
  // The init is 1 in its own PID namespace, which is this one.
  const long init = Sys(SYS_pidfd_open, 1, 0);
  Must(control, init, "pidfd_open");
  Must(control, Sys(SYS_setsid), "setsid");
  // The spawner's 0, 1 and 2 are open, so none of these is one of them.
  Must(control, Sys(SYS_dup3, run.fds[kStdinFd], 0, 0), "stdin");
  Must(control, Sys(SYS_dup3, run.fds[kStdoutFd], 1, 0), "stdout");
  Must(control, Sys(SYS_dup3, run.fds[kStderrFd], 2, 0), "stderr");
  Must(control, Sys(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC), "close_range");
  Pin(request.cpu);
  SetLimits(request, control);
  Must(control, Sys(SYS_setresgid, request.uid, request.uid, request.uid), "setresgid");
  Must(control, Sys(SYS_setresuid, request.uid, request.uid, request.uid), "setresuid");
  const uint64_t no_signals = 0;
  (void)Sys(SYS_rt_sigprocmask, SIG_SETMASK, &no_signals, nullptr, kKernelSignals);
  timespec cpu{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
  SendEvent(control, EventKind::kStarting, 0,
            run.init_cpu_nanos + cpu.tv_sec * 1'000'000'000LL + cpu.tv_nsec, "",
            static_cast<int>(init));
  ExecuteDirectly(run);
  const long failed = run.program_fd >= 0
                          ? Sys(SYS_execveat, run.program_fd, "", run.argv, run.envp, AT_EMPTY_PATH)
                          : Sys(SYS_execve, run.argv[0], run.argv, run.envp);
  SendEvent(control, EventKind::kExecFailed, static_cast<int>(-failed), 0, "execve");
  Exit();
}

}  // namespace envicutor::agent::native
