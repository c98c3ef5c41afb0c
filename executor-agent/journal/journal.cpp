#include "executor-agent/journal/journal.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "common/base/file.h"
#include "common/base/log.h"
#include "executor-agent/journal/files.h"
#include "executor-agent/journal/format.h"

namespace envicutor::agent {
namespace {

using journal::EncodeKey;
using journal::EncodeRecord;
using journal::PathIn;
using journal::RecordType;

// A folder that could not be synced is one line in the log each time.
constexpr std::chrono::milliseconds kFolderRetry{1'000};

// Twice the most that may be live, what compaction lets grow, and as much again while it is on the
// way.
size_t MaxFileBytes(const JournalOptions& options) {
  return 4 * options.max_live_bytes + options.compact_bytes + journal::kMaxPayloadBytes;
}
// Over it no run is taken: there must be room for the results of those that were.
size_t MaxBytesToAccept(const JournalOptions& options) {
  return 3 * options.max_live_bytes + options.compact_bytes;
}

}  // namespace

Result<std::unique_ptr<Journal>> Journal::Open(JournalOptions options) {
  std::unique_ptr<Journal> journal(new Journal(std::move(options)));
  const std::string lock_path = PathIn(journal->options_.dir, "lock");
  journal->lock_ = UniqueFd(::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!journal->lock_.valid()) return ErrnoStatus(errno, "open " + lock_path);
  if (::flock(journal->lock_.get(), LOCK_EX | LOCK_NB) != 0) {
    return FailedPrecondition("another executor-agent uses the state folder " +
                              journal->options_.dir);
  }
  ENVICUTOR_RETURN_IF_ERROR(journal->Recover());
  Journal* const self = journal.get();
  journal->syncer_ = std::jthread([self](const std::stop_token& stop) { self->SyncLoop(stop); });
  return journal;
}

Journal::~Journal() {
  syncer_.request_stop();
  if (syncer_.joinable()) syncer_.join();
}

Status Journal::Recover() {
  const std::string path = PathIn(options_.dir, journal::kName);
  // Of a compaction that the predecessor's death cut short.
  (void)::unlink(PathIn(options_.dir, journal::kNextName).c_str());
  std::string bytes;
  Result<std::string> read = ReadFile(path, MaxFileBytes(options_));
  if (read.ok()) {
    bytes = *std::move(read);
  } else if (read.status().code() != Code::kNotFound) {
    return read.status();
  }
  Result<journal::State> state = journal::ReadState(bytes);
  if (!state.ok()) return state.status().WithContext(path);
  recovery_.torn_bytes = bytes.size() - state->valid_bytes;

  std::vector<journal::State::Run*> kept;
  for (auto& [uid, run] : state->runs) {
    if (run.has_result) {
      kept.push_back(&run);
    } else {
      recovery_.lost.push_back({uid, run.attempt});
    }
  }
  std::sort(kept.begin(), kept.end(),
            [](const auto* a, const auto* b) { return a->order < b->order; });
  // The new journal holds only what is still owed; whatever was torn or lost is gone with the old
  // one.
  std::string content(journal::kMagic);
  for (journal::State::Run* run : kept) {
    std::string record =
        EncodeRecord(RecordType::kResult, DumpJson(api::RunResultToJson(run->result)));
    content += record;
    live_bytes_ += record.size();
    live_[run->result.uid] = {run->attempt, std::move(record)};
    recovery_.results.push_back(std::move(run->result));
  }
  ENVICUTOR_RETURN_IF_ERROR(WriteFileAtomic(path, content, 0600));
  fd_ = UniqueFd(::open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
  if (!fd_.valid()) return ErrnoStatus(errno, "open " + path);
  file_bytes_ = content.size();
  return OkStatus();
}

Status Journal::Append(const std::string& record) {
  const size_t most = MaxFileBytes(options_);
  if (record.size() > most || file_bytes_ > most - record.size()) {
    return ResourceExhausted("the journal has " + std::to_string(file_bytes_) +
                             " bytes, and with this record more than " + std::to_string(most));
  }
  ENVICUTOR_RETURN_IF_ERROR(CutBack());
  Status written = journal::WriteAll(fd_.get(), record);
  if (!written.ok()) {
    torn_ = true;
    if (const Status cut = CutBack(); !cut.ok()) {
      log::Error("the journal takes no records until it is cut back", {{"error", cut.message()}});
    }
    return written;
  }
  file_bytes_ += record.size();
  ++written_;
  if (syncer_waits_) dirty_.notify_one();
  return OkStatus();
}

// A half-written record would hide all that follow it.
Status Journal::CutBack() {
  if (!torn_) return OkStatus();
  if (::ftruncate(fd_.get(), static_cast<off_t>(file_bytes_)) != 0) {
    return ErrnoStatus(errno, "cut half a record off the journal");
  }
  torn_ = false;
  return OkStatus();
}

Status Journal::RecordAccepted(const RunKey& key) {
  const std::lock_guard lock(mutex_);
  if (live_bytes_ > options_.max_live_bytes) {
    return ResourceExhausted("too many results are not acknowledged");
  }
  if (file_bytes_ > MaxBytesToAccept(options_)) {
    dirty_.notify_one();  // a compaction that failed may be due again
    return ResourceExhausted("the journal has " + std::to_string(file_bytes_) + " bytes, over " +
                             std::to_string(MaxBytesToAccept(options_)) +
                             ": no more runs until it is compacted");
  }
  std::string record = EncodeRecord(RecordType::kAccepted, EncodeKey(key.uid, key.attempt));
  ENVICUTOR_RETURN_IF_ERROR(Append(record));
  Live& live = live_[key.uid];
  live_bytes_ += record.size() - live.record.size();
  live = {key.attempt, std::move(record)};
  return OkStatus();
}

Status Journal::RecordResult(const RunKey& key, const std::string& json) {
  const std::lock_guard lock(mutex_);
  if (json.size() >= journal::kMaxPayloadBytes) return ResourceExhausted("the result is too large");
  if (const auto found = live_.find(key.uid);
      found != live_.end() && found->second.attempt > key.attempt) {
    return OkStatus();  // a higher attempt was accepted meanwhile: nobody waits for this result
  }
  std::string record = EncodeRecord(RecordType::kResult, json);
  ENVICUTOR_RETURN_IF_ERROR(Append(record));
  Live& live = live_[key.uid];
  live_bytes_ += record.size() - live.record.size();
  live = {key.attempt, std::move(record)};
  return OkStatus();
}

Status Journal::RecordForgotten(const std::vector<RunKey>& keys) {
  const std::lock_guard lock(mutex_);
  std::string records;
  for (const RunKey& key : keys) {
    const auto found = live_.find(key.uid);
    if (found == live_.end() || found->second.attempt > key.attempt) continue;
    records += EncodeRecord(RecordType::kForgotten, EncodeKey(key.uid, key.attempt));
    live_bytes_ -= found->second.record.size();
    live_.erase(found);
  }
  if (records.empty()) return OkStatus();
  return Append(records);
}

void Journal::SyncLoop(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  for (;;) {
    syncer_waits_ = true;
    dirty_.wait(lock, stop,
                [this] { return written_ != synced_ || folder_dirty_ || CompactionDue(); });
    syncer_waits_ = false;
    const bool stopping = stop.stop_requested();
    if (stopping && written_ == synced_) return;  // nothing is left to do
    const bool compact = !stopping && CompactionDue();
    lock.unlock();
    if (compact) CompactOrTellWhy();
    SyncOnce();
    lock.lock();
    pause_.wait_for(lock, stop, folder_dirty_ ? kFolderRetry : kSyncInterval, [] { return false; });
  }
}

void Journal::SyncOnce() {
  std::unique_lock lock(mutex_);
  if (written_ == synced_ && !folder_dirty_) return;
  const uint64_t target = written_;
  const int fd = fd_.get();  // only this thread exchanges it, and makes the folder dirty
  const bool folder = folder_dirty_;
  lock.unlock();
  Status status =
      ::fdatasync(fd) == 0 ? OkStatus() : ErrnoStatus(errno, "fdatasync of the journal");
  if (status.ok() && folder) status = journal::SyncFolder(options_.dir);
  if (!status.ok()) log::Error("the journal could not be synced", {{"error", status.message()}});
  lock.lock();
  if (status.ok()) folder_dirty_ = false;
  synced_ = std::max(synced_, target);
  sync_status_ = status;
  clean_.notify_all();
}

Status Journal::Sync() {
  std::unique_lock lock(mutex_);
  const uint64_t target = written_;
  clean_.wait(lock, [&] { return synced_ >= target; });
  return sync_status_;
}

size_t Journal::file_bytes() const {
  const std::lock_guard lock(mutex_);
  return file_bytes_;
}

}  // namespace envicutor::agent
