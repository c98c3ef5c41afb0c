// Storage in one SQLite file: WAL, synchronous=FULL, one writer thread that puts all waiting writes
// into one transaction (group commit): the more clients wait, the more writes share a sync.
#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "common/base/unique_fd.h"
#include "standalone/apiserver/core/storage.h"

struct sqlite3;

namespace envicutor::standalone {

// Thread-safe.
class SqliteStorage final : public Storage {
 public:
  // Files are made below `data_dir` (made when missing, mode 0700: there are Secrets in them).
  explicit SqliteStorage(std::string data_dir);
  // Commits what waits, then closes.
  ~SqliteStorage() override;
  SqliteStorage(const SqliteStorage&) = delete;
  SqliteStorage& operator=(const SqliteStorage&) = delete;

  // FailedPrecondition: another process has the folder, or the file is of a newer version.
  [[nodiscard]] Result<StorageContent> Open(StorageListener* listener) override;
  void Append(StorageWrite write) override;
  // Commits on the calling thread when nobody else does: a writer alone waits for no other thread.
  // What came meanwhile is the writer thread's.
  void Flush() override;
  void FlushSoon() override;
  void Discard() override;
  // Transactions so far: how well the writes share them.
  [[nodiscard]] uint64_t transactions() const;

 private:
  [[nodiscard]] Status Lock();
  [[nodiscard]] Status OpenDatabase();
  [[nodiscard]] Result<StorageContent> Read();
  void Run();
  // One transaction of what waits, and word to the listener; without the lock meanwhile.
  void CommitSome(std::unique_lock<std::mutex>& lock);
  [[nodiscard]] Status Prepare();
  [[nodiscard]] Status Commit(const std::vector<StorageWrite>& writes);
  [[nodiscard]] Status WriteAll(const std::vector<StorageWrite>& writes);
  [[nodiscard]] Status Execute(const char* sql);
  [[nodiscard]] Status LastError(std::string_view what) const;

  std::string data_dir_;
  UniqueFd lock_;
  sqlite3* database_ = nullptr;
  struct Statements;  // prepared once; of whoever commits
  std::unique_ptr<Statements> statements_;
  StorageListener* listener_ = nullptr;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<StorageWrite> waiting_;
  bool committing_ = false;   // somebody does, a caller of Flush or the writer thread
  bool handed_over_ = false;  // the writer thread does
  bool gather_ = false;       // the writer thread's next one waits for more
  size_t last_batch_ = 0;     // writes in the newest transaction
  std::chrono::steady_clock::time_point next_{};  // when the writer thread's next one begins
  bool stopping_ = false;
  uint64_t transactions_ = 0;
  std::thread writer_;
};

}  // namespace envicutor::standalone
