#include "executor-agent/extract/extractor.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include "common/base/unique_fd.h"
#include "executor-agent/extract/entry_path.h"

namespace envicutor::extract {
namespace {

constexpr size_t kBlock = 64U << 10U;
constexpr int kMaxEntries = 100'000;

class Extraction {
 public:
  ExitCode Run(int fd, std::string* message) {
    archive* reader = reader_.get();
    archive_read_support_filter_gzip(reader);
    archive_read_support_format_tar(reader);
    archive_read_support_format_zip_seekable(reader);
    if (archive_read_open_fd(reader, fd, kBlock) != ARCHIVE_OK) {
      *message = "the archive is neither a .zip nor a .tar.gz";
      return kUnreadable;
    }
    ExitCode code = kDone;
    for (int count = 0; code == kDone; ++count) {
      archive_entry* entry = nullptr;
      const int result = archive_read_next_header(reader, &entry);
      if (result == ARCHIVE_EOF) break;
      if (result == ARCHIVE_FATAL || result == ARCHIVE_FAILED || result == ARCHIVE_RETRY) {
        code = Fail(kUnreadable,
                    count == 0 ? "the archive is neither a .zip nor a .tar.gz, or it is damaged"
                               : std::string("the archive is damaged: ") + Reason());
      } else if (count == kMaxEntries) {
        code =
            Fail(kTooBig, "the archive has more than " + std::to_string(kMaxEntries) + " entries");
      } else {
        code = One(entry);
      }
    }
    *message = message_;
    return code;
  }

 private:
  ExitCode Fail(ExitCode code, std::string message) {
    message_ = std::move(message);
    return code;
  }
  const char* Reason() {
    const char* text = archive_error_string(reader_.get());
    return text == nullptr ? "unknown error" : text;
  }
  std::string Quoted() const { return "\"" + name_ + "\""; }

  // What a failed system call means for the user.
  ExitCode FailErrno(int error) {
    switch (error) {
      case ENOSPC:
      case EDQUOT:
        return Fail(kTooBig, Quoted() + " does not fit: the box is full (maxDisk)");
      case EFBIG:
        return Fail(kTooBig, Quoted() + " is larger than maxFileSize");
      case ENOTDIR:
      case ELOOP:
      case EXDEV:
      case EISDIR:
      case EEXIST:
      case ENOTEMPTY:
        return Fail(kRefused, Quoted() + " is in the way of another entry, or behind a link");
      default:
        return Fail(kUnreadable, Quoted() + ": " + std::strerror(error));
    }
  }

  ExitCode One(archive_entry* entry) {
    const char* name = archive_entry_pathname(entry);
    name_ = name == nullptr ? "" : name;
    std::string path;
    const std::string why = CheckEntryPath(name_, &path);
    if (!why.empty()) return Fail(kRefused, "entry " + Quoted() + " " + why);

    UniqueFd folder;
    const size_t slash = path.rfind('/');
    if (slash != std::string::npos && !MakeFolders(path.substr(0, slash), &folder)) {
      return FailErrno(errno);
    }
    const int at = folder.valid() ? folder.get() : AT_FDCWD;
    const std::string last = slash == std::string::npos ? path : path.substr(slash + 1);
    if (const char* target = archive_entry_hardlink(entry)) return HardLink(target, at, last);
    switch (archive_entry_filetype(entry)) {
      case AE_IFDIR:
        if (path.empty()) return kDone;
        return MakeFolders(path, &folder) ? kDone : FailErrno(errno);
      case AE_IFREG:
        return path.empty() ? Fail(kRefused, "an entry has no name") : File(entry, at, last);
      case AE_IFLNK:
        return SymbolicLink(archive_entry_symlink(entry), path, at, last);
      default:
        return Fail(kRefused, "entry " + Quoted() + " is neither a file, a folder nor a link");
    }
  }

  // Every part is opened without following links: nothing is written through one that an entry
  // planted.
  static int OpenFolder(int at, const char* name) {
    open_how how{};
    how.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
    return static_cast<int>(::syscall(SYS_openat2, at, name, &how, sizeof(how)));
  }

