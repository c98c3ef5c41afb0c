// PID 1 of a box: enters the prepared namespaces, attaches the box's own mounts, starts the
// program, reaps, and reports how the program ended. When it exits the kernel kills whatever is
// left in the box. It shares the spawner's memory: what it needs is in its Run, and no call here
// sets errno (sys.h).
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include "executor-agent/spawner/keyed.h"
#include "executor-agent/spawner/spawner.h"
#include "executor-agent/spawner/sys.h"

namespace envicutor::agent::native {
namespace {

// Where the init keeps them while the program runs. It holds the write ends of the outputs, so
// that the agent is woken by the end of the stage and not by each stream's.
constexpr int kKeptControl = 0;
constexpr int kKeptStdout = 1;
constexpr int kKeptStderr = 2;

long long Nanos(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

[[noreturn]] void Exit(int code) {
  while (true) (void)Sys(SYS_exit_group, code);
}

[[noreturn]] void Fail(int control, long result, const char* step) {
  SendEvent(control, EventKind::kSetupFailed, static_cast<int>(-result), 0, step);
  Exit(1);
}

void AttachMounts(const Run& run, int control) {
  struct Tree {
    const char* dir;
    const char* target;
    long fd;
  };
  Tree trees[] = {{kBoxDir, "/box", -1}, {kTmpDir, "/tmp", -1}, {kShmDir, "/dev/shm", -1}};
  long result = Sys(SYS_chdir, run.box);
  if (result < 0) Fail(control, result, "enter the box's folders");
  for (Tree& tree : trees) {
    tree.fd = Keyed(SYS_open_tree, AT_FDCWD, tree.dir,
                    OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW);
    if (tree.fd < 0) Fail(control, tree.fd, "open the box's folders");
  }
  result = Keyed(SYS_setns, run.environment_fd, CLONE_NEWNS);
  if (result < 0) Fail(control, result, "enter the environment");
  result = Keyed(SYS_unshare, CLONE_NEWNS | CLONE_NEWCGROUP);
  if (result < 0) Fail(control, result, "unshare mounts");
  for (const Tree& tree : trees) {
    result = Keyed(SYS_move_mount, tree.fd, "", AT_FDCWD, tree.target, MOVE_MOUNT_F_EMPTY_PATH);
    if (result < 0) Fail(control, result, tree.target);
  }
  // hidepid: the program does not see this init. Read-only: nothing in /proc is anybody's to
  // change.
  result = Keyed(SYS_mount, "proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY,
                 "hidepid=2");
  if (result < 0) Fail(control, result, "mount /proc");
  result = Keyed(SYS_setns, run.network.fd, CLONE_NEWNET);
  if (result < 0) Fail(control, result, "enter the network namespace");
}

long WaitFor(pid_t pid, int* status, int flags) {
  return Sys(SYS_wait4, pid, status, __WALL | flags, nullptr);
}

void Send(int control, const Event& event) {
  (void)Sys(SYS_sendto, control, &event, sizeof(event), MSG_NOSIGNAL, nullptr, 0);
}

}  // namespace

void SendEvent(int control, EventKind kind, int value, long long cpu_nanos, const char* what,
               int fd) {
  Event event;
  event.kind = kind;
  event.value = value;
  event.wall_nanos = Nanos(CLOCK_MONOTONIC);
  event.cpu_nanos = cpu_nanos;
  strncpy(event.what.data(), what, event.what.size() - 1);
  if (fd < 0) {
    Send(control, event);
    return;
  }
  iovec data{&event, sizeof(event)};
  alignas(cmsghdr) char room[CMSG_SPACE(sizeof(int))] = {};
  msghdr header{};
  header.msg_iov = &data;
  header.msg_iovlen = 1;
  header.msg_control = room;
  header.msg_controllen = sizeof(room);
  cmsghdr* part = CMSG_FIRSTHDR(&header);
  part->cmsg_level = SOL_SOCKET;
  part->cmsg_type = SCM_RIGHTS;
  part->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(part), &fd, sizeof(fd));
  (void)Sys(SYS_sendmsg, control, &header, MSG_NOSIGNAL);
}

void InitMain(void* argument) {
  auto* const run = static_cast<Run*>(argument);
  const int control = run->fds[kControlFd];
  // The spawner's death ends the box.
  long result = Sys(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  if (result < 0) Fail(control, result, "PR_SET_PDEATHSIG");
  (void)Sys(SYS_prctl, PR_SET_NAME, "env-init", 0, 0, 0);
  AttachMounts(*run, control);
  result = Sys(SYS_chdir, "/box");
  if (result < 0) Fail(control, result, "chdir /box");

  run->init_cpu_nanos = Nanos(CLOCK_PROCESS_CPUTIME_ID);
  clone_args args{};
  args.flags = CLONE_VM | CLONE_VFORK;
  args.exit_signal = SIGCHLD;
  const long main_pid = CloneOnto(&args, run->program_stack, sizeof(run->program_stack),
                                  BecomeProgram, run, FilterKey());
  if (main_pid < 0) Fail(control, main_pid, "start the program");
  if (Sys(SYS_dup3, control, kKeptControl, 0) < 0 ||
      Sys(SYS_dup3, run->fds[kStdoutFd], kKeptStdout, 0) < 0 ||
      Sys(SYS_dup3, run->fds[kStderrFd], kKeptStderr, 0) < 0) {
    Fail(control, -EBADF, "keep the streams");
  }
  (void)Sys(SYS_close_range, 3U, ~0U, 0);

  int status = 0;
  while (true) {
    const long pid = WaitFor(-1, &status, 0);
    if (pid == main_pid) break;
    if (pid < 0 && pid != -EINTR) Fail(kKeptControl, pid, "wait for the program");
  }
  Event event;
  event.value = status;
  event.wall_nanos = Nanos(CLOCK_MONOTONIC);
  // What the program left behind ends here, and only then is its end reported: the agent need not
  // wait until this init's namespaces are taken apart, which the kernel does slowly.
  for (long left; (left = WaitFor(-1, nullptr, WNOHANG)) != -ECHILD;) {
    if (left != 0) continue;
    event.kind = EventKind::kEnding;
    Send(kKeptControl, event);
    (void)Sys(SYS_kill, -1, SIGKILL);
    (void)WaitFor(-1, nullptr, 0);
  }
  rusage children{};
  (void)Sys(SYS_getrusage, RUSAGE_CHILDREN, &children);
  event.kind = EventKind::kExited;
  event.cpu_nanos = Nanos(CLOCK_PROCESS_CPUTIME_ID) - run->init_cpu_nanos;
  event.children_cpu_nanos =
      (children.ru_utime.tv_sec + children.ru_stime.tv_sec) * 1'000'000'000LL +
      (children.ru_utime.tv_usec + children.ru_stime.tv_usec) * 1000LL;
  Send(kKeptControl, event);
  Exit(0);
}

}  // namespace envicutor::agent::native
