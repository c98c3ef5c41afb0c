/* What a program must not be able to do. Each prints "refused" when it was, or what it could do. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/reboot.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "probe.h"

static int refused(long result, const char* what) {
  if (result < 0) {
    puts("refused");
    return 0;
  }
  printf("POSSIBLE: %s\n", what);
  return 1;
}

#define CALL(name, ...)                \
  {                                    \
#name, SYS_##name, { __VA_ARGS__ } \
  }

/* Calls that fail whatever their arguments are: by the filter, so never with EFAULT or EINVAL. */
static int do_calls(char** args) {
  (void)args;
  static const struct {
    const char* name;
    long number;
    long arguments[5];
  } calls[] = {CALL(mount, 0),
               CALL(umount2, 0),
               CALL(pivot_root, 0),
               CALL(chroot, 0),
               CALL(move_mount, 0),
               CALL(open_tree, 0),
               CALL(fsopen, 0),
               CALL(fsconfig, 0),
               CALL(fsmount, 0),
               CALL(fspick, 0),
               CALL(mount_setattr, 0),
               CALL(swapon, 0),
               CALL(swapoff, 0),
               CALL(setns, 0),
               CALL(unshare, 0),
               CALL(ptrace, 0),
               CALL(process_vm_readv, 0),
               CALL(process_vm_writev, 0),
               CALL(kcmp, 0),
               CALL(pidfd_getfd, 0),
               CALL(keyctl, 0),
               CALL(add_key, 0),
               CALL(request_key, 0),
               CALL(bpf, 0),
               CALL(perf_event_open, 0),
               CALL(userfaultfd, 0),
               CALL(io_uring_setup, 1),
               CALL(io_uring_enter, 0),
               CALL(io_uring_register, 0),
               CALL(fanotify_init, 0),
               CALL(open_by_handle_at, 0),
               CALL(name_to_handle_at, 0),
               CALL(kexec_load, 0),
               CALL(init_module, 0),
               CALL(finit_module, 0),
               CALL(delete_module, 0),
               CALL(reboot, 0),
               CALL(syslog, 0),
               CALL(acct, 0),
               CALL(settimeofday, 0),
               CALL(clock_settime, 0),
               CALL(adjtimex, 0),
               CALL(sethostname, 0),
               CALL(setdomainname, 0),
               CALL(iopl, 3),
               CALL(ioperm, 0),
               CALL(vhangup, 0),
               CALL(quotactl, 0),
               CALL(clone3, 0),
               CALL(flock, 0)};
  int bad = 0;
  for (size_t i = 0; i < sizeof calls / sizeof *calls; ++i) {
    const long* a = calls[i].arguments;
    long result = syscall(calls[i].number, a[0], a[1], a[2], a[3], a[4]);
    if (result >= 0 || (errno != EPERM && errno != ENOSYS)) {
      printf("%s: %ld errno %d\n", calls[i].name, result, errno);
      ++bad;
    }
  }
  long newest = syscall(457, 0, 0, 0, 0);
  if (newest >= 0 || errno != ENOSYS) printf("statmount: %ld errno %d\n", newest, errno), ++bad;
  long x32 = syscall(0x40000000 + SYS_getpid);
  if (x32 >= 0) puts("x32 getpid"), ++bad;
  puts(bad ? "POSSIBLE" : "refused");
  return bad != 0;
}

static int do_i386(char** args) {
  (void)args;
  long result;
  __asm__ volatile("int $0x80" : "=a"(result) : "a"(20 /* getpid */) : "memory");
  if (result < 0) errno = (int)-result;
  return refused(result, "i386 getpid");
}

static int do_namespaces(char** args) {
  (void)args;
  static const int flags[] = {CLONE_NEWUSER, CLONE_NEWNS,  CLONE_NEWPID,   CLONE_NEWNET,
                              CLONE_NEWIPC,  CLONE_NEWUTS, CLONE_NEWCGROUP};
  for (size_t i = 0; i < sizeof flags / sizeof *flags; ++i) {
    long pid = syscall(SYS_clone, flags[i] | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) _exit(0);
    if (pid > 0) return refused(0, "clone into a new namespace");
    if (unshare(flags[i]) == 0) return refused(0, "unshare");
  }
  return refused(-1, "");
}

