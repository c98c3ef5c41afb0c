#include "standalone/node/log_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <vector>

#include "common/base/file.h"

namespace envicutor::standalone {
namespace {

constexpr size_t kMaxLine = 16U << 10U;
constexpr size_t kMaxAnswer = 16U << 20U;

// "2026-01-01T00:00:00.123456789Z", as the kubelet writes it.
std::string Stamp(WallTime time) {
  const std::string micro = FormatRfc3339Micro(time);
  const auto nanos = time.time_since_epoch().count() % 1000;
  std::string digits = std::to_string(nanos < 0 ? 0 : nanos);
  digits.insert(0, 3 - digits.size(), '0');
  return micro.substr(0, micro.size() - 1) + digits + "Z";
}

// Lines without their times; those without one (there are none of ours) stay whole.
std::string StripStamps(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size() - 1);
    std::string_view line = text.substr(0, end + 1);
    text.remove_prefix(end + 1);
    const size_t space = line.find(' ');
    if (space != std::string_view::npos) line.remove_prefix(space + 1);
    out += line;
  }
  return out;
}

void DropOlderThan(WallTime since, std::string* text) {
  size_t at = 0;
  while (at < text->size()) {
    const size_t space = text->find(' ', at);
    if (space == std::string::npos) break;
    const auto time = ParseRfc3339(std::string_view(*text).substr(at, space - at));
    if (time.ok() && *time >= since) break;
    const size_t end = text->find('\n', at);
    at = end == std::string::npos ? text->size() : end + 1;
  }
  text->erase(0, at);
}

void KeepTail(int64_t lines, std::string* text) {
  if (lines <= 0) {
    text->clear();
    return;
  }
  size_t at = text->size();
  if (at > 0 && (*text)[at - 1] == '\n') --at;
  for (int64_t left = lines; left > 0; --left) {
    const size_t found = at == 0 ? std::string::npos : text->rfind('\n', at - 1);
    if (found == std::string::npos) return;
    at = found;
  }
  text->erase(0, at + 1);
}

}  // namespace

LogWriter::LogWriter(std::string path, const Clock& clock, bool timestamps, int64_t max_bytes)
    : path_(std::move(path)), clock_(clock), timestamps_(timestamps), max_bytes_(max_bytes) {
  fd_ = UniqueFd(::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640));
  struct stat info {};
  if (fd_.valid() && ::fstat(fd_.get(), &info) == 0) size_ = info.st_size;
}

void LogWriter::Write(std::string_view bytes) {
  while (!bytes.empty()) {
    const size_t end = bytes.find('\n');
    partial_ += bytes.substr(0, end);
    if (end == std::string_view::npos) {
      if (partial_.size() > kMaxLine) Flush();
      break;
    }
    AddLine(partial_);
    partial_.clear();
    bytes.remove_prefix(end + 1);
  }
  WriteOut();
}

void LogWriter::Flush() {
  if (partial_.empty()) return;
  AddLine(partial_);
  partial_.clear();
  WriteOut();
}

void LogWriter::AddLine(std::string_view line) {
  const size_t start = entries_.size();
  if (timestamps_) entries_ += Stamp(clock_.WallNow()) + " ";
  entries_ += line;
  entries_ += '\n';
  if (size_ + static_cast<int64_t>(start) == 0 ||
      size_ + static_cast<int64_t>(entries_.size()) <= max_bytes_) {
    return;
  }
  // This line begins the next file.
  const std::string last = entries_.substr(start);
  entries_.resize(start);
  WriteOut();
  Rotate();
  entries_ = last;
}

void LogWriter::WriteOut() {
  // A full disk loses log lines, not containers.
  if (fd_.valid() && !entries_.empty()) {
    const ssize_t written = ::write(fd_.get(), entries_.data(), entries_.size());
    if (written > 0) size_ += written;
  }
  entries_.clear();
}

void LogWriter::Rotate() {
  // Where it fails, what was logged so far is lost, not the pod.
  (void)::rename(path_.c_str(), (path_ + ".1").c_str());
  fd_ = UniqueFd(::open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0640));
  size_ = 0;
}

std::string PreviousLog(const std::string& path) { return path + ".previous"; }

void BeginLog(const std::string& path) {
  const std::string previous = PreviousLog(path);
  for (const char* part : {"", ".1"}) {
    // Where there is none, or it cannot be renamed, there is no log of before.
    ::unlink((previous + part).c_str());
    (void)::rename((path + part).c_str(), (previous + part).c_str());
  }
}

Result<std::string> ReadLog(const std::string& path, const LogQuery& query) {
  ENVICUTOR_ASSIGN(const std::string current, ReadFile(path, kMaxAnswer));
  std::string text;
  if (Result<std::string> older = ReadFile(path + ".1", kMaxAnswer); older.ok()) {
    text = std::move(older).value();
  }
  text += current;
  if (query.since) DropOlderThan(*query.since, &text);
  if (query.tail_lines) KeepTail(*query.tail_lines, &text);
  if (!query.timestamps) text = StripStamps(text);
  if (query.limit_bytes && *query.limit_bytes >= 0) {
    text.resize(std::min(text.size(), static_cast<size_t>(*query.limit_bytes)));
  }
  if (text.size() > kMaxAnswer) text.erase(0, text.size() - kMaxAnswer);
  return text;
}

LogFollower::LogFollower(std::string path, bool timestamps)
    : path_(std::move(path)), timestamps_(timestamps) {}

void LogFollower::SeekToEnd() {
  fd_ = UniqueFd(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd_.valid()) ::lseek(fd_.get(), 0, SEEK_END);
}

std::string LogFollower::Next() {
  if (!fd_.valid()) fd_ = UniqueFd(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
  std::array<char, 16384> buffer{};
  while (fd_.valid()) {
    const ssize_t length = ::read(fd_.get(), buffer.data(), buffer.size());
    if (length > 0) {
      partial_.append(buffer.data(), static_cast<size_t>(length));
      if (partial_.size() > kMaxAnswer) break;
      continue;
    }
    if (length < 0 && errno == EINTR) continue;
    // At the end: was the file rotated away?
    struct stat ours {};
    struct stat now {};
    if (::fstat(fd_.get(), &ours) != 0 || ::stat(path_.c_str(), &now) != 0 ||
        ours.st_ino == now.st_ino) {
      break;
    }
    fd_ = UniqueFd(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
  }
  const size_t end = partial_.rfind('\n');
  if (end == std::string::npos) return "";
  const std::string whole = partial_.substr(0, end + 1);
  partial_.erase(0, end + 1);
  return timestamps_ ? whole : StripStamps(whole);
}

}  // namespace envicutor::standalone
