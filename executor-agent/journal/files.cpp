#include "executor-agent/journal/files.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "common/base/unique_fd.h"

namespace envicutor::agent::journal {

Status WriteAll(int file, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(file, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus(errno, "write to the journal");
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return OkStatus();
}

Status CopyBytes(int from, size_t begin, size_t end, int to) {
  std::array<char, 65536> buffer;
  while (begin < end) {
    const size_t most = std::min(buffer.size(), end - begin);
    const ssize_t n = ::pread(from, buffer.data(), most, static_cast<off_t>(begin));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus(errno, "read the journal");
    if (n == 0) return Internal("the journal is shorter than what was written");
    ENVICUTOR_RETURN_IF_ERROR(WriteAll(to, {buffer.data(), static_cast<size_t>(n)}));
    begin += static_cast<size_t>(n);
  }
  return OkStatus();
}

Status SyncFolder(const std::string& dir) {
  const UniqueFd folder(::open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.valid() || ::fsync(folder.get()) != 0) return ErrnoStatus(errno, "fsync " + dir);
  return OkStatus();
}

}  // namespace envicutor::agent::journal