static int do_sockets(char** args) {
  (void)args;
  int bad = 0;
  for (int family = 0; family < 64; ++family) {
    int type = family == AF_NETLINK || family == AF_PACKET ? SOCK_RAW : SOCK_STREAM;
    int fd = socket(family, type, 0);
    if (fd >= 0 && family != AF_UNIX && family != AF_INET && family != AF_INET6 &&
        family != AF_NETLINK)
      printf("family %d\n", family), ++bad;
  }
  /* The kernel looks at the low half only. */
  if (syscall(SYS_socket, 0x100000000L + 40, SOCK_STREAM, 0) >= 0) puts("vsock"), ++bad;
  if (socket(AF_INET, SOCK_RAW, IPPROTO_ICMP) >= 0) puts("raw"), ++bad;
  if (socket(AF_NETLINK, SOCK_RAW, NETLINK_KOBJECT_UEVENT) >= 0) puts("uevent"), ++bad;
  if (socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER) >= 0) puts("netfilter"), ++bad;
  puts(bad ? "POSSIBLE" : "refused");
  return bad;
}

static int try_connect(const char* address, int port) {
  if (strchr(address, ':')) {
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons((unsigned short)port)};
    inet_pton(AF_INET6, address, &six.sin6_addr);
    return connect(socket(AF_INET6, SOCK_STREAM, 0), (struct sockaddr*)&six, sizeof six);
  }
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
  inet_pton(AF_INET, address, &to.sin_addr);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  return connect(fd, (struct sockaddr*)&to, sizeof to);
}

/* connect ADDRESS PORT */
static int do_connect(char** args) {
  long result = try_connect(args[0], atoi(args[1]));
  if (result < 0) printf("errno %d\n", errno);
  return refused(result, "connect");
}

/* A server and a client on the box's own loopback. */
static int do_loopback(char** args) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(args[0]))};
  inet_pton(AF_INET, "127.0.0.1", &at.sin_addr);
  int server = socket(AF_INET, SOCK_STREAM, 0);
  if (bind(server, (struct sockaddr*)&at, sizeof at) || listen(server, 1)) {
    printf("bind: %d\n", errno);
    return 1;
  }
  puts(try_connect("127.0.0.1", atoi(args[0])) ? "no loopback" : "connected");
  return 0;
}

/* abstract bind|connect NAME */
static int do_abstract(char** args) {
  struct sockaddr_un at = {.sun_family = AF_UNIX};
  strncpy(at.sun_path + 1, args[1], sizeof at.sun_path - 2);
  socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(args[1]));
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  if (!strcmp(args[0], "connect"))
    return refused(connect(fd, (struct sockaddr*)&at, length), "abstract socket");
  if (bind(fd, (struct sockaddr*)&at, length) || listen(fd, 8)) return 1;
  puts("bound");
  fflush(stdout);
  for (;;) pause();
}

/* What a route netlink socket could do to the network: add an address to lo, bring it down. */
static int do_netlink(char** args) {
  (void)args;
  struct {
    struct nlmsghdr head;
    struct ifinfomsg link;
    char answer[4096];
  } message = {.head = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct ifinfomsg)),
                        .nlmsg_type = RTM_NEWLINK,
                        .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK},
               .link = {.ifi_index = 1, .ifi_change = 1 /* IFF_UP, to 0 */}};
  int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
  if (fd < 0) return refused(-1, "");
  if (send(fd, &message, message.head.nlmsg_len, 0) < 0) return refused(-1, "");
  struct {
    struct nlmsghdr head;
    struct nlmsgerr error;
    char rest[4096];
  } answer;
  if (recv(fd, &answer, sizeof answer, 0) < 0) return refused(-1, "");
  return refused(answer.head.nlmsg_type == NLMSG_ERROR && answer.error.error < 0 ? -1 : 0,
                 "lo taken down");
}

/* sysv make|find KEY */
static int do_sysv(char** args) {
  int make = !strcmp(args[0], "make");
  int id = shmget(atoi(args[1]), 4096, make ? IPC_CREAT | 0666 : 0666);
  if (!make) return refused(id, "SysV shared memory");
  puts(id >= 0 ? "made" : "not made");
  fflush(stdout);
  if (args[2]) pause();
  return 0;
}

