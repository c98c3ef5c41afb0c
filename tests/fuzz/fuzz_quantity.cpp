// Quantities and durations: no crash, never negative, and what is printed reads back as the same
// number.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "common/api/limits.h"

namespace api = envicutor::api;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto value = api::ParseQuantity(text); value.ok()) {
    CHECK(*value >= 0, "negative");
    CHECK(*api::ParseQuantity(api::FormatQuantity(*value)) == *value, "another quantity");
  }
  if (const auto value = api::ParseDurationMillis(text); value.ok()) {
    CHECK(*value >= 0, "negative");
    CHECK(*api::ParseDurationMillis(api::FormatDurationMillis(*value)) == *value,
          "another duration");
  }
  return 0;
}
