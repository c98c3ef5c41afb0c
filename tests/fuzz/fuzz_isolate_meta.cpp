// isolate's meta file: no crash; what is accepted is in range.
#include <string_view>

#include "executor-agent/sandbox/isolate/meta.h"
#include "tests/fuzz/target.h"

namespace isolate = envicutor::agent::isolate;

FUZZ_TARGET(fuzz_isolate_meta) {
  const std::string_view text = data;
  (void)isolate::VersionAtLeast(text, 2, 6);
  const auto meta = isolate::ParseMeta(text);
  if (!meta.ok()) return;
  CHECK(meta->exit_code.value_or(0) >= 0 && meta->exit_code.value_or(0) <= 255, "exit code");
  CHECK(meta->exit_signal.value_or(0) >= 0 && meta->exit_signal.value_or(0) <= 64, "signal");
  CHECK(meta->cpu_micros >= -1 && meta->wall_micros >= -1 && meta->memory_bytes >= -1, "negative");
}
