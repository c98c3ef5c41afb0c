// A container's log: lines with the time they came, in two files of bounded size (NAME and NAME.1),
// as `kubectl logs` reads them. The writer is one thread; readers open the files themselves.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/clock.h"
#include "common/base/status.h"
#include "common/base/unique_fd.h"

namespace envicutor::standalone {

class LogWriter {
 public:
  // `timestamps`: each line is prefixed with its time (RFC 3339, nanoseconds) and a space.
  LogWriter(std::string path, const Clock& clock, bool timestamps, int64_t max_bytes = 8LL << 20);

  // Bytes as they come; their lines are written at once, in one call. A line without end is written
  // when it is longer than 16 KiB.
  void Write(std::string_view bytes);
  // What is left of an unfinished line.
  void Flush();

 private:
  void AddLine(std::string_view line);
  void WriteOut();
  void Rotate();

  std::string path_;
  const Clock& clock_;
  bool timestamps_;
  int64_t max_bytes_;
  int64_t size_ = 0;
  UniqueFd fd_;
  std::string partial_;
  std::string entries_;  // whole lines of the present call
};

// Of the container before this one, as `kubectl logs --previous` reads it.
[[nodiscard]] std::string PreviousLog(const std::string& path);
// A new container begins: what `path` has becomes the previous one's.
void BeginLog(const std::string& path);

struct LogQuery {
  std::optional<int64_t> tail_lines;
  std::optional<WallTime> since;
  std::optional<int64_t> limit_bytes;
  bool timestamps = false;
};

// The selected lines of both files, at most 16 MiB (the newest). NotFound when there is no log.
[[nodiscard]] Result<std::string> ReadLog(const std::string& path, const LogQuery& query);

// Follows a log that ReadLog has read up to `size` bytes of its current file. Not thread-safe.
class LogFollower {
 public:
  explicit LogFollower(std::string path, bool timestamps);
  // From the end of the current file on.
  void SeekToEnd();
  // What has come since the last call; "" when nothing has.
  [[nodiscard]] std::string Next();

 private:
  std::string path_;
  bool timestamps_;
  UniqueFd fd_;
  std::string partial_;
  std::string entries_;  // whole lines of the present call
};

}  // namespace envicutor::standalone
