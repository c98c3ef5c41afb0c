// The files of a box, from outside and with privilege: only by directory descriptor, never through
// a link, never across a mount, because a program may have planted anything. No process of the box
// runs meanwhile.
#pragma once

#include <cstdint>
#include <string>

#include "common/api/run.h"
#include "common/base/status.h"
#include "common/base/unique_fd.h"

namespace envicutor::agent {

// openat2 below `folder` with RESOLVE_BENEATH|NO_SYMLINKS|NO_MAGICLINKS|NO_XDEV. `flags` get
// O_CLOEXEC.
[[nodiscard]] Result<UniqueFd> OpenBeneath(int folder, const std::string& path, int flags,
                                           unsigned mode = 0);

// Makes parents, replaces what is there (not a folder), gives all of it to `uid`. ResourceExhausted
// when the box is full, InvalidArgument when the path does not fit what is there.
[[nodiscard]] Status WriteBoxFile(int box, const api::RunFile& file, unsigned uid);

// At most max_bytes of a regular file. NotFound; InvalidArgument when it is something else or
// behind a link.
[[nodiscard]] Result<api::OutputFile> ReadBoxFile(int box, const std::string& path,
                                                  size_t max_bytes);

struct CopyBounds {
  int max_depth = 128;  // nested folders: each costs two descriptors while copying
  int64_t max_entries = 200'000;
};
// Regular files (holes stay holes), folders and links (never followed) with their modes and times,
// owned by `uid` in the copy. Fifos, sockets and devices are left out; hard links become files of
// their own.
[[nodiscard]] Status CopyTree(int from, int to, unsigned uid, const CopyBounds& bounds = {});

// Removes everything below `folder`, however deep, with a constant number of descriptors.
[[nodiscard]] Status EmptyFolder(int folder);

}  // namespace envicutor::agent
