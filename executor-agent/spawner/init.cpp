// PID 1 of a box: enters the prepared namespaces, attaches the box's own mounts, starts the
// program, reaps, and reports how the program ended. When it exits the kernel kills whatever is
// left in the box.
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "executor-agent/spawner/spawner.h"

namespace envicutor::agent::native {
namespace {

constexpr char kHostName[] = "box";
alignas(64) char program_stack[64U << 10U];
char* strings[kMaxStrings + 2];  // argv NULL env NULL

long long Nanos(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

[[noreturn]] void Fail(int control, const char* step) {
  SendEvent(control, EventKind::kSetupFailed, errno, 0, step);
  _exit(1);
}

void AttachMounts(const Box& box, int control) {
  struct Tree {
    const char* dir;
    const char* target;
    int fd;
  };
  Tree trees[] = {{kBoxDir, "/box", -1}, {kTmpDir, "/tmp", -1}, {kShmDir, "/dev/shm", -1}};
  for (Tree& tree : trees) {
    tree.fd = CloneBoxTree(box.request->id, tree.dir);
    if (tree.fd < 0) Fail(control, "open the box's folders");
  }
  if (setns(box.environment_fd, CLONE_NEWNS) != 0) Fail(control, "enter the environment");
  if (unshare(CLONE_NEWNS | CLONE_NEWCGROUP) != 0) Fail(control, "unshare mounts");
  for (const Tree& tree : trees) {
    if (move_mount(tree.fd, "", AT_FDCWD, tree.target, MOVE_MOUNT_F_EMPTY_PATH) != 0) {
      Fail(control, tree.target);
    }
    close(tree.fd);
  }
  // hidepid: the program does not see this init. Read-only: nothing in /proc is anybody's to
  // change.
  if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, "hidepid=2") !=
      0) {
    Fail(control, "mount /proc");
  }
  if (setns(box.network_fd, CLONE_NEWNET) != 0) Fail(control, "enter the network namespace");
  if (sethostname(kHostName, strlen(kHostName)) != 0) Fail(control, "set the host name");
  if (setdomainname("", 0) != 0) Fail(control, "set the domain name");
}

// Fills `strings` from the NUL-terminated strings of the payload.
bool SplitStrings(const Request& request, const char* payload) {
  const size_t total = static_cast<size_t>(request.argc) + request.envc;
  if (request.argc == 0 || total > kMaxStrings) return false;
  const char* end = payload + request.payload_size;
  size_t at = 0;
  for (size_t i = 0; i < total; ++i) {
    if (i == request.argc) strings[at++] = nullptr;
    const size_t length = strnlen(payload, static_cast<size_t>(end - payload));
    if (payload + length >= end) return false;
    strings[at++] = const_cast<char*>(payload);
    payload += length + 1;
  }
  if (request.envc == 0) strings[at++] = nullptr;
  strings[at] = nullptr;
  return payload == end;
}

}  // namespace

void SendEvent(int control, EventKind kind, int value, long long cpu_nanos, const char* what) {
  Event event;
  event.kind = kind;
  event.value = value;
  event.wall_nanos = Nanos(CLOCK_MONOTONIC);
  event.cpu_nanos = cpu_nanos;
  strncpy(event.what.data(), what, event.what.size() - 1);
  (void)send(control, &event, sizeof(event), MSG_NOSIGNAL);
}

void InitMain(const Box& box) {
  const Request& request = *box.request;
  const int control = box.fds[kControlFd];
  // The spawner's death ends the box.
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) Fail(control, "PR_SET_PDEATHSIG");
  prctl(PR_SET_NAME, "env-init");
  // Opened while the host's /proc is still in sight.
  const int oom = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  const char* payload = box.payload;
  if ((request.flags & kHasPayloadFd) != 0) {
    const int fd = box.fds[kFirstOptionalFd + ((request.flags & kHasProgramFd) != 0 ? 1 : 0)];
    void* mapped = mmap(nullptr, request.payload_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (mapped == MAP_FAILED) Fail(control, "map the arguments");
    payload = static_cast<const char*>(mapped);
  }
  if (!SplitStrings(request, payload)) {
    errno = EINVAL;
    Fail(control, "arguments");
  }
  AttachMounts(box, control);
  if (chdir("/box") != 0) Fail(control, "chdir /box");

  // The program must not inherit the init's protection from the OOM killer.
  if (oom >= 0) (void)!write(oom, "0", 1);
  Program program{&request,
                  box.fds,
                  box.program_fd,
                  strings,
                  strings + request.argc + 1,
                  Nanos(CLOCK_PROCESS_CPUTIME_ID)};
  const pid_t main_pid = clone(BecomeProgram, program_stack + sizeof(program_stack),
                               CLONE_VM | CLONE_VFORK | SIGCHLD, &program);
  if (oom >= 0) (void)!write(oom, "-1000", 5);
  if (main_pid < 0) Fail(control, "start the program");
  const long long cpu_before = program.init_cpu_nanos;
  for (unsigned fd = 0; fd < 3; ++fd) close(static_cast<int>(fd));
  if (control != 3) {
    close_range(3, static_cast<unsigned>(control) - 1, 0);
  }
  close_range(static_cast<unsigned>(control) + 1, ~0U, 0);

  int status = 0;
  while (true) {
    const pid_t pid = waitpid(-1, &status, __WALL);
    if (pid == main_pid) break;
    if (pid < 0 && errno != EINTR) Fail(control, "wait for the program");
  }
  Event event;
  event.value = status;
  event.wall_nanos = Nanos(CLOCK_MONOTONIC);
  // What the program left behind ends here, and only then is its end reported: the agent need not
  // wait until this init's namespaces are taken apart, which the kernel does slowly.
  for (pid_t left; (left = waitpid(-1, nullptr, __WALL | WNOHANG)) >= 0 || errno != ECHILD;) {
    if (left != 0) continue;
    event.kind = EventKind::kEnding;
    (void)send(control, &event, sizeof(event), MSG_NOSIGNAL);
    kill(-1, SIGKILL);
    (void)waitpid(-1, nullptr, __WALL);
  }
  rusage children{};
  getrusage(RUSAGE_CHILDREN, &children);
  event.kind = EventKind::kExited;
  event.cpu_nanos = Nanos(CLOCK_PROCESS_CPUTIME_ID) - cpu_before;
  event.children_cpu_nanos =
      (children.ru_utime.tv_sec + children.ru_stime.tv_sec) * 1'000'000'000LL +
      (children.ru_utime.tv_usec + children.ru_stime.tv_usec) * 1000LL;
  (void)send(control, &event, sizeof(event), MSG_NOSIGNAL);
  _exit(0);
}

}  // namespace envicutor::agent::native
