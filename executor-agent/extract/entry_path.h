// Which names an archive may have for what it unpacks. Pure.
#pragma once

#include <string>
#include <string_view>

namespace envicutor::extract {

// The entry's path below the current folder, without "./" and a trailing slash, in *path ("" is the
// folder itself). Otherwise why it is refused: "leaves the box", "is absolute", ...
[[nodiscard]] std::string CheckEntryPath(std::string_view entry, std::string* path);

// "" when a link at `path` (checked) to `target` stays below the current folder, else why not.
[[nodiscard]] std::string CheckLinkTarget(std::string_view path, std::string_view target);

}  // namespace envicutor::extract
