#include <linux/sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "executor-agent/spawner/spawner.h"

namespace envicutor::agent::native {
namespace {

constexpr size_t kMaxRuns = 1024;
struct Running {
  pid_t pid = 0;
  Network network;
};
Running runs[kMaxRuns];

}  // namespace

Failure StartRun(const Request& request, const char* payload, const int* fds, size_t fd_count,
                 pid_t* pid, int* pidfd) {
  size_t wanted = kFirstOptionalFd;
  if ((request.flags & kHasProgramFd) != 0) ++wanted;
  if ((request.flags & kHasPayloadFd) != 0) ++wanted;
  if (fd_count != wanted) return {EINVAL, "descriptors of the run"};
  Box box{&request, payload, fds, -1, EnvironmentFd(request.environment), -1};
  if (box.environment_fd < 0) return {ENOENT, "environment of the run"};
  if ((request.flags & kHasProgramFd) != 0) box.program_fd = fds[kFirstOptionalFd];
  Running* run = nullptr;
  for (Running& candidate : runs) {
    if (candidate.pid == 0) {
      run = &candidate;
      break;
    }
  }
  if (run == nullptr) return {EAGAIN, "too many runs"};
  const Failure networked = TakeNetwork(&run->network);
  if (networked.error != 0) return networked;
  box.network_fd = run->network.fd;

  clone_args args{};
  args.flags = CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_PIDFD;
  args.pidfd = reinterpret_cast<__u64>(pidfd);
  args.exit_signal = SIGCHLD;
  if ((request.flags & kNoCgroup) == 0) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = static_cast<__u64>(fds[kCgroupFd]);
  }
  const long child = syscall(SYS_clone3, &args, sizeof(args));
  if (child < 0) {
    const Failure failure = LastError("clone3");
    GiveBackNetwork(run->network);
    return failure;
  }
  if (child == 0) InitMain(box);
  run->pid = static_cast<pid_t>(child);
  *pid = run->pid;
  return {};
}

void EndRun(pid_t pid) {
  for (Running& run : runs) {
    if (run.pid != pid) continue;
    run.pid = 0;
    GiveBackNetwork(run.network);
    return;
  }
}

}  // namespace envicutor::agent::native
