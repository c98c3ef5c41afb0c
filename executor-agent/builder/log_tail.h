// The log of a build: passed on to a descriptor as it comes, counted, and its end kept.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace envicutor::agent {

// Not thread-safe.
class LogTail {
 public:
  // What is written is also passed on to `forward_fd` (-1: not).
  LogTail(int forward_fd, size_t keep_bytes) : forward_fd_(forward_fd), keep_bytes_(keep_bytes) {}

  void Append(std::string_view text);
  // Nix's output, passed on by whole lines without those that say nothing about the build.
  void AppendLines(std::string_view text);
  void Flush();
  // A line of our own.
  void Note(std::string_view line);
  [[nodiscard]] std::string_view Kept() const;
  [[nodiscard]] int64_t total_bytes() const { return total_bytes_; }
  [[nodiscard]] bool truncated() const {
    return total_bytes_ > static_cast<int64_t>(Kept().size());
  }

 private:
  const int forward_fd_;
  const size_t keep_bytes_;
  std::string buffer_;  // at most twice keep_bytes_
  std::string partial_;
  int64_t total_bytes_ = 0;
};

}  // namespace envicutor::agent
