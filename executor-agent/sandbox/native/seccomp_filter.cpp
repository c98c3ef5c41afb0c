#include "executor-agent/sandbox/native/seccomp_filter.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <memory>
#include <string>

#include "common/base/unique_fd.h"

namespace envicutor::agent::native {
namespace {

constexpr uint64_t kInt = 0xffffffff;  // the kernel looks at the low half of these arguments only
constexpr uint32_t kErrnoEperm = SCMP_ACT_ERRNO(EPERM);
constexpr uint32_t kErrnoEnosys = SCMP_ACT_ERRNO(ENOSYS);
// futex_requeue, Linux 6.7: the newest call that was looked at.
constexpr uint32_t kNewestCall = 456;

// Refused with EPERM whatever the arguments are.
constexpr const char* kRefused[] = {
    // mounts and roots
    "mount", "umount2", "pivot_root", "chroot", "move_mount", "open_tree", "fsopen", "fsconfig",
    "fsmount", "fspick", "mount_setattr", "swapon", "swapoff", "quotactl", "quotactl_fd",
    // namespaces (clone: below)
    "setns", "unshare",
    // other processes
    "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "process_mrelease",
    "kcmp", "pidfd_getfd", "migrate_pages", "move_pages",
    // keyrings are shared between namespaces
    "keyctl", "add_key", "request_key",
    // programs in the kernel, and other large surfaces
    "bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter",
    "io_uring_register", "fanotify_init", "fanotify_mark", "lookup_dcookie", "memfd_secret",
    "modify_ldt", "remap_file_pages", "uselib", "nfsservctl", "vmsplice",
    // files without a path
    "open_by_handle_at", "name_to_handle_at",
    // the machine
    "kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module",
    "create_module", "reboot", "syslog", "acct", "settimeofday", "clock_settime", "clock_adjtime",
    "adjtimex", "sethostname", "setdomainname", "iopl", "ioperm", "vhangup", "_sysctl"};

constexpr uint64_t kNamespaceFlags[] = {CLONE_NEWUSER, CLONE_NEWNS,  CLONE_NEWPID,   CLONE_NEWNET,
                                        CLONE_NEWIPC,  CLONE_NEWUTS, CLONE_NEWCGROUP};

// Address families with no use in a box: all but AF_UNIX, AF_INET, AF_INET6 and AF_NETLINK.
constexpr uint64_t kRefusedFamilies[] = {3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15};

class Builder {
 public:
  Builder() : context_(seccomp_init(SCMP_ACT_ALLOW), seccomp_release) {
    if (context_ == nullptr) error_ = ENOMEM;
  }

  template <typename... Comparison>
  void Refuse(uint32_t action, const char* name, Comparison... comparisons) {
    if (error_ != 0) return;
    const int call = seccomp_syscall_resolve_name(name);
    if (call == __NR_SCMP_ERROR) return;  // unknown to this libseccomp: newer than kNewestCall
    const std::array<scmp_arg_cmp, sizeof...(comparisons)> list{comparisons...};
    const int result = seccomp_rule_add_array(context_.get(), action, call,
                                              static_cast<unsigned>(list.size()), list.data());
    // A call that this architecture does not have needs no rule.
    if (result != 0 && result != -EDOM) Fail(result, name);
  }
  void Attribute(scmp_filter_attr attribute, uint32_t value) {
    if (error_ == 0) Fail(seccomp_attr_set(context_.get(), attribute, value), "attribute");
  }
  Status status() const {
    return error_ == 0 ? OkStatus() : ErrnoStatus(error_, "seccomp filter: " + where_);
  }
  scmp_filter_ctx get() const { return context_.get(); }

