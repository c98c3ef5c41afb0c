// The agent's ends of a program's standard streams: pipes, never blocking.
#pragma once

#include <string>
#include <string_view>

#include "common/base/status.h"
#include "common/base/unique_fd.h"

namespace envicutor::agent::native {

// Serves stdin: writes what the pipe takes, closes it at the end or when nobody reads any more.
class InputStream {
 public:
  // The program's end is owned by `uid`, so that it may open /dev/stdin.
  [[nodiscard]] Status Open(std::string_view data, unsigned uid, UniqueFd* program_end);
  void Serve();
  void Close() { fd_.reset(); }
  [[nodiscard]] int fd() const { return fd_.get(); }  // -1 when done

 private:
  UniqueFd fd_;
  std::string_view rest_;
};

// Collects an output: keeps at most `limit` bytes, counts all.
class OutputStream {
 public:
  [[nodiscard]] Status Open(size_t limit, unsigned uid, UniqueFd* program_end);
  // Reads once, at most 64 KiB. False when there is nothing to read now, or no more ever (then fd()
  // is -1).
  bool Read();
  [[nodiscard]] bool over() const { return total_ > limit_; }
  [[nodiscard]] int64_t total() const { return static_cast<int64_t>(total_); }
  [[nodiscard]] std::string TakeKept() { return std::move(kept_); }
  [[nodiscard]] int fd() const { return fd_.get(); }

 private:
  UniqueFd fd_;
  size_t limit_ = 0;
  size_t total_ = 0;
  std::string kept_;
};

}  // namespace envicutor::agent::native
