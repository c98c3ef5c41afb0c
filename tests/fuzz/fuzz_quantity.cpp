// Quantities and durations: no crash, never negative, and what is printed reads back as the same
// number.
#include <string_view>

#include "common/api/limits.h"
#include "tests/fuzz/target.h"

namespace api = envicutor::api;

FUZZ_TARGET(fuzz_quantity) {
  const std::string_view text = data;
  if (const auto value = api::ParseQuantity(text); value.ok()) {
    CHECK(*value >= 0, "negative");
    CHECK(*api::ParseQuantity(api::FormatQuantity(*value)) == *value, "another quantity");
  }
  if (const auto value = api::ParseDurationMillis(text); value.ok()) {
    CHECK(*value >= 0, "negative");
    CHECK(*api::ParseDurationMillis(api::FormatDurationMillis(*value)) == *value,
          "another duration");
  }
}
