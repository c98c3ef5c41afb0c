// The journal on a disk that fails: this program's own ftruncate and fsync fail when they are told
// to, and a limit on the size of files cuts a record off in the middle.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <memory>
#include <string>
#include <thread>

#include "common/base/file.h"
#include "executor-agent/journal/format.h"
#include "executor-agent/journal/journal.h"
#include "tests/unit/agent/fake_sandbox.h"

namespace {
std::atomic<bool> no_truncate{false};
std::atomic<bool> no_folder_sync{false};
std::atomic<int> folder_syncs{0};  // that went well
}  // namespace

extern "C" int ftruncate(int fd, off_t length) noexcept {
  if (no_truncate) {
    errno = EIO;
    return -1;
  }
  return static_cast<int>(::syscall(SYS_ftruncate, fd, length));
}

extern "C" int fsync(int fd) {
  struct stat about {};
  const bool folder = ::fstat(fd, &about) == 0 && S_ISDIR(about.st_mode);
  if (folder && no_folder_sync) {
    errno = EIO;
    return -1;
  }
  const auto result = static_cast<int>(::syscall(SYS_fsync, fd));
  if (folder && result == 0) ++folder_syncs;
  return result;
}

namespace envicutor::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::chrono::seconds kPatience{20};

class JournalFaultsTest : public ::testing::Test {
 protected:
  ~JournalFaultsTest() override {
    no_truncate = false;
    no_folder_sync = false;
  }
  std::unique_ptr<Journal> Open() {
    Result<std::unique_ptr<Journal>> journal = Journal::Open(options_);
    EXPECT_TRUE(journal.ok()) << journal.status().ToString();
    return journal.ok() ? *std::move(journal) : nullptr;
  }

  TempDir dir_;
  JournalOptions options_{.dir = dir_.path()};
};

// Files of this process end `bytes` from now on.
class FullDisk {
 public:
  explicit FullDisk(size_t bytes) {
    EXPECT_EQ(::getrlimit(RLIMIT_FSIZE, &usual_), 0);
    rlimit full = usual_;
    full.rlim_cur = bytes;
    handler_ = std::signal(SIGXFSZ, SIG_IGN);
    EXPECT_EQ(::setrlimit(RLIMIT_FSIZE, &full), 0);
  }
  ~FullDisk() {
    EXPECT_EQ(::setrlimit(RLIMIT_FSIZE, &usual_), 0);
    (void)std::signal(SIGXFSZ, handler_);
  }
  FullDisk(const FullDisk&) = delete;
  FullDisk& operator=(const FullDisk&) = delete;

 private:
  rlimit usual_{};
  void (*handler_)(int) = nullptr;
};

TEST_F(JournalFaultsTest, NothingIsTakenBehindHalfARecord) {
  {
    const auto journal = Open();
    ASSERT_TRUE(journal->RecordAccepted({"a", 1}).ok());
    no_truncate = true;
    {
      const FullDisk disk(journal->file_bytes() + journal::kRecordHeaderBytes + 1);
      EXPECT_FALSE(journal->RecordAccepted({"b", 1}).ok());
    }
    ASSERT_GT(ReadFile(dir_.path() + "/journal")->size(), journal->file_bytes()) << "not torn";
    // The disk has room again; what would be written now would be gone with the next start.
    const Status refused = journal->RecordAccepted({"c", 1});
    EXPECT_THAT(refused.message(), HasSubstr("half a record"));
    EXPECT_FALSE(journal->RecordResult({"a", 1}, "{}").ok());
    no_truncate = false;
    EXPECT_TRUE(journal->RecordAccepted({"d", 1}).ok());
    EXPECT_TRUE(journal->Sync().ok());
  }
  const auto journal = Open();
  EXPECT_THAT(journal->recovery().lost, ElementsAre(RunKey{"a", 1}, RunKey{"d", 1}));
  EXPECT_EQ(journal->recovery().torn_bytes, 0U);
}

TEST_F(JournalFaultsTest, ACompactedFileIsNotSaidToBeThereBeforeItsFolderIsSynced) {
  options_.compact_bytes = 4096;
  const auto journal = Open();
  no_folder_sync = true;
  const size_t most = options_.compact_bytes;
  while (journal->file_bytes() <= most) ASSERT_TRUE(journal->RecordAccepted({"old", 1}).ok());
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (journal->file_bytes() > most) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline) << "is not compacted";
    std::this_thread::yield();
  }
  for (const char* uid : {"a", "b"}) {  // however often it is asked
    ASSERT_TRUE(journal->RecordAccepted({uid, 1}).ok());
    const Status synced = journal->Sync();
    EXPECT_THAT(synced.message(), HasSubstr("fsync " + dir_.path()));
  }
  // Tried again by itself, without another record.
  folder_syncs = 0;
  no_folder_sync = false;
  while (folder_syncs == 0) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline) << "is not tried again";
    std::this_thread::yield();
  }
  ASSERT_TRUE(journal->RecordAccepted({"c", 1}).ok());
  EXPECT_TRUE(journal->Sync().ok());
}

}  // namespace
}  // namespace envicutor::agent
