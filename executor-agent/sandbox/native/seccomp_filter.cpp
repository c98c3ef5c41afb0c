#include "executor-agent/sandbox/native/seccomp_filter.h"

#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <map>
#include <span>
#include <utility>

namespace envicutor::agent::native {
namespace {

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

// Of those, what isolate makes a box with. It needs clone3, clone's flags and flock, too.
constexpr const char* kForIsolate[] = {"mount",  "umount2", "pivot_root",
                                       "chroot", "setns",   "unshare"};

// Of those, what the spawner and the inits of boxes need; clone3, and sched_setaffinity where CPUs
// are dealt out, too. None has more than five arguments.
constexpr const char* kForSpawner[] = {"mount",   "umount2",   "pivot_root", "setns",
                                       "unshare", "open_tree", "move_mount"};

constexpr uint32_t kNamespaceFlags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET |
                                     CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;
// The others have no use in a box, AF_VSOCK and AF_ALG among them.
constexpr uint32_t kFamilies[] = {AF_UNIX, AF_INET, AF_INET6};
// A box shares the inodes of its store with other boxes: a lock would be seen there.
constexpr uint32_t kLocks[] = {F_SETLK, F_SETLKW, F_OFD_SETLK, F_OFD_SETLKW, F_SETLEASE, F_NOTIFY};

// A program for the kernel's classic BPF, written with labels. By hand: libseccomp's has twice the
// instructions and no way to compare without a branch.
class Assembler {
 public:
  using Label = size_t;
  static constexpr Label kNext = SIZE_MAX;

  [[nodiscard]] Label NewLabel() {
    places_.push_back(SIZE_MAX);
    return places_.size() - 1;
  }
  void Place(Label label) { places_[label] = lines_.size(); }
  void Load(size_t offset) { Do(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(offset)); }
  void LoadArgument(size_t index) {  // its low half: the kernel looks at no more of those here
    Load(offsetof(seccomp_data, args) + index * sizeof(uint64_t));
  }
  void Do(uint16_t code, uint32_t value = 0) { lines_.push_back({code, value, kNext, kNext}); }
  void Jump(uint16_t test, uint32_t value, Label yes, Label no = kNext) {
    lines_.push_back({static_cast<uint16_t>(BPF_JMP | BPF_K | test), value, yes, no});
  }
  void Return(Label label, uint32_t verdict) {
    Place(label);
    Do(BPF_RET | BPF_K, verdict);
  }

  [[nodiscard]] Result<std::vector<sock_filter>> Assemble() const {
    std::vector<sock_filter> filter;
    for (size_t at = 0; at < lines_.size(); ++at) {
      const Line& line = lines_[at];
      size_t offsets[2] = {};
      if (line.yes != kNext) offsets[0] = places_[line.yes] - at - 1;
      if (line.no != kNext) offsets[1] = places_[line.no] - at - 1;
      if (offsets[0] > UINT8_MAX || offsets[1] > UINT8_MAX)
        return Internal("seccomp filter: too long for its jumps");
      filter.push_back({line.code, static_cast<uint8_t>(offsets[0]),
                        static_cast<uint8_t>(offsets[1]), line.value});
    }
    return filter;
  }

