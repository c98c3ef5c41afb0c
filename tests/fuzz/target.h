// What a fuzz target is: FUZZ_TARGET(fuzz_name) { ... } over `data`, any bytes. With clang each is
// a libFuzzer program; in every build fuzz_corpus_test runs all of them over tests/fuzz/corpus, so
// that what was found once is tested for ever.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "common/base/check.h"

namespace envicutor::fuzz {

using Target = void (*)(std::string_view data);

#ifdef ENVICUTOR_FUZZ_CORPUS_TEST
inline std::map<std::string, Target>& Targets() {
  static std::map<std::string, Target> targets;
  return targets;
}
inline bool Register(const char* name, Target target) {
  Targets()[name] = target;
  return true;
}
#endif

}  // namespace envicutor::fuzz

#ifdef ENVICUTOR_FUZZ_CORPUS_TEST
#define FUZZ_TARGET(name)                                                                        \
  static void name(std::string_view data);                                                       \
  [[maybe_unused]] static const bool name##_registered = envicutor::fuzz::Register(#name, name); \
  static void name(std::string_view data)
#else
#define FUZZ_TARGET(name)                                                    \
  static void name(std::string_view data);                                   \
  extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) { \
    name(std::string_view(reinterpret_cast<const char*>(bytes), size));      \
    return 0;                                                                \
  }                                                                          \
  static void name(std::string_view data)
#endif
