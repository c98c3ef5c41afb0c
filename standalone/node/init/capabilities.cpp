#include "standalone/node/init/capabilities.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>

namespace envicutor::standalone {
namespace {

constexpr std::array kKept = {CAP_CHOWN,   CAP_DAC_OVERRIDE, CAP_FSETID,           CAP_FOWNER,
                              CAP_MKNOD,   CAP_NET_RAW,      CAP_SETGID,           CAP_SETUID,
                              CAP_SETFCAP, CAP_SETPCAP,      CAP_NET_BIND_SERVICE, CAP_SYS_CHROOT,
                              CAP_KILL,    CAP_AUDIT_WRITE};

}  // namespace

Status DropCapabilities() {
  uint64_t kept = 0;
  for (const int capability : kKept) kept |= 1ULL << static_cast<unsigned>(capability);
  for (int capability = 0; capability < 64; ++capability) {
    if ((kept >> static_cast<unsigned>(capability) & 1U) != 0) continue;
    // EINVAL: beyond the kernel's last one.
    if (::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0 && errno != EINVAL) {
      return ErrnoStatus(errno, "drop capability " + std::to_string(capability));
    }
  }
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> data{};
  for (size_t word = 0; word < data.size(); ++word) {
    const auto bits = static_cast<uint32_t>(kept >> (32U * word));
    data[word] = {.effective = bits, .permitted = bits, .inheritable = 0};
  }
  if (::syscall(SYS_capset, &header, data.data()) != 0) return ErrnoStatus(errno, "capset");
  return OkStatus();
}

}  // namespace envicutor::standalone
