#include "executor-agent/store/view.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>

#include "common/base/encoding.h"
#include "common/base/file.h"
#include "common/base/unique_fd.h"

namespace envicutor::agent {
namespace {

// Deeper than any file tree that Nix itself would keep; bounds the recursion.
constexpr int kMaxDepth = 256;

using DirHandle = std::unique_ptr<DIR, int (*)(DIR*)>;

UniqueFd OpenDir(int parent, const char* name) {
  return UniqueFd(::openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

DirHandle List(int directory) {
  // fdopendir takes the descriptor: it gets one of its own.
  const int fd = ::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* const handle = fd < 0 ? nullptr : ::fdopendir(fd);
  if (handle == nullptr && fd >= 0) ::close(fd);
  return {handle, ::closedir};
}

bool IsDots(const char* name) {
  const std::string_view view(name);
  return view == "." || view == "..";
}

Status CopyFile(int from, int to, const char* name, const struct stat& info) {
  const UniqueFd in(::openat(from, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!in.valid()) return ErrnoStatus(errno, name);
  const UniqueFd out(
      ::openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, info.st_mode & 07777U));
  if (!out.valid()) return ErrnoStatus(errno, name);
  while (true) {
    const ssize_t count = ::sendfile(out.get(), in.get(), nullptr, 1U << 30U);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return ErrnoStatus(errno, name);
    if (count == 0) return OkStatus();
  }
}

Status LinkTree(int from, int to, const char* name, int depth) {
  struct stat info {};
  if (::fstatat(from, name, &info, AT_SYMLINK_NOFOLLOW) != 0) return ErrnoStatus(errno, name);
  if (!S_ISDIR(info.st_mode)) {
    // Links are linked, not followed. A file with too many links (Nix's own optimisation) is
    // copied.
    if (::linkat(from, name, to, name, 0) == 0) return OkStatus();
    if (errno == EMLINK && S_ISREG(info.st_mode)) return CopyFile(from, to, name, info);
    return ErrnoStatus(errno, name);
  }
  if (depth >= kMaxDepth) return ResourceExhausted("a store path has folders more than 256 deep");
  if (::mkdirat(to, name, 0755) != 0) return ErrnoStatus(errno, name);
  const UniqueFd source = OpenDir(from, name);
  const UniqueFd target = OpenDir(to, name);
  if (!source.valid() || !target.valid()) return ErrnoStatus(errno, name);
  const DirHandle entries = List(source.get());
  if (!entries) return ErrnoStatus(errno, name);
  while (const dirent* entry = ::readdir(entries.get())) {
    if (IsDots(entry->d_name)) continue;
    ENVICUTOR_RETURN_IF_ERROR(LinkTree(source.get(), target.get(), entry->d_name, depth + 1));
  }
  if (::fchmod(target.get(), 0555) != 0) return ErrnoStatus(errno, name);
  return OkStatus();
}

Status RemoveAt(int parent, const char* name, int depth) {
  if (::unlinkat(parent, name, 0) == 0 || errno == ENOENT) return OkStatus();
  if (errno != EISDIR && errno != EPERM) return ErrnoStatus(errno, name);
  if (depth >= kMaxDepth) return ResourceExhausted("folders more than 256 deep");
  {
    const UniqueFd directory = OpenDir(parent, name);
    if (!directory.valid()) return ErrnoStatus(errno, name);
    if (::fchmod(directory.get(), 0700) != 0) return ErrnoStatus(errno, name);
    const DirHandle entries = List(directory.get());
    if (!entries) return ErrnoStatus(errno, name);
    while (const dirent* entry = ::readdir(entries.get())) {
      if (IsDots(entry->d_name)) continue;
      ENVICUTOR_RETURN_IF_ERROR(RemoveAt(directory.get(), entry->d_name, depth + 1));
    }
  }
  if (::unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT) return OkStatus();
  return ErrnoStatus(errno, name);
}

}  // namespace

Status RemoveTree(const std::string& path) {
  return RemoveAt(AT_FDCWD, path.c_str(), 0).WithContext("removing " + path);
}

Status MakeView(const StoreLayout& layout, const std::string& hash,
                const std::vector<std::string>& closure) {
  const std::string unfinished = layout.ViewsDir() + "/.new-" + hash;
  ENVICUTOR_RETURN_IF_ERROR(RemoveTree(unfinished));
  ENVICUTOR_RETURN_IF_ERROR(RemoveTree(layout.ViewDir(hash)));
  ENVICUTOR_RETURN_IF_ERROR(MakeDirs(unfinished));
  const std::string store = layout.RealPath("/nix/store");
  const UniqueFd from(::open(store.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!from.valid()) return ErrnoStatus(errno, store);
  const UniqueFd to(::open(unfinished.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!to.valid()) return ErrnoStatus(errno, unfinished);
  for (const std::string& path : closure) {
    ENVICUTOR_RETURN_IF_ERROR(CheckStorePath(path));
    const std::string base = path.substr(kStorePrefix.size());
    if (const Status status = LinkTree(from.get(), to.get(), base.c_str(), 0); !status.ok()) {
      return status.WithContext("linking " + path);
    }
  }
  if (::fchmod(to.get(), 0555) != 0) return ErrnoStatus(errno, unfinished);
  if (::rename(unfinished.c_str(), layout.ViewDir(hash).c_str()) != 0) {
    return ErrnoStatus(errno, layout.ViewDir(hash));
  }
  return OkStatus();
}

}  // namespace envicutor::agent
