// isolate's meta file: no crash; what is accepted is in range.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "common/base/check.h"
#include "executor-agent/sandbox/isolate/meta.h"

namespace isolate = envicutor::agent::isolate;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)isolate::VersionAtLeast(text, 2, 6);
  const auto meta = isolate::ParseMeta(text);
  if (!meta.ok()) return 0;
  CHECK(meta->exit_code.value_or(0) >= 0 && meta->exit_code.value_or(0) <= 255, "exit code");
  CHECK(meta->exit_signal.value_or(0) >= 0 && meta->exit_signal.value_or(0) <= 64, "signal");
  CHECK(meta->cpu_micros >= -1 && meta->wall_micros >= -1 && meta->memory_bytes >= -1, "negative");
  return 0;
}
