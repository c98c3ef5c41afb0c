// The reading behind ParseJson (json.h), for who has to say more about what was
// refused.
#pragma once

#include <optional>
#include <string_view>

#include "common/base/json.h"

namespace envicutor {

// The value of `text` if it is well-formed JSON of at most `max_depth` nested
// arrays and objects; nothing where it is not, or where this reader leaves the
// decision to nlohmann's slower one, which is asked then and words the error.
// What it takes, nlohmann's takes with the same result.
// `*duplicates` tells whether a key comes twice in an object: the last one
// wins.
[[nodiscard]] std::optional<Json> TryParseJson(std::string_view text, int max_depth,
                                               bool* duplicates);

}  // namespace envicutor
