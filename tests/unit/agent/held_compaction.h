// Holds a journal's compaction up: a pipe stands where it writes the new file, and nobody reads.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <string>

#include "common/base/unique_fd.h"
#include "executor-agent/journal/files.h"

namespace envicutor::agent {

class HeldCompaction {
 public:
  // `dir`: the journal's, which is open. More must be live than a pipe takes (64 KiB).
  explicit HeldCompaction(const std::string& dir) {
    const std::string path = journal::PathIn(dir, journal::kNextName);
    EXPECT_EQ(::mkfifo(path.c_str(), 0600), 0);
    pipe_ = UniqueFd(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    EXPECT_TRUE(pipe_.valid());
  }
  ~HeldCompaction() { Release(); }
  HeldCompaction(const HeldCompaction&) = delete;
  HeldCompaction& operator=(const HeldCompaction&) = delete;

  void AwaitBegin() {
    constexpr int kPatienceMillis = 20'000;
    pollfd wait{pipe_.get(), POLLIN, 0};
    EXPECT_EQ(::poll(&wait, 1, kPatienceMillis), 1) << "no compaction";
  }
  // It fails then, as a pipe cannot be brought to the disk. Idempotent.
  void Release() {
    if (!pipe_.valid()) return;
    EXPECT_EQ(::fcntl(pipe_.get(), F_SETFL, 0), 0);
    std::array<char, 65536> bytes;
    while (::read(pipe_.get(), bytes.data(), bytes.size()) > 0) {
    }
    pipe_.reset();
  }

 private:
  UniqueFd pipe_;
};

}  // namespace envicutor::agent
