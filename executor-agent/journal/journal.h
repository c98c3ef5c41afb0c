// Journal: what the agent must still know after kill -9: which runs it took, and results that the
// operator has not acknowledged yet. Append-only file in --state-dir (format.h), compacted when it
// has grown: on the syncer's thread, while records go on being written and nobody waits
// (compaction.cpp).
//
// After a restart results are sent again; a run that was accepted and has no result died with the
// old process: it is lost, the agent no longer lists it, and the operator tries a higher attempt.
//
// Durability. Every record is written (write(2)) before the call returns, which is all that
// survival of the process' death needs. fdatasync follows on a thread of its own, all records since
// the last one together (group commit), at most one every kSyncInterval: it protects against the
// machine's death only, where at worst a result of the last moments is not re-sent but run again by
// the operator.
#pragma once

#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/api/run.h"
#include "common/base/status.h"
#include "common/base/unique_fd.h"

namespace envicutor::agent {

inline constexpr std::chrono::milliseconds kSyncInterval{100};

struct JournalOptions {
  std::string dir;                     // exists; a lock file in it keeps a second agent out
  size_t compact_bytes = 16U << 20U;   // compacted when larger than this and twice what is live
  size_t max_live_bytes = 64U << 20U;  // over it RecordAccepted refuses: acknowledge first
  std::chrono::milliseconds compact_retry{10'000};  // after a compaction that failed
};

struct RunKey {
  std::string uid;
  int64_t attempt = 0;
  bool operator==(const RunKey&) const = default;
};

struct JournalRecovery {
  std::vector<api::RunResult> results;  // not acknowledged, oldest first
  std::vector<RunKey> lost;             // accepted, without a result
  size_t torn_bytes = 0;                // cut off at the end
};

// Thread-safe.
class Journal {
 public:
  // FailedPrecondition: another process holds the folder, or another version wrote the journal.
  [[nodiscard]] static Result<std::unique_ptr<Journal>> Open(JournalOptions options);
  ~Journal();  // syncs
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  // What the predecessor left; lost runs are forgotten already.
  [[nodiscard]] const JournalRecovery& recovery() const { return recovery_; }

  // None of them waits for the disk to have it, nor for a compaction.
  // ResourceExhausted: too much is not acknowledged, or the file has grown too much and could not
  // be compacted yet. Other failures: the disk's.
  [[nodiscard]] Status RecordAccepted(const RunKey& key);
  // `json` is RunResultToJson of it, dumped. Ignored when a higher attempt was accepted meanwhile.
  [[nodiscard]] Status RecordResult(const RunKey& key, const std::string& json);
  // Acknowledged or given up; unknown ones are ignored.
  [[nodiscard]] Status RecordForgotten(const std::vector<RunKey>& keys);
  // Waits until everything that was written is on the disk, or could not be brought there: then it
  // is the disk's failure. That of the folder is tried again by itself.
  [[nodiscard]] Status Sync();

  [[nodiscard]] size_t file_bytes() const;

 private:
  explicit Journal(JournalOptions options) : options_(std::move(options)) {}
  Status Recover();
  void SyncLoop(const std::stop_token& stop);
  // On the syncer's thread, mutex_ not held:
  void SyncOnce();
  void CompactOrTellWhy();
  [[nodiscard]] Status Compact();
  [[nodiscard]] Status WriteLive(int file, size_t* bytes);
  [[nodiscard]] Status CatchUp(UniqueFd file, size_t bytes, size_t copied);
  // mutex_ held:
  Status Append(const std::string& record);
  [[nodiscard]] Status CutBack();
  [[nodiscard]] bool CompactionDue() const;
  [[nodiscard]] std::string LiveAfter(std::optional<std::string>* uid) const;

  struct Live {
    int64_t attempt = 0;
    std::string record;  // as it stands in the file, for compaction
  };

  const JournalOptions options_;
  JournalRecovery recovery_;
  UniqueFd lock_;
  mutable std::mutex mutex_;
  std::condition_variable_any dirty_;  // something to sync, told when the syncer waits for it
  std::condition_variable_any clean_;  // something was synced
  std::condition_variable_any pause_;  // never told: the syncer's rest between two syncs
  bool syncer_waits_ = false;
  UniqueFd fd_;
  size_t file_bytes_ = 0;
  bool torn_ = false;                 // after them is half a record
  bool folder_dirty_ = false;         // the file's name, which a compaction exchanged
  std::map<std::string, Live> live_;  // by uid
  size_t live_bytes_ = 0;
  uint64_t written_ = 0;  // records so far
  uint64_t synced_ = 0;   // of them surely on the disk
  Status sync_status_;
  std::chrono::steady_clock::time_point compact_after_;
  std::jthread syncer_;  // last: it uses the others
};

}  // namespace envicutor::agent
