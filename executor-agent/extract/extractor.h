#pragma once

#include <string>

namespace envicutor::extract {

enum ExitCode : int {
  kDone = 0,
  kUnreadable = 1,  // not an archive, damaged, or encrypted
  kRefused = 2,     // an entry that has no place in a box
  kTooBig = 3,      // more than the box's limits
};

// Unpacks the archive on `fd` (seekable for zip) into the current folder. On failure *message is
// one sentence that names the entry; what was unpacked before it stays.
[[nodiscard]] ExitCode ExtractHere(int fd, std::string* message);

}  // namespace envicutor::extract
