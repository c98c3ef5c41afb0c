// Compaction: the file is written anew with what is still owed, while records go on being appended
// to the old one.
//
//   1. What is live is written to another file, a part at a time: whoever records something waits
//      for the copy of one part in memory, never for the disk. An entry that changes meanwhile may
//      be written as it was or as it is.
//   2. Everything that was appended to the old file since 1 began is appended to the new one, as it
//      stands there. Whatever 1 wrote of an entry that changed: all of its changes follow, and a
//      record sets its entry (format.h), so that the end is the same.
//   3. The new file takes the old one's name.
//
// Durability: what 1 and the first rounds of 2 wrote is on the disk before 3. Only the last
// records, which nobody was told of being on the disk, may be in the page cache then, as any record
// just after its write. Until 3 is on the disk itself, the name may still mean the old file, which
// has everything that was ever said to be there.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "common/base/log.h"
#include "executor-agent/journal/files.h"
#include "executor-agent/journal/format.h"
#include "executor-agent/journal/journal.h"

namespace envicutor::agent {
namespace {

// Copied with the mutex held: a fraction of a millisecond, but for a single record that is larger.
constexpr size_t kPartBytes = 256U << 10U;
// Written until the next fdatasync, so that none takes long and records do not wait long for
// theirs.
constexpr size_t kSyncBytes = 4U << 20U;
// Of catching up without the mutex; each is as long as what was appended during the one before.
constexpr int kMaxRounds = 8;

Status Synced(int file) {
  return ::fdatasync(file) == 0 ? OkStatus() : ErrnoStatus(errno, "fdatasync of the new journal");
}

}  // namespace

bool Journal::CompactionDue() const {
  return file_bytes_ > options_.compact_bytes && file_bytes_ > 2 * live_bytes_ &&
         std::chrono::steady_clock::now() >= compact_after_;
}

void Journal::CompactOrTellWhy() {
  const Status done = Compact();
  if (done.ok()) return;
  // The old file is still the journal: nothing is lost but room.
  (void)::unlink(journal::PathIn(options_.dir, journal::kNextName).c_str());
  const std::lock_guard lock(mutex_);
  log::Error("the journal could not be compacted",
             {{"bytes", std::to_string(file_bytes_)}, {"error", done.ToString()}});
  compact_after_ = std::chrono::steady_clock::now() + options_.compact_retry;
}

Status Journal::Compact() {
  const std::string path = journal::PathIn(options_.dir, journal::kNextName);
  UniqueFd file(
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file.valid()) return ErrnoStatus(errno, "create " + path);
  const size_t begin = file_bytes();
  size_t bytes = 0;
  ENVICUTOR_RETURN_IF_ERROR(WriteLive(file.get(), &bytes));
  return CatchUp(std::move(file), bytes, begin);
}

// The records of the entries after `uid` (all of them: nullopt), at least one and about a part's
// worth; "" when there are none.
std::string Journal::LiveAfter(std::optional<std::string>* uid) const {
  std::string part;
  auto entry = *uid ? live_.upper_bound(**uid) : live_.begin();
  for (; entry != live_.end() && part.size() < kPartBytes; ++entry) {
    part += entry->second.record;
    *uid = entry->first;
  }
  return part;
}

Status Journal::WriteLive(int file, size_t* bytes) {
  std::string part(journal::kMagic);
  size_t not_synced = 0;
  std::optional<std::string> uid;
  while (!part.empty()) {
    ENVICUTOR_RETURN_IF_ERROR(journal::WriteAll(file, part));
    *bytes += part.size();
    not_synced += part.size();
    if (not_synced >= kSyncBytes) {
      ENVICUTOR_RETURN_IF_ERROR(Synced(file));
      SyncOnce();
      not_synced = 0;
    }
    const std::lock_guard lock(mutex_);
    part = LiveAfter(&uid);
  }
  return OkStatus();
}

// `copied`: the end, in the old file, of what is in the new one.
Status Journal::CatchUp(UniqueFd file, size_t bytes, size_t copied) {
  const std::string path = journal::PathIn(options_.dir, journal::kName);
  const UniqueFd old(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!old.valid()) return ErrnoStatus(errno, "open " + path);
  for (int round = 0;; ++round) {
    std::unique_lock lock(mutex_);
    const size_t end = file_bytes_;
    const bool last = round > 0 && (end - copied <= kPartBytes || round == kMaxRounds);
    if (!last) lock.unlock();
    ENVICUTOR_RETURN_IF_ERROR(journal::CopyBytes(old.get(), copied, end, file.get()));
    bytes += end - copied;
    copied = end;
    if (!last) {
      ENVICUTOR_RETURN_IF_ERROR(Synced(file.get()));
      continue;
    }
    const std::string next = journal::PathIn(options_.dir, journal::kNextName);
    if (::rename(next.c_str(), path.c_str()) != 0) return ErrnoStatus(errno, "rename to " + path);
    fd_.reset();
    fd_ = std::move(file);
    file_bytes_ = bytes;
    torn_ = false;
    folder_dirty_ = true;  // SyncOnce follows
    return OkStatus();
  }
}

}  // namespace envicutor::agent
