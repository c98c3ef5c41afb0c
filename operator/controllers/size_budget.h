// Keeps a finished Submission small enough for etcd: outputs are cut, largest first, and say so.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/api/run.h"
#include "common/base/json.h"

namespace envicutor::op {

// A whole object should stay below this (etcd's own bound is 1.5 MiB) …
inline constexpr size_t kObjectBudgetBytes = 1U << 20U;
// … but a result always gets this much, however large the spec is.
inline constexpr size_t kLeastResultBytes = 256U << 10U;

// One output of a result. `truncated` is set when it is cut.
struct OutputSlot {
  std::string* data = nullptr;
  bool* truncated = nullptr;
};

[[nodiscard]] std::vector<OutputSlot> OutputsOf(api::RunResult* result);
[[nodiscard]] std::vector<OutputSlot> OutputsOf(api::StageResult* stage);

// Bytes of `data` as kube-apiserver stores it: base64 when it is not UTF-8, else a JSON string in
// which Go escapes <, > and & too.
[[nodiscard]] size_t StoredSize(std::string_view data);
// The same for a whole object.
[[nodiscard]] size_t StoredObjectSize(const Json& object);

// Cuts so that all outputs together take at most `budget` stored bytes: one common length is sought
// that fits, shorter outputs stay whole. Never inside a UTF-8 character.
void FitOutputs(const std::vector<OutputSlot>& outputs, size_t budget);

}  // namespace envicutor::op
