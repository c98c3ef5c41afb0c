// Single members of a JSON object, read from its text. Most of what an API server sends is not
// looked at (an answer to our own write, who owns which field), and a tree of it costs ten times
// what walking over its text does. Functions without state: thread-safe.
#pragma once

#include <array>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

namespace envicutor::kube {

// Names of members from the outermost object inwards, at most four: {"metadata", "uid"}.
struct TextPath {
  static constexpr size_t kMaxDepth = 4;
  constexpr TextPath(std::initializer_list<std::string_view> path) {
    for (const std::string_view name : path) names.at(depth++) = name;
  }
  std::array<std::string_view, kMaxDepth> names;
  size_t depth = 0;
};

// values[i]: the text of the value at paths[i] as it stands there, a string with its quotes; empty
// where there is none. Of a name that comes twice the last one counts, as for ParseJson. At most 32
// paths. False: the text is no object, or not one of which that can be said for sure (an escape in
// a name, an end that is missing); ParseJson has the last word then. Values that were not asked for
// are walked over, not checked.
[[nodiscard]] bool FindMembers(std::string_view text, std::span<const TextPath> paths,
                               std::span<std::string_view> values);

// What a string's text stands for; "" for other values.
[[nodiscard]] std::string TextString(std::string_view value);

// Of the object whose text this is; "" when it has none.
[[nodiscard]] std::string ResourceVersionInText(std::string_view object);

}  // namespace envicutor::kube
