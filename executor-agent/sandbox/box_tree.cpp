// Copying and emptying whole folders of a box (box_files.h).
#include <dirent.h>
#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <array>
#include <cerrno>
#include <climits>
#include <memory>
#include <string_view>
#include <vector>

#include "executor-agent/sandbox/box_files.h"

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1
#endif

namespace envicutor::agent {
namespace {

using Dir = std::unique_ptr<DIR, int (*)(DIR*)>;

Dir OpenDir(int parent, const char* name) {
  const int fd = ::openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  DIR* dir = fd < 0 ? nullptr : ::fdopendir(fd);
  if (dir == nullptr && fd >= 0) ::close(fd);
  return {dir, ::closedir};
}

// The next name, or nullptr. "." and ".." are skipped.
const char* NextName(DIR* dir) {
  while (const dirent* entry = ::readdir(dir)) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") return entry->d_name;
  }
  return nullptr;
}

// One range of data to where `to` stands, copied once and in the kernel. (copy_file_range is not
// there between file systems.)
Status CopyRange(int from, int to, off_t start, off_t end) {
  while (start < end) {
    const ssize_t copied = ::sendfile(to, from, &start, static_cast<size_t>(end - start));
    if (copied < 0 && errno == EINTR) continue;
    if (copied < 0) return ErrnoStatus(errno, "copy a file of the box");
    if (copied == 0) return OkStatus();
  }
  return OkStatus();
}

Status CopyWithHoles(int from, int to, off_t size) {
  for (off_t at = 0; at < size;) {
    const off_t data = ::lseek(from, at, SEEK_DATA);
    if (data < 0) break;  // ENXIO: a hole up to the end
    const off_t hole = ::lseek(from, data, SEEK_HOLE);
    const off_t end = hole < 0 ? size : hole;
    if (::lseek(to, data, SEEK_SET) != data) {
      return ErrnoStatus(errno, "seek while copying the box");
    }
    ENVICUTOR_RETURN_IF_ERROR(CopyRange(from, to, data, end));
    at = end;
  }
  return ::ftruncate(to, size) == 0 ? OkStatus()
                                    : ErrnoStatus(errno, "size a file while copying the box");
}

Status CopyFile(int from_dir, int to_dir, const char* name, const struct stat& info, unsigned uid) {
  const UniqueFd from(::openat(from_dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!from.valid()) return ErrnoStatus(errno, "open while copying the box");
  const UniqueFd to(
      ::openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!to.valid()) return ErrnoStatus(errno, "create while copying the box");
  constexpr off_t kBlock = 512;  // of st_blocks
  if (info.st_blocks * kBlock >= info.st_size) {
    ENVICUTOR_RETURN_IF_ERROR(CopyRange(from.get(), to.get(), 0, info.st_size));
  } else {
    ENVICUTOR_RETURN_IF_ERROR(CopyWithHoles(from.get(), to.get(), info.st_size));
  }
  const std::array<timespec, 2> times{info.st_atim, info.st_mtim};
  if (::fchown(to.get(), uid, uid) != 0 || ::fchmod(to.get(), info.st_mode & 0777) != 0 ||
      ::futimens(to.get(), times.data()) != 0) {
    return ErrnoStatus(errno, "finish a file while copying the box");
  }
  return OkStatus();
}

Status CopyLink(int from_dir, int to_dir, const char* name, unsigned uid) {
  std::array<char, PATH_MAX> target;
  const ssize_t length = ::readlinkat(from_dir, name, target.data(), target.size() - 1);
  if (length < 0) return ErrnoStatus(errno, "readlink while copying the box");
  target[static_cast<size_t>(length)] = 0;
  if (::symlinkat(target.data(), to_dir, name) != 0 ||
      ::fchownat(to_dir, name, uid, uid, AT_SYMLINK_NOFOLLOW) != 0) {
    return ErrnoStatus(errno, "symlink while copying the box");
  }
  return OkStatus();
}

struct Level {
  Dir from;
  UniqueFd to;
};

}  // namespace

Status CopyTree(int from, int to, unsigned uid, const CopyBounds& bounds) {
  std::vector<Level> levels;
  levels.push_back(
      {OpenDir(from, "."), UniqueFd(::openat(to, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC))});
  int64_t entries = 0;
  while (!levels.empty()) {
    if (levels.back().from == nullptr || !levels.back().to.valid()) {
      return ErrnoStatus(errno, "open a folder while copying the box");
    }
    const char* name = NextName(levels.back().from.get());
    if (name == nullptr) {
      levels.pop_back();
      continue;
    }
    if (++entries > bounds.max_entries) {
      return ResourceExhausted("the box has more than " + std::to_string(bounds.max_entries) +
                               " files, too many to copy");
    }
    const int from_dir = ::dirfd(levels.back().from.get());
    const int to_dir = levels.back().to.get();
    struct stat info {};
    if (::fstatat(from_dir, name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
      return ErrnoStatus(errno, "stat while copying the box");
    }
    if (S_ISREG(info.st_mode)) {
      ENVICUTOR_RETURN_IF_ERROR(CopyFile(from_dir, to_dir, name, info, uid));
    } else if (S_ISLNK(info.st_mode)) {
      ENVICUTOR_RETURN_IF_ERROR(CopyLink(from_dir, to_dir, name, uid));
    } else if (S_ISDIR(info.st_mode)) {
      if (static_cast<int>(levels.size()) >= bounds.max_depth) {
        return ResourceExhausted("the box has more than " + std::to_string(bounds.max_depth) +
                                 " nested folders, too many to copy");
      }
      if (::mkdirat(to_dir, name, 0700) != 0 ||
          ::fchownat(to_dir, name, uid, uid, AT_SYMLINK_NOFOLLOW) != 0 ||
          ::fchmodat(to_dir, name, info.st_mode & 0777, 0) != 0) {
        return ErrnoStatus(errno, "mkdir while copying the box");
      }
      levels.push_back(
          {OpenDir(from_dir, name),
           UniqueFd(::openat(to_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC))});
    }
  }
  return OkStatus();
}

namespace {

bool IsFolder(int dir, const char* name) {
  struct stat info {};
  return ::fstatat(dir, name, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(info.st_mode);
}

// Moves `name`, a folder in `dir`, to `top` under a name that is free there.
Status MoveUp(int dir, const char* name, int top, uint64_t* next) {
  while (true) {
    const std::string free_name = "." + std::to_string((*next)++);
    if (::syscall(SYS_renameat2, dir, name, top, free_name.c_str(), RENAME_NOREPLACE) == 0) {
      return OkStatus();
    }
    if (errno != EEXIST) return ErrnoStatus(errno, "move a folder while emptying");
  }
}

// Empties the folder `name` of `top`, moving folders that are not empty up to `top`, then removes
// it. So every folder is moved at most once and no depth needs more descriptors than this.
Status Flatten(int top, const char* name, uint64_t* next) {
  const Dir dir = OpenDir(top, name);
  if (dir == nullptr) return ErrnoStatus(errno, "open a folder while emptying");
  const int fd = ::dirfd(dir.get());
  while (const char* entry = NextName(dir.get())) {
    if (!IsFolder(fd, entry)) {
      if (::unlinkat(fd, entry, 0) != 0) return ErrnoStatus(errno, "remove a file while emptying");
    } else if (::unlinkat(fd, entry, AT_REMOVEDIR) != 0) {
      ENVICUTOR_RETURN_IF_ERROR(MoveUp(fd, entry, top, next));
    }
  }
  if (::unlinkat(top, name, AT_REMOVEDIR) != 0) {
    // Entries that readdir missed because the folder changed under it: the next round takes them.
    return errno == ENOTEMPTY ? OkStatus() : ErrnoStatus(errno, "remove a folder while emptying");
  }
  return OkStatus();
}

}  // namespace

Status EmptyFolder(int folder) {
  uint64_t next = 0;
  while (true) {
    const Dir dir = OpenDir(folder, ".");
    if (dir == nullptr) return ErrnoStatus(errno, "open a folder to empty it");
    bool any = false;
    while (const char* name = NextName(dir.get())) {
      any = true;
      if (!IsFolder(folder, name)) {
        if (::unlinkat(folder, name, 0) != 0)
          return ErrnoStatus(errno, "remove a file while emptying");
      } else if (::unlinkat(folder, name, AT_REMOVEDIR) != 0) {
        ENVICUTOR_RETURN_IF_ERROR(Flatten(folder, name, &next));
      }
    }
    if (!any) return OkStatus();
  }
}

}  // namespace envicutor::agent
