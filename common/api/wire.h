// Bounded reads and writes that the wire codecs of this room share. Errors name the field.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "common/base/json.h"
#include "common/base/status.h"

namespace envicutor::api::wire {

inline constexpr size_t kMaxTextBytes = 16U << 10U;  // sentences for people

// Absent or null leaves `*out`. InvalidArgument when out of range or of another type.
[[nodiscard]] Status ReadBoundedInt(const Json& object, std::string_view key, int64_t min,
                                    int64_t max, int64_t* out);
[[nodiscard]] Status ReadBoundedString(const Json& object, std::string_view key, size_t max_bytes,
                                       std::string* out);

// Raw bytes: as text where they are UTF-8, else base64 with the `encoding` member saying so.
void PutBytes(Json& object, std::string_view key, std::string_view encoding_key,
              std::string_view bytes);
[[nodiscard]] Status ReadBytes(const Json& object, std::string_view key,
                               std::string_view encoding_key, std::string* out);

// Calls `read` for each element of an optional array of at most `max_items`; its errors get
// "key[i]: " in front.
[[nodiscard]] Status ReadArray(const Json& object, std::string_view key, size_t max_items,
                               const std::function<Status(const Json&)>& read);
// Calls `read` with an optional object; its errors get "key: " in front.
[[nodiscard]] Status ReadObject(const Json& object, std::string_view key,
                                const std::function<Status(const Json&)>& read);

}  // namespace envicutor::api::wire
