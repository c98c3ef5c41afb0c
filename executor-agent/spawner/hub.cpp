// The hub: a tmpfs in the spawner's own mount namespace with one tmpfs for each box. Nothing here
// is visible outside, and all of it is gone when the spawner is.
#include <fcntl.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "executor-agent/spawner/keyed.h"
#include "executor-agent/spawner/spawner.h"

namespace envicutor::agent::native {
namespace {

constexpr size_t kMaxFilter = 1024;  // instructions
constexpr int kLastCapability = 63;
constexpr char kHostName[] = "box";

char hub[512];
uint64_t key = 0;
int host_proc = -1;
bool exempt = false;

bool Limit(int resource, uint64_t value) {
  const rlimit limit{value, value};
  return setrlimit(static_cast<__rlimit_resource_t>(resource), &limit) == 0;
}

// What is the same for every program and of no consequence for the spawner and an init is set here
// once, and inherited.
Failure SetWhatProgramsInherit() {
  // Programs never gain a capability: not by any file, not by any bug in what follows. The spawner
  // itself keeps its own, as the bounding set only counts in execve.
  for (int capability = 0; capability <= kLastCapability; ++capability) {
    (void)prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
  }
  if (setgroups(0, nullptr) != 0) return LastError("setgroups");
  if (!Limit(RLIMIT_CORE, 0) || !Limit(RLIMIT_NICE, 0) || !Limit(RLIMIT_RTPRIO, 0) ||
      !Limit(RLIMIT_MEMLOCK, 64U << 10U) || !Limit(RLIMIT_SIGPENDING, 4096) ||
      !Limit(RLIMIT_MSGQUEUE, 819200)) {
    return LastError("setrlimit");
  }
  // A UTS namespace begins as a copy of its maker's.
  if (unshare(CLONE_NEWUTS) != 0) return LastError("unshare(CLONE_NEWUTS)");
  if (sethostname(kHostName, strlen(kHostName)) != 0) return LastError("set the host name");
  if (setdomainname("", 0) != 0) return LastError("set the domain name");
  return {};
}

// The init of a box must outlive whatever the kernel kills for the box's memory limit.
void AskForOomExemption() {
  host_proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
  const int fd = openat(host_proc, "self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  exempt = write(fd, "-1000", 5) == 5;
  close(fd);
}

// The filter of all programs, on the spawner itself: the kernel checks and translates it once and
// not for each run (a twentieth of a run's cost), and inits are under it, too. What the spawner and
// inits do and programs must not passes with a key that programs do not know (seccomp_filter.h).
Failure TakeOnFilter(const char* bytes, size_t size) {
  static sock_filter filter[kMaxFilter];
  if (size == 0 || size > sizeof(filter) || size % sizeof(sock_filter) != 0) {
    return {EINVAL, "seccomp filter"};
  }
  memcpy(filter, bytes, size);
  const sock_fprog program{static_cast<unsigned short>(size / sizeof(sock_filter)), filter};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return LastError("no_new_privs");
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0) return LastError("seccomp");
  return {};
}

Failure MakeFolder(int top, const char* name, mode_t mode, uint32_t uid) {
  if (mkdirat(top, name, 0700) != 0) return LastError("mkdir in the box");
  if (fchownat(top, name, uid, uid, AT_SYMLINK_NOFOLLOW) != 0) return LastError("chown in the box");
  if (fchmodat(top, name, mode, 0) != 0) return LastError("chmod in the box");
  return {};
}

}  // namespace

const char* HubPath() { return hub; }
void BoxPath(char (&path)[kMaxBoxPath], uint64_t id) {
  snprintf(path, sizeof(path), "%s/%llu", hub, static_cast<unsigned long long>(id));
}
uint64_t FilterKey() { return key; }
int HostProc() { return host_proc; }
bool ExemptFromOomKilling() { return exempt; }

Failure SetUp(const char* payload, size_t size) {
  const size_t length = strnlen(payload, size);
  if (length == size || length >= sizeof(hub)) return {EINVAL, "hub path"};
  memcpy(hub, payload, length + 1);
  if (size - length - 1 < sizeof(key)) return {EINVAL, "the filter's key"};
  memcpy(&key, payload + length + 1, sizeof(key));
  const char* const filter = payload + length + 1 + sizeof(key);
  const size_t bytes = size - length - 1 - sizeof(key);

  if (unshare(CLONE_NEWNS) != 0) return LastError("unshare(CLONE_NEWNS)");
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return LastError("mount --make-rprivate /");
  }
  if (mount("envicutor", hub, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0700,size=1m") != 0) {
    return LastError("mount a tmpfs for boxes");
  }
  if (chdir("/") != 0) return LastError("chdir");
  umask(022);
  const Failure failure = SetWhatProgramsInherit();
  if (failure.error != 0) return failure;
  AskForOomExemption();
  const Failure started = StartSweeper();
  return started.error != 0 ? started : TakeOnFilter(filter, bytes);
}

Failure MakeBox(const Request& request, int* top_fd) {
  char path[kMaxBoxPath];
  BoxPath(path, request.id);
  if (mkdir(path, 0700) != 0) return LastError("mkdir for the box");
  char options[128];
  snprintf(options, sizeof(options), "mode=0711,size=%llu,nr_inodes=%llu",
           static_cast<unsigned long long>(request.disk_bytes),
           static_cast<unsigned long long>(request.inodes));
  if (Mount("box", path, "tmpfs", MS_NOSUID | MS_NODEV, options) != 0) {
    const Failure failure = LastError("mount the box's tmpfs");
    rmdir(path);
    return failure;
  }
  const int top = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  Failure failure = top < 0 ? LastError("open the box") : Failure{};
  if (failure.error == 0) failure = MakeFolder(top, kBoxDir, 0755, request.uid);
  if (failure.error == 0) failure = MakeFolder(top, kTmpDir, 01777, request.uid);
  if (failure.error == 0) failure = MakeFolder(top, kShmDir, 01777, request.uid);
  if (failure.error != 0) {
    if (top >= 0) close(top);
    DropBox(request.id);
    return failure;
  }
  *top_fd = top;
  return {};
}

}  // namespace envicutor::agent::native
