// Unmounting waits for a grace period of the kernel's. The sweeper, a process that shares the
// spawner's mount namespace, does that, so that no run waits too.
#include <errno.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "executor-agent/spawner/keyed.h"
#include "executor-agent/spawner/spawner.h"

namespace envicutor::agent::native {
namespace {

int sweeper = -1;

void Remove(uint64_t id) {
  char path[kMaxBoxPath];
  BoxPath(path, id);
  (void)KeyedCall(SYS_umount2, path, MNT_DETACH);
  (void)rmdir(path);
}

[[noreturn]] void Sweep(int requests) {
  prctl(PR_SET_NAME, "env-sweeper");
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  uint64_t id = 0;
  while (true) {
    const ssize_t got = recv(requests, &id, sizeof(id), 0);
    if (got == static_cast<ssize_t>(sizeof(id))) {
      Remove(id);
    } else if (got >= 0 || errno != EINTR) {
      _exit(0);  // the spawner is gone, and its mount namespace goes with us
    }
  }
}

}  // namespace

Failure StartSweeper() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return LastError("sweeper");
  const pid_t pid = fork();
  if (pid < 0) return LastError("fork the sweeper");
  if (pid == 0) {
    if (dup2(ends[0], 0) < 0) _exit(1);
    close_range(1, ~0U, 0);
    Sweep(0);
  }
  close(ends[0]);
  sweeper = ends[1];
  return {};
}

void DropBox(uint64_t id) {
  // Without a sweeper it is done here: slower, but done.
  if (send(sweeper, &id, sizeof(id), MSG_NOSIGNAL) != static_cast<ssize_t>(sizeof(id))) Remove(id);
}

}  // namespace envicutor::agent::native
