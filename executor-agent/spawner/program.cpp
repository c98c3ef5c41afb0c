// From init to program. Runs in a vfork child that shares the init's memory until execve: it
// changes nothing but its own kernel state.
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "executor-agent/spawner/spawner.h"

namespace envicutor::agent::native {
namespace {

bool SetLimit(int resource, uint64_t value) {
  const rlimit limit{value, value};
  return setrlimit(static_cast<__rlimit_resource_t>(resource), &limit) == 0;
}

bool SetLimits(const Request& request) {
  return SetLimit(RLIMIT_CORE, 0) && SetLimit(RLIMIT_NOFILE, request.max_open_files) &&
         SetLimit(RLIMIT_FSIZE, request.max_file_size) && SetLimit(RLIMIT_STACK, request.stack) &&
         SetLimit(RLIMIT_NICE, 0) && SetLimit(RLIMIT_RTPRIO, 0) &&
         SetLimit(RLIMIT_MEMLOCK, 64U << 10U) && SetLimit(RLIMIT_SIGPENDING, 4096) &&
         SetLimit(RLIMIT_MSGQUEUE, 819200) &&
         ((request.flags & kLimitNproc) == 0 || SetLimit(RLIMIT_NPROC, request.max_processes));
}

[[noreturn]] void Fail(int control, const char* step) {
  SendEvent(control, EventKind::kSetupFailed, errno, 0, step);
  _exit(127);
}

}  // namespace

int BecomeProgram(void* argument) {
  const auto& program = *static_cast<const Program*>(argument);
  const Request& request = *program.request;
  const int control = program.fds[kControlFd];
  if (setsid() < 0) Fail(control, "setsid");
  // The spawner's 0, 1 and 2 are open, so none of these is one of them.
  if (dup2(program.fds[kStdinFd], 0) < 0 || dup2(program.fds[kStdoutFd], 1) < 0 ||
      dup2(program.fds[kStderrFd], 2) < 0) {
    Fail(control, "standard streams");
  }
  if (close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) != 0) Fail(control, "close_range");
  if (request.cpu >= 0 && request.cpu < CPU_SETSIZE) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(static_cast<unsigned>(request.cpu), &set);
    // Fails when the CPU was just taken from us: slower is better than not at all.
    (void)syscall(SYS_sched_setaffinity, 0, sizeof(set), &set);
  }
  if (!SetLimits(request)) Fail(control, "setrlimit");
  // Raw calls: glibc's wrappers would tell other threads, of which there are none.
  if (syscall(SYS_setgroups, 0, nullptr) != 0) Fail(control, "setgroups");
  if (syscall(SYS_setresgid, request.uid, request.uid, request.uid) != 0)
    Fail(control, "setresgid");
  if (syscall(SYS_setresuid, request.uid, request.uid, request.uid) != 0)
    Fail(control, "setresuid");
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) Fail(control, "no_new_privs");
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  if (Filter().len > 0 && syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &Filter()) != 0) {
    Fail(control, "seccomp");
  }
  timespec cpu{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
  SendEvent(control, EventKind::kStarting, 0,
            program.init_cpu_nanos + cpu.tv_sec * 1'000'000'000LL + cpu.tv_nsec, "");
  if (program.program_fd >= 0) {
    (void)syscall(SYS_execveat, program.program_fd, "", program.argv, program.envp, AT_EMPTY_PATH);
  } else {
    (void)execve(program.argv[0], program.argv, program.envp);
  }
  SendEvent(control, EventKind::kExecFailed, errno, 0, "execve");
  _exit(127);
}

}  // namespace envicutor::agent::native
