#include "executor-agent/sandbox/shared.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include <array>
#include <cerrno>
#include <climits>
#include <ctime>

#include "common/base/encoding.h"
#include "common/base/file.h"
#include "executor-agent/sandbox/box_files.h"

namespace envicutor::agent {
namespace {

// How long a predecessor that is just dying may hold the state folder.
constexpr int kLockTries = 50;
constexpr int kLockPauseMillis = 100;

}  // namespace

Result<UniqueFd> LockStateDir(const std::string& dir) {
  ENVICUTOR_RETURN_IF_ERROR(MakeDirs(dir, 0700));
  const std::string path = dir + "/lock";
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd.valid()) return ErrnoStatus(errno, "open " + path);
  for (int attempt = 0; ::flock(fd.get(), LOCK_EX | LOCK_NB) != 0; ++attempt) {
    if (errno != EWOULDBLOCK) return ErrnoStatus(errno, "lock " + path);
    if (attempt == kLockTries) {
      return FailedPrecondition("another process uses the sandbox state folder " + dir);
    }
    const timespec pause{0, kLockPauseMillis * 1'000'000L};
    ::nanosleep(&pause, nullptr);
  }
  return fd;
}

std::string GroupId(const std::string& folder) {
  struct stat info {};
  std::string text = folder;
  if (::stat(folder.c_str(), &info) == 0) {
    text += ":" + std::to_string(info.st_dev) + ":" + std::to_string(info.st_ino);
  }
  return Sha256Hex(text).substr(0, 12);
}

std::string BesideOwnBinary(const std::string& name) {
  std::array<char, PATH_MAX> path{};
  const ssize_t length = ::readlink("/proc/self/exe", path.data(), path.size() - 1);
  const std::string self(path.data(), length > 0 ? static_cast<size_t>(length) : 0);
  return self.substr(0, self.rfind('/') + 1) + name;
}

std::string BoxPasswd(unsigned first, unsigned count) {
  std::string text = "root:x:0:0:root:/:/bin/sh\n";
  for (unsigned uid = first; uid < first + count; ++uid) {
    const std::string id = std::to_string(uid);
    text += "box:x:" + id + ":" + id + ":box:/tmp:/bin/sh\n";
  }
  return text;
}

std::string BoxGroups(unsigned first, unsigned count) {
  std::string text = "root:x:0:\n";
  for (unsigned gid = first; gid < first + count; ++gid)
    text += "box:x:" + std::to_string(gid) + ":\n";
  return text;
}

Result<UniqueFd> OpenFolder(int top, const char* name) {
  UniqueFd fd(::openat(top, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, std::string("open the box's ") + name);
  return fd;
}

Status EmptyScratch(int top) {
  for (const char* name : {"tmp", "shm"}) {
    ENVICUTOR_ASSIGN(const UniqueFd folder, OpenFolder(top, name));
    ENVICUTOR_RETURN_IF_ERROR(EmptyFolder(folder.get()));
    if (::fchmod(folder.get(), 01777) != 0) return ErrnoStatus(errno, "chmod in the box");
  }
  return OkStatus();
}

int64_t UsedBytes(int top) {
  struct statfs info {};
  if (::fstatfs(top, &info) != 0) return -1;
  return static_cast<int64_t>(info.f_blocks - info.f_bfree) * info.f_bsize;
}

Result<UniqueFd> MemoryFile(const std::string& content) {
  UniqueFd fd(::memfd_create("archive", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd.valid()) return ErrnoStatus(errno, "memfd_create");
  size_t done = 0;
  while (done < content.size()) {
    const ssize_t wrote = ::write(fd.get(), content.data() + done, content.size() - done);
    if (wrote <= 0) return ErrnoStatus(errno, "write the archive");
    done += static_cast<size_t>(wrote);
  }
  if (::lseek(fd.get(), 0, SEEK_SET) != 0 ||
      ::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) !=
          0) {
    return ErrnoStatus(errno, "seal the archive");
  }
  return fd;
}

}  // namespace envicutor::agent
