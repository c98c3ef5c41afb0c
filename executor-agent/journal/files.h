// The journal's files, in its folder.
#pragma once

#include <string>
#include <string_view>

#include "common/base/status.h"

namespace envicutor::agent::journal {

inline constexpr std::string_view kName = "journal";
inline constexpr std::string_view kNextName = "journal.next";  // what a compaction makes of it

[[nodiscard]] inline std::string PathIn(const std::string& dir, std::string_view name) {
  return dir + '/' + std::string(name);
}

[[nodiscard]] Status WriteAll(int file, std::string_view bytes);
// The bytes [begin, end) of `from` to where `to` stands.
[[nodiscard]] Status CopyBytes(int from, size_t begin, size_t end, int to);
// fsync of a folder: the names in it are on the disk.
[[nodiscard]] Status SyncFolder(const std::string& dir);

}  // namespace envicutor::agent::journal
