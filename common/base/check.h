// CHECK: an invariant. It stays on in release builds and ends the process with the place and
// message; never for input, which gets a Status.
#pragma once

#include <string_view>

namespace envicutor {
[[noreturn]] void CheckFailed(const char* file, int line, const char* condition,
                              std::string_view message);
}  // namespace envicutor

#define CHECK(condition, message)                                        \
  do {                                                                   \
    if (!(condition)) [[unlikely]] {                                     \
      ::envicutor::CheckFailed(__FILE__, __LINE__, #condition, message); \
    }                                                                    \
  } while (false)
