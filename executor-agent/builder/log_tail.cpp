#include "executor-agent/builder/log_tail.h"

#include <unistd.h>

#include <cerrno>

namespace envicutor::agent {

namespace {

// What Nix says about the way it is driven here, not about the build.
bool IsNoise(std::string_view line) {
  return line.find("you did not specify '--add-root'") != std::string_view::npos ||
         line.find("you don't have Internet access") != std::string_view::npos ||
         line.rfind("accepted connection from pid ", 0) == 0;
}

// A longer line is passed on in parts.
constexpr size_t kMaxLineBytes = 8192;

}  // namespace

void LogTail::AppendLines(std::string_view text) {
  partial_ += text;
  size_t start = 0;
  for (size_t end = partial_.find('\n'); end != std::string::npos;
       end = partial_.find('\n', start)) {
    const std::string_view line = std::string_view(partial_).substr(start, end + 1 - start);
    if (!IsNoise(line)) Append(line);
    start = end + 1;
  }
  partial_.erase(0, start);
  if (partial_.size() > kMaxLineBytes) Flush();
}

void LogTail::Flush() {
  if (!partial_.empty()) Append(partial_);
  partial_.clear();
}

void LogTail::Append(std::string_view text) {
  total_bytes_ += static_cast<int64_t>(text.size());
  buffer_ += text.size() > keep_bytes_ ? text.substr(text.size() - keep_bytes_) : text;
  if (buffer_.size() > 2 * keep_bytes_) buffer_.erase(0, buffer_.size() - keep_bytes_);
  // A reader of the log that went away must not stop the build.
  while (forward_fd_ >= 0 && !text.empty()) {
    const ssize_t count = ::write(forward_fd_, text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return;
    text.remove_prefix(static_cast<size_t>(count));
  }
}

void LogTail::Note(std::string_view line) {
  Flush();
  Append(std::string(line) + "\n");
}

std::string_view LogTail::Kept() const {
  const std::string_view all = buffer_;
  return all.size() > keep_bytes_ ? all.substr(all.size() - keep_bytes_) : all;
}

}  // namespace envicutor::agent