 private:
  void Fail(int result, const char* where) {
    if (result == 0) return;
    error_ = -result;
    where_ = where;
  }
  std::unique_ptr<void, void (*)(scmp_filter_ctx)> context_;
  int error_ = 0;
  std::string where_;
};

scmp_arg_cmp Masked(unsigned argument, uint64_t mask, uint64_t value) {
  return scmp_arg_cmp{argument, SCMP_CMP_MASKED_EQ, mask, value};
}

void RefuseSockets(Builder* builder) {
  constexpr uint32_t kAction = SCMP_ACT_ERRNO(EAFNOSUPPORT);
  for (const char* name : {"socket", "socketpair"}) {
    for (const uint64_t family : kRefusedFamilies) {
      builder->Refuse(kAction, name, Masked(0, kInt, family));
    }
    // AF_NETLINK is 16; the rest is above, AF_VSOCK and AF_ALG too.
    builder->Refuse(kAction, name, scmp_arg_cmp{0, SCMP_CMP_GE, AF_NETLINK + 1, 0});
  }
  // Of netlink only NETLINK_ROUTE (getifaddrs); the others reach far into the kernel.
  builder->Refuse(SCMP_ACT_ERRNO(EPROTONOSUPPORT), "socket", Masked(0, kInt, AF_NETLINK),
                  scmp_arg_cmp{2, SCMP_CMP_NE, 0, 0});
}

// A box shares the inodes of its store with other boxes: a lock would be seen there.
void RefuseFileLocks(Builder* builder) {
  builder->Refuse(kErrnoEnosys, "flock");
  for (const uint64_t command :
       {uint64_t{F_SETLK}, uint64_t{F_SETLKW}, uint64_t{F_OFD_SETLK}, uint64_t{F_OFD_SETLKW},
        uint64_t{F_SETLEASE}, uint64_t{F_NOTIFY}}) {
    builder->Refuse(kErrnoEperm, "fcntl", Masked(1, kInt, command));
  }
}

Result<std::vector<sock_filter>> Export(const Builder& builder) {
  const UniqueFd fd(::memfd_create("seccomp", MFD_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, "memfd_create");
  const int result = seccomp_export_bpf(builder.get(), fd.get());
  if (result != 0) return ErrnoStatus(-result, "seccomp_export_bpf");
  const off_t size = ::lseek(fd.get(), 0, SEEK_END);
  std::vector<sock_filter> filter(static_cast<size_t>(size) / sizeof(sock_filter));
  if (::pread(fd.get(), filter.data(), static_cast<size_t>(size), 0) != size) {
    return ErrnoStatus(errno, "read the seccomp filter");
  }
  return filter;
}

}  // namespace

Result<std::vector<sock_filter>> CompileSeccompFilter(bool pinned) {
  Builder builder;
  builder.Attribute(SCMP_FLTATR_ACT_BADARCH, kErrnoEnosys);
  builder.Attribute(SCMP_FLTATR_CTL_OPTIMIZE, 2);  // a binary tree over the call's number
  for (const char* name : kRefused) builder.Refuse(kErrnoEperm, name);
  // ENOSYS, as on an old kernel: the C library then uses clone, whose flags can be looked at.
  builder.Refuse(kErrnoEnosys, "clone3");
  for (const uint64_t flag : kNamespaceFlags) {
    builder.Refuse(kErrnoEperm, "clone", Masked(0, flag, flag));
  }
  if (pinned) builder.Refuse(kErrnoEperm, "sched_setaffinity");
  RefuseSockets(&builder);
  RefuseFileLocks(&builder);
  for (const uint64_t request : {uint64_t{TIOCSTI}, uint64_t{TIOCLINUX}}) {
    builder.Refuse(kErrnoEperm, "ioctl", Masked(1, kInt, request));
  }
  ENVICUTOR_RETURN_IF_ERROR(builder.status());
  Result<std::vector<sock_filter>> compiled = Export(builder);
  if (!compiled.ok()) return compiled;

  // In front: calls that nobody has judged yet do not exist (x32 has bit 30 set, so it is among
  // them).
  std::vector<sock_filter> filter = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, kNewestCall, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
  };
  filter.insert(filter.end(), compiled->begin(), compiled->end());
  return filter;
}

}  // namespace envicutor::agent::native
