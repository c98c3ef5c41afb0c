#include "executor-agent/sandbox/box_files.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace envicutor::agent {
namespace {

constexpr uint64_t kResolve =
    RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;

Status FileStatus(int error, const std::string& path) {
  switch (error) {
    case ENOTDIR:
    case EISDIR:
    case ELOOP:
    case EXDEV:
    case ENXIO:
      return InvalidArgument("\"" + path + "\" is not a regular file in the box");
    default:
      return ErrnoStatus(error, "\"" + path + "\"");
  }
}

Result<UniqueFd> MakeParent(int folder, const std::string& name, unsigned uid) {
  Result<UniqueFd> existing = OpenBeneath(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (existing.ok() || existing.status().code() != Code::kNotFound) return existing;
  if (::mkdirat(folder, name.c_str(), 0755) != 0) return FileStatus(errno, name);
  Result<UniqueFd> made = OpenBeneath(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (made.ok() && ::fchown(made->get(), uid, uid) != 0) return FileStatus(errno, name);
  return made;
}

Status WriteAll(int fd, const std::string& content, const std::string& path) {
  size_t done = 0;
  while (done < content.size()) {
    const ssize_t wrote = ::write(fd, content.data() + done, content.size() - done);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return FileStatus(wrote == 0 ? EIO : errno, path);
    done += static_cast<size_t>(wrote);
  }
  return OkStatus();
}

}  // namespace

Result<UniqueFd> OpenBeneath(int folder, const std::string& path, int flags, unsigned mode) {
  open_how how{};
  how.flags = static_cast<uint64_t>(flags | O_CLOEXEC);
  how.mode = mode;
  how.resolve = kResolve;
  while (true) {
    UniqueFd fd(static_cast<int>(::syscall(SYS_openat2, folder, path.c_str(), &how, sizeof(how))));
    if (fd.valid()) return fd;
    if (errno == EAGAIN || errno == EINTR)
      continue;  // a rename elsewhere raced with RESOLVE_BENEATH
    return FileStatus(errno, path);
  }
}

Status WriteBoxFile(int box, const api::RunFile& file, unsigned uid) {
  ENVICUTOR_RETURN_IF_ERROR(api::CheckBoxPath(file.path));
  UniqueFd folder;
  int at = box;
  size_t start = 0;
  for (size_t slash; (slash = file.path.find('/', start)) != std::string::npos; start = slash + 1) {
    ENVICUTOR_ASSIGN(folder, MakeParent(at, file.path.substr(start, slash - start), uid));
    at = folder.get();
  }
  const std::string name = file.path.substr(start);
  const unsigned mode = file.executable ? 0755 : 0644;
  constexpr int kFlags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
  Result<UniqueFd> out = OpenBeneath(at, name, kFlags, mode);
  if (!out.ok() && out.status().code() == Code::kAlreadyExists) {
    if (::unlinkat(at, name.c_str(), 0) != 0) return FileStatus(errno, file.path);
    out = OpenBeneath(at, name, kFlags, mode);
  }
  if (!out.ok()) return out.status();
  if (::fchown(out->get(), uid, uid) != 0 || ::fchmod(out->get(), mode) != 0) {
    return FileStatus(errno, file.path);
  }
  return WriteAll(out->get(), file.content, file.path);
}

Result<api::OutputFile> ReadBoxFile(int box, const std::string& path, size_t max_bytes) {
  ENVICUTOR_RETURN_IF_ERROR(api::CheckBoxPath(path));
  // O_NONBLOCK: a fifo must not hold us.
  ENVICUTOR_ASSIGN(UniqueFd fd,
                   OpenBeneath(box, path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY));
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return FileStatus(errno, path);
  if (!S_ISREG(info.st_mode))
    return InvalidArgument("\"" + path + "\" is not a regular file in the box");
  api::OutputFile file;
  file.path = path;
  const size_t size = static_cast<size_t>(info.st_size);
  file.truncated = size > max_bytes;
  file.content.resize(std::min(size, max_bytes));
  size_t done = 0;
  while (done < file.content.size()) {
    const ssize_t got = ::read(fd.get(), file.content.data() + done, file.content.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return FileStatus(errno, path);
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  file.content.resize(done);
  return file;
}

}  // namespace envicutor::agent
