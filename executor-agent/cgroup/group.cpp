#include "executor-agent/cgroup/group.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <memory>
#include <thread>

namespace envicutor::cgroup {
namespace {

// How often an emptying group is looked at: cgroup.events also wakes the poll.
constexpr int kLookMillis = 5;

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  return text;
}

}  // namespace

int64_t FlatKeyed(std::string_view text, std::string_view key) {
  while (!text.empty()) {
    const size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.size() <= key.size() || !line.starts_with(key) || line[key.size()] != ' ') continue;
    line.remove_prefix(key.size() + 1);
    int64_t value = -1;
    const auto [end_of_number, error] =
        std::from_chars(line.data(), line.data() + line.size(), value);
    return error == std::errc() && end_of_number != line.data() ? value : -1;
  }
  return -1;
}

bool HasWord(std::string_view text, std::string_view word) {
  constexpr std::string_view kSpace = " \t\n";
  while (true) {
    const size_t start = text.find_first_not_of(kSpace);
    if (start == std::string_view::npos) return false;
    const size_t end = text.find_first_of(kSpace, start);
    if (text.substr(start, end - start) == word) return true;
    if (end == std::string_view::npos) return false;
    text.remove_prefix(end);
  }
}

Result<Group> Group::Open(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, "cannot open control group " + path);
  return Group(std::move(fd));
}

Result<Group> Group::MakeChild(const std::string& name) const {
  if (::mkdirat(fd(), name.c_str(), 0755) != 0) {
    return ErrnoStatus(errno, "cannot make control group " + name);
  }
  return OpenChild(name);
}

Result<Group> Group::OpenChild(const std::string& name) const {
  UniqueFd child(::openat(fd(), name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  if (!child.valid()) return ErrnoStatus(errno, "cannot open control group " + name);
  return Group(std::move(child));
}

Status Group::RemoveChild(const std::string& name) const {
  if (::unlinkat(fd(), name.c_str(), AT_REMOVEDIR) == 0) return OkStatus();
  if (errno == EBUSY) return Unavailable("control group " + name + " is busy");
  return ErrnoStatus(errno, "cannot remove control group " + name);
}

Result<std::vector<std::string>> Group::Children() const {
  const int copy = ::openat(fd(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (copy < 0) return ErrnoStatus(errno, "cannot list a control group");
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::fdopendir(copy), ::closedir);
  if (dir == nullptr) {
    ::close(copy);
    return ErrnoStatus(errno, "cannot list a control group");
  }
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(dir.get())) {
    const std::string_view name = entry->d_name;
    if (entry->d_type == DT_DIR && name != "." && name != "..") names.emplace_back(name);
  }
  return names;
}

Status Group::Write(const char* file, std::string_view value) const {
  const UniqueFd out(::openat(fd(), file, O_WRONLY | O_CLOEXEC));
  if (!out.valid()) return ErrnoStatus(errno, std::string("cannot open ") + file);
  if (::write(out.get(), value.data(), value.size()) != static_cast<ssize_t>(value.size())) {
    return ErrnoStatus(errno, std::string("cannot write ") + std::string(value) + " to " + file);
  }
  return OkStatus();
}

Result<std::string> Group::Read(const char* file) const {
  constexpr size_t kMaxBytes = 64U << 10U;
  const UniqueFd in(::openat(fd(), file, O_RDONLY | O_CLOEXEC));
  if (!in.valid()) return ErrnoStatus(errno, std::string("cannot open ") + file);
  std::string text;
  std::array<char, 4096> buffer;
  while (text.size() < kMaxBytes) {
    const ssize_t got = ::read(in.get(), buffer.data(), buffer.size());
    if (got < 0) return ErrnoStatus(errno, std::string("cannot read ") + file);
    if (got == 0) break;
    text.append(buffer.data(), static_cast<size_t>(got));
  }
  return text;
}

int64_t Group::ReadNumber(const char* file, int64_t fallback) const {
  const Result<std::string> text = Read(file);
  if (!text.ok()) return fallback;
  const std::string_view number = Trim(*text);
  int64_t value = 0;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value);
  return error == std::errc() && end == number.data() + number.size() && !number.empty() ? value
                                                                                         : fallback;
}

int64_t Group::ReadKey(const char* file, std::string_view key) const {
  const Result<std::string> text = Read(file);
  return text.ok() ? FlatKeyed(*text, key) : -1;
}

bool Group::Populated() const { return ReadKey(kEvents, "populated") == 1; }

Status Destroy(const Group& parent, const std::string& name, int timeout_millis) {
  const auto deadline =
      std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout_millis);
  Result<Group> group = parent.OpenChild(name);
  if (!group.ok()) return group.status().code() == Code::kNotFound ? OkStatus() : group.status();
  const Status killed = group->Kill();
  if (!killed.ok() && group->Populated()) return killed.WithContext("control group " + name);
  const UniqueFd events(::openat(group->fd(), kEvents, O_RDONLY | O_CLOEXEC));
  while (true) {
    // Read through the descriptor that is polled: only that arms its next notification.
    std::array<char, 256> text;
    const ssize_t got = ::pread(events.get(), text.data(), text.size(), 0);
    const bool populated =
        got > 0 && FlatKeyed({text.data(), static_cast<size_t>(got)}, "populated") == 1;
    if (!populated) {
      Result<std::vector<std::string>> children = group->Children();
      if (!children.ok()) return children.status();
      for (const std::string& child : *children) {
        ENVICUTOR_RETURN_IF_ERROR(Destroy(*group, child, timeout_millis));
      }
      Status removed = parent.RemoveChild(name);
      if (removed.ok() || removed.code() == Code::kNotFound) return OkStatus();
      // EBUSY lasts a little although cgroup.procs is empty: dying tasks still hold it.
      if (removed.code() != Code::kUnavailable) return removed;
    }
    if (std::chrono::steady_clock::now() >= deadline) {
      return {Code::kDeadlineExceeded, "control group " + name + " does not empty"};
    }
    pollfd wait{events.get(), POLLPRI, 0};
    ::poll(&wait, 1, kLookMillis);
  }
}

}  // namespace envicutor::cgroup