static int do_devices(char** args) {
  (void)args;
  int bad = 0;
  if (mknod("/box/mem", S_IFCHR | 0666, makedev(1, 1)) == 0) puts("mknod char"), ++bad;
  if (mknod("/box/disk", S_IFBLK | 0666, makedev(8, 0)) == 0) puts("mknod block"), ++bad;
  if (open("/dev/mem", O_RDONLY) >= 0 || open("/dev/kmsg", O_RDONLY) >= 0 ||
      open("/dev/sda", O_RDONLY) >= 0 || open("/dev/fuse", O_RDWR) >= 0 ||
      open("/dev/kvm", O_RDWR) >= 0 || open("/dev/ptmx", O_RDWR) >= 0 ||
      open("/dev/tty", O_RDWR) >= 0)
    puts("device"), ++bad;
  puts(bad ? "POSSIBLE" : "refused");
  return bad;
}

static long setgroups_raw(void) {
  gid_t root = 0;
  return syscall(SYS_setgroups, 1, &root);
}

static int do_setuid(char** args) {
  (void)args;
  int bad = 0;
  if (setuid(0) == 0 || setgid(0) == 0 || seteuid(0) == 0) puts("setuid"), ++bad;
  if (setgroups_raw() == 0) puts("setgroups"), ++bad;
  if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1) puts("new privileges"), ++bad;
  for (int c = 0; c < 41; ++c)
    if (prctl(PR_CAPBSET_READ, c, 0, 0, 0) > 0) printf("capability %d\n", c), ++bad;
  puts(bad ? "POSSIBLE" : "refused");
  return bad;
}

static int do_tiocsti(char** args) {
  (void)args;
  int bad = 0;
  for (int fd = 0; fd < 3; ++fd)
    if (ioctl(fd, TIOCSTI, "x") == 0) ++bad;
  if (ioctl(0, TIOCSTI, "x") < 0 && errno != EPERM) ++bad; /* the filter's, not ENOTTY */
  if (syscall(SYS_ioctl, 0, 0x100000000L + TIOCSTI, "x") == 0 || errno != EPERM) ++bad;
  puts(bad ? "POSSIBLE" : "refused");
  return bad;
}

static int do_locks(char** args) {
  int fd = open(args[0], O_RDONLY);
  struct flock lock = {.l_type = F_RDLCK};
  int bad = fcntl(fd, F_SETLK, &lock) == 0 || fcntl(fd, F_OFD_SETLK, &lock) == 0;
  return refused(bad ? 0 : -1, "file lock");
}

/* Writes where nothing must be writable: prints each place that was. */
static int do_write_places(char** args) {
  int bad = 0;
  for (; *args; ++args) {
    char name[512];
    struct stat info;
    if (stat(*args, &info) == 0 && S_ISDIR(info.st_mode))
      snprintf(name, sizeof name, "%s/planted", *args);
    else
      snprintf(name, sizeof name, "%s", *args);
    int fd = open(name, O_WRONLY | O_CREAT, 0644);
    if (fd >= 0) printf("%s\n", name), ++bad;
  }
  puts(bad ? "POSSIBLE" : "refused");
  return bad;
}

/* Signals everything that it can name. */
static int do_signal_others(char** args) {
  (void)args;
  int bad = 0;
  for (int pid = 1; pid < 2000; ++pid)
    if (pid != getpid() && kill(pid, SIGKILL) == 0) printf("pid %d\n", pid), ++bad;
  if (getppid() != 1 && getppid() != 0) puts("parent"), ++bad;
  puts(bad ? "POSSIBLE" : "refused");
  return bad;
}

const struct command attacks[] = {{"calls", do_calls},
                                  {"i386", do_i386},
                                  {"namespaces", do_namespaces},
                                  {"sockets", do_sockets},
                                  {"connect", do_connect},
                                  {"loopback", do_loopback},
                                  {"abstract", do_abstract},
                                  {"sysv", do_sysv},
                                  {"netlink", do_netlink},
                                  {"devices", do_devices},
                                  {"setuid", do_setuid},
                                  {"tiocsti", do_tiocsti},
                                  {"locks", do_locks},
                                  {"write-places", do_write_places},
                                  {"signal-others", do_signal_others},
                                  {NULL, NULL}};
