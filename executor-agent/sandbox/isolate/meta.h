// What isolate says of a run: its meta file ("key:value" lines) and its version. Pure; takes any
// bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"

namespace envicutor::agent::isolate {

struct Meta {
  std::optional<int> exit_code;    // absent when the run was killed
  std::optional<int> exit_signal;  // also the signal that interrupted isolate itself
  std::string status;              // "", "RE", "SG", "TO", "XX"
  std::string message;             // the first one: later ones are consequences
  bool killed = false;
  bool oom_killed = false;
  int64_t cpu_micros = -1;  // -1: not said
  int64_t wall_micros = -1;
  int64_t memory_bytes = -1;  // cg-mem; max-rss is the keeper's when killed, so it is not used
  std::vector<std::pair<std::string, std::string>> others;  // as they are, in order

  [[nodiscard]] bool wall_time_over() const {
    return status == "TO" && message.find("wall clock") != std::string::npos;
  }
};

inline constexpr size_t kMaxMetaBytes = 64U << 10U;

// Lines are split at the first colon only: a message may hold colons. InvalidArgument: a line
// without a colon, a known key whose value is no number in range, a NUL byte, too many bytes.
[[nodiscard]] Result<Meta> ParseMeta(std::string_view text);

// "The process isolator 2.6" is at least `major.minor`. False for anything else.
[[nodiscard]] bool VersionAtLeast(std::string_view output, int major, int minor);

}  // namespace envicutor::agent::isolate
