/* What only a process with privileges may do, tried with arguments that a privileged one would be
 * served with: whichever filter an engine has, none of it may work in a box. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "probe.h"

static int bad;

static void must_fail(const char* what, long result) {
  if (result >= 0) printf("%s\n", what), ++bad;
}

static int report(void) {
  puts(bad ? "POSSIBLE" : "refused");
  return bad != 0;
}

static void mounts(void) {
  must_fail("mount tmpfs", mount("x", "/tmp", "tmpfs", 0, ""));
  must_fail("bind mount", mount("/proc", "/box", NULL, MS_BIND, NULL));
  must_fail("remount", mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND, NULL));
  must_fail("umount", umount2("/tmp", MNT_DETACH));
  must_fail("chroot", chroot("/box"));
  must_fail("pivot_root", syscall(SYS_pivot_root, "/", "/box"));
  must_fail("fsopen", syscall(SYS_fsopen, "tmpfs", 0));
  must_fail("open_tree", syscall(SYS_open_tree, AT_FDCWD, "/", 1 /* OPEN_TREE_CLONE */));
  must_fail("swapon", swapon("/box/swap", 0));
  must_fail("unshare mounts", unshare(CLONE_NEWNS));
  int fd = open("/proc/self/ns/mnt", O_RDONLY);
  if (fd >= 0) must_fail("setns", setns(fd, CLONE_NEWNS));
}

static void machine(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  must_fail("clock_settime", clock_settime(CLOCK_REALTIME, &now));
  must_fail("sethostname", sethostname("x", 1));
  must_fail("reboot", syscall(SYS_reboot, 0xfee1deadL, 672274793L, 0x89abcdefL /* CAD on */, 0));
  must_fail("init_module", syscall(SYS_init_module, "x", 1L, ""));
  must_fail("delete_module", syscall(SYS_delete_module, "loop", O_NONBLOCK));
  must_fail("kexec_load", syscall(SYS_kexec_load, 0L, 0L, NULL, 0L));
  must_fail("acct", syscall(SYS_acct, "/box/acct"));
  must_fail("iopl", syscall(SYS_iopl, 3));
  must_fail("nice", setpriority(PRIO_PROCESS, 0, -20));
  struct sched_param first = {.sched_priority = 50};
  must_fail("real time", sched_setscheduler(0, SCHED_FIFO, &first));
  struct rlimit more = {1 << 20, 1 << 20};
  must_fail("more files", setrlimit(RLIMIT_NOFILE, &more));
}

static void others(void) {
  char byte;
  struct iovec to = {&byte, 1}, from = {(void*)0x400000, 1};
  must_fail("attach to 1", ptrace(PTRACE_ATTACH, 1, 0, 0));
  must_fail("memory of 1", process_vm_readv(1, &to, 1, &from, 1, 0));
  must_fail("mem of 1", open("/proc/1/mem", O_RDONLY));
  must_fail("environ of 1", open("/proc/1/environ", O_RDONLY));
  must_fail("root of 1", open("/proc/1/root/etc", O_RDONLY | O_DIRECTORY));
  must_fail("signal 1", kill(1, SIGKILL));
}

static void kernel(void) {
  struct perf_event_attr event = {.type = PERF_TYPE_SOFTWARE, .size = sizeof event};
  must_fail("perf of all", syscall(SYS_perf_event_open, &event, -1, 0, -1, 0));
  unsigned long long map[16] = {2 /* array */ | (4ULL << 32), 4 | (1ULL << 32)};
  must_fail("bpf", syscall(SYS_bpf, 0 /* BPF_MAP_CREATE */, map, sizeof map));
  char ring[256] = {0};
  must_fail("io_uring", syscall(SYS_io_uring_setup, 1, ring));
  must_fail("keyring", syscall(SYS_keyctl, 1 /* KEYCTL_JOIN_SESSION_KEYRING */, NULL));
  must_fail("add_key", syscall(SYS_add_key, "user", "k", "v", 1L, -3 /* session */));
  struct {
    unsigned bytes;
    int type;
    unsigned char handle[128];
  } handle = {128, 0, {0}};
  int mount_id = 0;
  if (syscall(SYS_name_to_handle_at, AT_FDCWD, "/box", &handle, &mount_id, 0) == 0)
    must_fail("open_by_handle_at",
              syscall(SYS_open_by_handle_at, open("/box", O_RDONLY), &handle, O_RDONLY));
}

static int do_powers(char** args) {
  (void)args;
  mounts();
  machine();
  others();
  kernel();
  return report();
}

/* Sockets that reach below TCP and UDP, or out of the network namespace. */
static int do_deep_sockets(char** args) {
  (void)args;
  must_fail("packet", socket(AF_PACKET, SOCK_RAW, 0));
  must_fail("raw", socket(AF_INET, SOCK_RAW, 1 /* ICMP */));
  must_fail("raw 6", socket(AF_INET6, SOCK_RAW, 58 /* ICMPv6 */));
  must_fail("vsock", socket(AF_VSOCK, SOCK_STREAM, 0));
  must_fail("vsock, high half set", syscall(SYS_socket, 0x100000000L + AF_VSOCK, SOCK_STREAM, 0));
  must_fail("socket mark",
            setsockopt(socket(AF_INET, SOCK_DGRAM, 0), SOL_SOCKET, SO_MARK, &bad, sizeof bad));
  return report();
}

/* No capability is held in any set that counts. */
static int do_capabilities(char** args) {
  (void)args;
  FILE* status = fopen("/proc/self/status", "r");
  char line[256];
  while (status && fgets(line, sizeof line, status)) {
    if (strncmp(line, "Cap", 3) || !strncmp(line, "CapBnd", 6)) continue;
    if (strtoull(strchr(line, ':') + 1, NULL, 16)) printf("%s", line), ++bad;
  }
  if (!status) puts("cannot read"), ++bad;
  must_fail("setuid", setuid(0));
  must_fail("setgid", setgid(0));
  if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1) puts("new privileges"), ++bad;
  must_fail("terminal", open("/dev/tty", O_RDWR));
  return report();
}

const struct command powers[] = {{"powers", do_powers},
                                 {"deep-sockets", do_deep_sockets},
                                 {"capabilities", do_capabilities},
                                 {NULL, NULL}};
