// Calls that make boxes. The filter that the spawner and all that it starts are under (hub.cpp)
// lets them pass only with its key, as a sixth argument that none of them has.
#pragma once

#include <errno.h>
#include <sys/syscall.h>

#include "executor-agent/spawner/spawner.h"
#include "executor-agent/spawner/sys.h"

namespace envicutor::agent::native {

// The result, or -errno; sets no errno.
template <typename... Arguments>
[[nodiscard]] inline long Keyed(long number, Arguments... arguments) {
  static_assert(sizeof...(Arguments) <= 5, "the sixth is the key");
  const auto word = [](auto value) {
    return (long)value;  // a pointer or a number
  };
  const long words[5] = {word(arguments)...};
  return Sys(number, words[0], words[1], words[2], words[3], words[4],
             static_cast<long>(FilterKey()));
}

// As the C library has them: 0, or -1 and errno.
template <typename... Arguments>
[[nodiscard]] inline int KeyedCall(long number, Arguments... arguments) {
  const long result = Keyed(number, arguments...);
  if (result >= 0) return 0;
  errno = static_cast<int>(-result);
  return -1;
}
[[nodiscard]] inline int Mount(const char* source, const char* target, const char* type,
                               unsigned long flags, const void* data) {
  return KeyedCall(SYS_mount, source, target, type, flags, data);
}
[[nodiscard]] inline int Unshare(int flags) { return KeyedCall(SYS_unshare, flags); }
[[nodiscard]] inline int SetNs(int fd, int type) { return KeyedCall(SYS_setns, fd, type); }

}  // namespace envicutor::agent::native