 private:
  struct Line {
    uint16_t code;
    uint32_t value;
    Label yes;
    Label no;
  };
  std::vector<Line> lines_;
  std::vector<size_t> places_;
};

// Calls with neighbouring numbers and the same verdict.
struct Range {
  uint32_t first;
  uint32_t last;
  Assembler::Label verdict;
};

std::vector<Range> RangesOf(const std::map<uint32_t, Assembler::Label>& calls) {
  std::vector<Range> ranges;
  for (const auto& [number, verdict] : calls) {
    if (!ranges.empty() && ranges.back().last + 1 == number && ranges.back().verdict == verdict) {
      ranges.back().last = number;
    } else {
      ranges.push_back({number, number, verdict});
    }
  }
  return ranges;
}

// A binary search for the number that was loaded.
void Search(std::span<const Range> ranges, Assembler::Label otherwise, Assembler* out) {
  constexpr size_t kFew = 2;
  if (ranges.size() > kFew) {
    const size_t half = ranges.size() / 2;
    const Assembler::Label upper = out->NewLabel();
    out->Jump(BPF_JGE, ranges[half].first, upper);
    Search(ranges.first(half), otherwise, out);
    out->Place(upper);
    Search(ranges.subspan(half), otherwise, out);
    return;
  }
  for (size_t i = 0; i < ranges.size(); ++i) {
    const Assembler::Label no = i + 1 == ranges.size() ? otherwise : Assembler::kNext;
    if (ranges[i].first == ranges[i].last) {
      out->Jump(BPF_JEQ, ranges[i].first, ranges[i].verdict, no);
      continue;
    }
    const Assembler::Label inside = out->NewLabel();
    out->Jump(BPF_JGE, ranges[i].first, Assembler::kNext, otherwise);
    out->Jump(BPF_JGT, ranges[i].last, no == Assembler::kNext ? inside : no, ranges[i].verdict);
    out->Place(inside);
  }
}

// Allows a call whose sixth argument is `key`. Both halves are compared at once: how long a refusal
// takes says nothing about either.
void CheckKey(Assembler::Label label, uint64_t key, Assembler::Label allow, Assembler::Label refuse,
              Assembler* out) {
  constexpr size_t kArgument = offsetof(seccomp_data, args) + 5 * sizeof(uint64_t);
  out->Place(label);
  out->Load(kArgument);
  out->Do(BPF_ALU | BPF_XOR | BPF_K, static_cast<uint32_t>(key));
  out->Do(BPF_MISC | BPF_TAX);
  out->Load(kArgument + sizeof(uint32_t));
  out->Do(BPF_ALU | BPF_XOR | BPF_K, static_cast<uint32_t>(key >> 32U));
  out->Do(BPF_ALU | BPF_OR | BPF_X);
  out->Jump(BPF_JEQ, 0, allow, refuse);
}

}  // namespace

Result<std::vector<sock_filter>> CompileSeccompFilter(bool pinned, FilterFor whom, uint64_t key) {
  constexpr Assembler::Label kNext = Assembler::kNext;
  Assembler out;
  const Assembler::Label allow = out.NewLabel(), eperm = out.NewLabel(), enosys = out.NewLabel(),
                         family = out.NewLabel(), protocol = out.NewLabel(), clone = out.NewLabel(),
                         socket = out.NewLabel(), fcntl = out.NewLabel(), ioctl = out.NewLabel(),
                         keyed = out.NewLabel(), keyed_clone3 = out.NewLabel();
  const bool spawner = whom == FilterFor::kSpawner;
  std::map<uint32_t, Assembler::Label> calls;
  const auto judge = [&](const char* name, Assembler::Label verdict) {
    const int number = seccomp_syscall_resolve_name(name);
    // Below zero: this architecture does not have it, or it is newer than kNewestCall.
    if (number >= 0) calls[static_cast<uint32_t>(number)] = verdict;
  };
  for (const char* name : kRefused) judge(name, eperm);
  if (whom == FilterFor::kIsolate) {
    for (const char* name : kForIsolate) judge(name, allow);
  } else {
    // ENOSYS, as on an old kernel: the C library then uses clone, whose flags can be looked at.
    judge("clone3", spawner ? keyed_clone3 : enosys);
    judge("flock", enosys);
    judge("clone", clone);
  }
  if (spawner) {
    for (const char* name : kForSpawner) judge(name, keyed);
  }
  if (pinned) judge("sched_setaffinity", spawner ? keyed : eperm);
  for (const auto& [name, block] :
       {std::pair{"socket", socket}, {"socketpair", socket}, {"fcntl", fcntl}, {"ioctl", ioctl}}) {
    judge(name, block);
  }

  // Calls that nobody has judged yet do not exist (x32 has bit 30 set, so it is among them).
  out.Load(offsetof(seccomp_data, nr));
  out.Jump(BPF_JGT, kNewestCall, enosys);
  out.Load(offsetof(seccomp_data, arch));
  out.Jump(BPF_JEQ, seccomp_arch_native(), kNext, enosys);
  out.Load(offsetof(seccomp_data, nr));
  Search(RangesOf(calls), allow, &out);

  out.Place(clone);
  out.LoadArgument(0);
  out.Jump(BPF_JSET, kNamespaceFlags, eperm, allow);
  out.Place(fcntl);
  out.LoadArgument(1);
  for (const uint32_t command : kLocks)
    out.Jump(BPF_JEQ, command, eperm, command == kLocks[std::size(kLocks) - 1] ? allow : kNext);
  out.Place(ioctl);
  out.LoadArgument(1);
  out.Jump(BPF_JEQ, TIOCSTI, eperm);
  out.Jump(BPF_JEQ, TIOCLINUX, eperm, allow);
  out.Place(socket);
  out.LoadArgument(0);
  for (const uint32_t known : kFamilies) out.Jump(BPF_JEQ, known, allow);
  out.Jump(BPF_JEQ, AF_NETLINK, kNext, family);
  // Of netlink only NETLINK_ROUTE (getifaddrs); the others reach far into the kernel.
  out.LoadArgument(2);
  out.Jump(BPF_JEQ, NETLINK_ROUTE, allow, protocol);

  if (spawner) {
    CheckKey(keyed, key, allow, eperm, &out);
    CheckKey(keyed_clone3, key, allow, enosys, &out);
  }
  out.Return(allow, SECCOMP_RET_ALLOW);
  out.Return(eperm, SECCOMP_RET_ERRNO | EPERM);
  out.Return(enosys, SECCOMP_RET_ERRNO | ENOSYS);
  out.Return(family, SECCOMP_RET_ERRNO | EAFNOSUPPORT);
  out.Return(protocol, SECCOMP_RET_ERRNO | EPROTONOSUPPORT);
  return out.Assemble();
}

}  // namespace envicutor::agent::native