  static bool MakeFolders(const std::string& path, UniqueFd* folder) {
    UniqueFd current;
    size_t start = 0;
    while (start <= path.size()) {
      const size_t end = std::min(path.find('/', start), path.size());
      const std::string part = path.substr(start, end - start);
      const int at = current.valid() ? current.get() : AT_FDCWD;
      if (::mkdirat(at, part.c_str(), 0755) != 0 && errno != EEXIST) return false;
      UniqueFd next(OpenFolder(at, part.c_str()));
      if (!next.valid()) return false;
      current = std::move(next);
      start = end + 1;
    }
    *folder = std::move(current);
    return true;
  }

  ExitCode HardLink(const char* target, int at, const std::string& last) {
    std::string source;
    const std::string why = CheckEntryPath(target, &source);
    if (!why.empty() || source.empty())
      return Fail(kRefused, "entry " + Quoted() + " links outside the box");
    const size_t slash = source.rfind('/');
    UniqueFd folder;
    if (slash != std::string::npos) {
      folder = UniqueFd(OpenFolder(AT_FDCWD, source.substr(0, slash).c_str()));
      if (!folder.valid()) return FailErrno(errno);
    }
    const std::string name = slash == std::string::npos ? source : source.substr(slash + 1);
    const int from = folder.valid() ? folder.get() : AT_FDCWD;
    struct stat info {};
    if (::fstatat(from, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) return FailErrno(errno);
    if (!S_ISREG(info.st_mode))
      return Fail(kRefused, "entry " + Quoted() + " links to what is no file");
    (void)::unlinkat(at, last.c_str(), 0);
    return ::linkat(from, name.c_str(), at, last.c_str(), 0) == 0 ? kDone : FailErrno(errno);
  }

  ExitCode SymbolicLink(const char* target, const std::string& path, int at,
                        const std::string& last) {
    const std::string why = CheckLinkTarget(path, target == nullptr ? "" : target);
    if (!why.empty()) return Fail(kRefused, "entry " + Quoted() + " " + why);
    (void)::unlinkat(at, last.c_str(), 0);
    return ::symlinkat(target, at, last.c_str()) == 0 ? kDone : FailErrno(errno);
  }

  ExitCode File(archive_entry* entry, int at, const std::string& last) {
    if (::unlinkat(at, last.c_str(), 0) != 0 && errno != ENOENT) return FailErrno(errno);
    const mode_t mode = (archive_entry_perm(entry) & 0111) != 0 ? 0755 : 0644;
    const UniqueFd out(
        ::openat(at, last.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode));
    if (!out.valid()) return FailErrno(errno);
    la_int64_t end = 0;
    while (true) {
      const void* data = nullptr;
      size_t size = 0;
      la_int64_t offset = 0;
      const int result = archive_read_data_block(reader_.get(), &data, &size, &offset);
      if (result == ARCHIVE_EOF) break;
      if (result != ARCHIVE_OK && result != ARCHIVE_WARN) {
        return Fail(kUnreadable, Quoted() + " cannot be unpacked: " + Reason());
      }
      const char* at_byte = static_cast<const char*>(data);
      while (size > 0) {
        const ssize_t wrote = ::pwrite(out.get(), at_byte, size, offset);
        if (wrote <= 0) return FailErrno(errno);
        at_byte += wrote;
        offset += wrote;
        size -= static_cast<size_t>(wrote);
      }
      end = std::max(end, offset);
    }
    // A sparse file may end with a hole.
    if (archive_entry_size_is_set(entry) && archive_entry_size(entry) > end &&
        ::ftruncate(out.get(), archive_entry_size(entry)) != 0) {
      return FailErrno(errno);
    }
    if (archive_entry_mtime_is_set(entry)) {
      const timespec time{archive_entry_mtime(entry), archive_entry_mtime_nsec(entry)};
      const timespec times[2] = {time, time};
      (void)::futimens(out.get(), times);  // a time out of range is no reason to refuse a project
    }
    return kDone;
  }

  const std::unique_ptr<archive, int (*)(archive*)> reader_{archive_read_new(), archive_read_free};
  std::string name_;
  std::string message_;
};

}  // namespace

ExitCode ExtractHere(int fd, std::string* message) { return Extraction().Run(fd, message); }

}  // namespace envicutor::extract
