#include "executor-agent/journal/journal.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "common/base/file.h"
#include "common/base/log.h"
#include "executor-agent/journal/format.h"

namespace envicutor::agent {
namespace {

using journal::EncodeKey;
using journal::EncodeRecord;
using journal::RecordType;

// Twice the most that may be live, plus what compaction lets grow.
size_t MaxFileBytes(const JournalOptions& options) {
  return 4 * options.max_live_bytes + options.compact_bytes + journal::kMaxPayloadBytes;
}

std::string PathIn(const JournalOptions& options, std::string_view name) {
  return options.dir + '/' + std::string(name);
}

Status WriteAll(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus(errno, "write to the journal");
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return OkStatus();
}

}  // namespace

Result<std::unique_ptr<Journal>> Journal::Open(JournalOptions options) {
  std::unique_ptr<Journal> journal(new Journal(std::move(options)));
  const std::string lock_path = PathIn(journal->options_, "lock");
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
  const std::string path = PathIn(options_, "journal");
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
  return Rewrite(content);
}

Status Journal::Rewrite(const std::string& content) {
  const std::string path = PathIn(options_, "journal");
  ENVICUTOR_RETURN_IF_ERROR(WriteFileAtomic(path, content, 0600));
  UniqueFd fd(::open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, "open " + path);
  fd_ = std::move(fd);
  file_bytes_ = content.size();
  synced_ = written_;
  clean_.notify_all();
  return OkStatus();
}

Status Journal::Append(const std::string& record) {
  Status written = WriteAll(fd_.get(), record);
  if (!written.ok()) {
    // A half-written record would hide all that follow it.
    if (::ftruncate(fd_.get(), static_cast<off_t>(file_bytes_)) != 0) {
      log::Error("the journal could not be cut back",
                 {{"error", ErrnoStatus(errno, "ftruncate").message()}});
    }
    return written;
  }
  file_bytes_ += record.size();
  ++written_;
  if (syncer_waits_) dirty_.notify_one();
  return OkStatus();
}

Status Journal::RecordAccepted(const RunKey& key) {
  const std::lock_guard lock(mutex_);
  if (live_bytes_ > options_.max_live_bytes) {
    return ResourceExhausted("too many results are not acknowledged");
  }
  std::string record = EncodeRecord(RecordType::kAccepted, EncodeKey(key.uid, key.attempt));
  ENVICUTOR_RETURN_IF_ERROR(Append(record));
  Live& live = live_[key.uid];
  live_bytes_ += record.size() - live.record.size();
  live = {key.attempt, std::move(record)};
  return CompactIfGrown();
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
  return CompactIfGrown();
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
  ENVICUTOR_RETURN_IF_ERROR(Append(records));
  return CompactIfGrown();
}

Status Journal::CompactIfGrown() {
  if (file_bytes_ <= options_.compact_bytes || file_bytes_ <= 2 * live_bytes_) return OkStatus();
  std::string content(journal::kMagic);
  content.reserve(content.size() + live_bytes_);
  for (const auto& [uid, live] : live_) content += live.record;
  return Rewrite(content);
}

void Journal::SyncLoop(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  for (;;) {
    syncer_waits_ = true;
    dirty_.wait(lock, stop, [this] { return written_ != synced_; });
    syncer_waits_ = false;
    if (written_ == synced_) return;  // stopped, and nothing is left to do
    const uint64_t target = written_;
    // A descriptor of its own: compaction may replace the file meanwhile.
    const UniqueFd fd(::fcntl(fd_.get(), F_DUPFD_CLOEXEC, 0));
    lock.unlock();
    const bool synced = fd.valid() && ::fdatasync(fd.get()) == 0;
    const Status status = synced ? OkStatus() : ErrnoStatus(errno, "fdatasync of the journal");
    if (!synced) log::Error("the journal could not be synced", {{"error", status.message()}});
    lock.lock();
    synced_ = std::max(synced_, target);
    sync_status_ = status;
    clean_.notify_all();
    pause_.wait_for(lock, stop, kSyncInterval, [] { return false; });
  }
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
