#include "standalone/apiserver/storage/sqlite_storage.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/file.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <map>

#include "common/base/file.h"

namespace envicutor::standalone {
namespace {

constexpr int64_t kSchemaVersion = 1;
// Bounds how much one transaction holds, and so how long its first writer waits.
constexpr size_t kMaxBatch = 512;
// A transaction costs a sync of the disk, however much it holds. While several write at once, the
// next one begins this long after the last did, or when this many wait; a writer alone never waits.
constexpr std::chrono::milliseconds kGather{2};
constexpr size_t kEnough = 64;

constexpr const char* kSchema =
    "CREATE TABLE IF NOT EXISTS objects (resource TEXT NOT NULL, key TEXT NOT NULL,"
    " revision INTEGER NOT NULL, text BLOB NOT NULL, PRIMARY KEY (resource, key));"
    "CREATE TABLE IF NOT EXISTS resources (resource TEXT PRIMARY KEY, revision INTEGER NOT NULL);";

// A prepared statement; finalized with its owner.
class Statement {
 public:
  Statement(sqlite3* database, const char* sql) {
    sqlite3_prepare_v2(database, sql, -1, &statement_, nullptr);
  }
  ~Statement() { sqlite3_finalize(statement_); }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  [[nodiscard]] bool valid() const { return statement_ != nullptr; }
  void Bind(int index, std::string_view text) {
    sqlite3_bind_text64(statement_, index, text.data(), text.size(), SQLITE_STATIC, SQLITE_UTF8);
  }
  void Bind(int index, uint64_t number) {
    sqlite3_bind_int64(statement_, index, static_cast<sqlite3_int64>(number));
  }
  // SQLITE_ROW or SQLITE_DONE, else an error.
  [[nodiscard]] int Step() { return sqlite3_step(statement_); }
  // Step of what gives no rows, ready for the next time whatever came of it. What was bound is let
  // go: it need not live longer than this.
  [[nodiscard]] int Execute() {
    const int code = sqlite3_step(statement_);
    sqlite3_reset(statement_);
    sqlite3_clear_bindings(statement_);
    return code;
  }
  void Reset() { sqlite3_reset(statement_); }
  [[nodiscard]] std::string Text(int column) {
    const auto* bytes = static_cast<const char*>(sqlite3_column_blob(statement_, column));
    const int size = sqlite3_column_bytes(statement_, column);
    return bytes == nullptr ? "" : std::string(bytes, static_cast<size_t>(size));
  }
  [[nodiscard]] uint64_t Number(int column) {
    return static_cast<uint64_t>(sqlite3_column_int64(statement_, column));
  }

 private:
  sqlite3_stmt* statement_ = nullptr;
};

}  // namespace

struct SqliteStorage::Statements {
  explicit Statements(sqlite3* database)
      : begin(database, "BEGIN IMMEDIATE"),
        commit(database, "COMMIT"),
        put(database,
            "INSERT INTO objects (resource, key, revision, text) VALUES (?1, ?2, ?3, ?4) ON "
            "CONFLICT (resource, key) DO UPDATE SET revision = ?3, text = ?4"),
        remove(database, "DELETE FROM objects WHERE resource = ?1 AND key = ?2"),
        mark(database,
             "INSERT INTO resources (resource, revision) VALUES (?1, ?2) ON CONFLICT (resource) DO "
             "UPDATE SET revision = ?2") {}
  Statement begin;
  Statement commit;
  Statement put;
  Statement remove;
  Statement mark;
};

SqliteStorage::SqliteStorage(std::string data_dir) : data_dir_(std::move(data_dir)) {}

SqliteStorage::~SqliteStorage() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (writer_.joinable()) writer_.join();
  statements_.reset();
  sqlite3_close(database_);
}

Status SqliteStorage::LastError(std::string_view what) const {
  const std::string message = std::string(what) + ": " +
                              (database_ == nullptr ? "out of memory" : sqlite3_errmsg(database_));
  const int code = database_ == nullptr ? SQLITE_NOMEM : sqlite3_errcode(database_);
  return {code == SQLITE_FULL ? Code::kResourceExhausted : Code::kInternal, message};
}

Status SqliteStorage::Execute(const char* sql) {
  if (sqlite3_exec(database_, sql, nullptr, nullptr, nullptr) != SQLITE_OK) return LastError(sql);
  return OkStatus();
}

Status SqliteStorage::Lock() {
  const std::string path = data_dir_ + "/lock";
  lock_ = UniqueFd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!lock_.valid()) return ErrnoStatus(errno, path);
  if (::flock(lock_.get(), LOCK_EX | LOCK_NB) != 0) {
    return FailedPrecondition("another API server uses the data folder " + data_dir_);
  }
  return OkStatus();
}

Status SqliteStorage::OpenDatabase() {
  const std::string path = data_dir_ + "/apiserver.db";
  // Made by us first, so that SQLite's files (it copies the mode) are not readable by others.
  const UniqueFd made(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!made.valid()) return ErrnoStatus(errno, path);
  if (sqlite3_open_v2(path.c_str(), &database_, SQLITE_OPEN_READWRITE | SQLITE_OPEN_FULLMUTEX,
                      nullptr) != SQLITE_OK) {
    return LastError(path);
  }
  ENVICUTOR_RETURN_IF_ERROR(Execute("PRAGMA journal_mode=WAL"));
  ENVICUTOR_RETURN_IF_ERROR(Execute("PRAGMA synchronous=FULL"));
  ENVICUTOR_RETURN_IF_ERROR(Execute("PRAGMA locking_mode=EXCLUSIVE"));
  Statement version(database_, "PRAGMA user_version");
  if (!version.valid() || version.Step() != SQLITE_ROW) return LastError("user_version");
  if (static_cast<int64_t>(version.Number(0)) > kSchemaVersion) {
    return FailedPrecondition(path + " was written by a newer version of envicutor");
  }
  version.Reset();
  ENVICUTOR_RETURN_IF_ERROR(Execute(kSchema));
  return Execute(("PRAGMA user_version=" + std::to_string(kSchemaVersion)).c_str());
}

Result<StorageContent> SqliteStorage::Read() {
  StorageContent content;
  Statement resources(database_, "SELECT resource, revision FROM resources");
  if (!resources.valid()) return LastError("reading resources");
  int code = 0;
  while ((code = resources.Step()) == SQLITE_ROW) {
    const uint64_t revision = resources.Number(1);
    content.last_change[resources.Text(0)] = revision;
    content.revision = std::max(content.revision, revision);
  }
  if (code != SQLITE_DONE) return LastError("reading resources");
  Statement objects(database_, "SELECT resource, key, revision, text FROM objects");
  if (!objects.valid()) return LastError("reading objects");
  while ((code = objects.Step()) == SQLITE_ROW) {
    content.objects.push_back(
        {objects.Text(0), objects.Text(1), objects.Number(2), objects.Text(3)});
  }
  if (code != SQLITE_DONE) return LastError("reading objects");
  return content;
}

Result<StorageContent> SqliteStorage::Open(StorageListener* listener) {
  listener_ = listener;
  ENVICUTOR_RETURN_IF_ERROR(MakeDirs(data_dir_, 0700));
  ENVICUTOR_RETURN_IF_ERROR(Lock());
  ENVICUTOR_RETURN_IF_ERROR(OpenDatabase());
  ENVICUTOR_ASSIGN(StorageContent content, Read());
  ENVICUTOR_RETURN_IF_ERROR(Prepare());
  writer_ = std::thread([this] { Run(); });
  return content;
}

void SqliteStorage::Append(StorageWrite write) {
  const std::lock_guard lock(mutex_);
  waiting_.push_back(std::move(write));
}

void SqliteStorage::Flush() {
  std::unique_lock lock(mutex_);
  if (committing_) {
    if (waiting_.size() >= kEnough) changed_.notify_one();
    return;
  }
  if (waiting_.empty()) return;
  committing_ = true;
  CommitSome(lock);
  committing_ = handed_over_ = gather_ = !waiting_.empty();
  if (handed_over_) changed_.notify_one();
}

void SqliteStorage::FlushSoon() {
  const std::lock_guard lock(mutex_);
  if (committing_) {
    if (waiting_.size() >= kEnough) changed_.notify_one();
    return;
  }
  if (waiting_.empty()) return;
  committing_ = handed_over_ = true;
  gather_ = last_batch_ > 1;  // a writer alone does not wait for others
  changed_.notify_one();
}

void SqliteStorage::Discard() {
  const std::lock_guard lock(mutex_);
  waiting_.clear();
}

uint64_t SqliteStorage::transactions() const {
  const std::lock_guard lock(mutex_);
  return transactions_;
}

void SqliteStorage::CommitSome(std::unique_lock<std::mutex>& lock) {
  std::vector<StorageWrite> batch;
  if (waiting_.size() <= kMaxBatch) {
    batch.swap(waiting_);
  } else {
    const auto end = waiting_.begin() + kMaxBatch;
    batch.assign(std::make_move_iterator(waiting_.begin()), std::make_move_iterator(end));
    waiting_.erase(waiting_.begin(), end);
  }
  ++transactions_;
  last_batch_ = batch.size();
  next_ = std::chrono::steady_clock::now() + kGather;
  lock.unlock();
  const Status status = Commit(batch);
  if (status.ok()) {
    listener_->OnDurable(batch.back().revision);
  } else {
    listener_->OnFailed(status);
  }
  lock.lock();
}

void SqliteStorage::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return stopping_ || handed_over_; });
    if (!handed_over_) return;
    while (!waiting_.empty()) {
      if (gather_) {
        changed_.wait_until(lock, next_, [&] { return stopping_ || waiting_.size() >= kEnough; });
      }
      gather_ = true;
      CommitSome(lock);
    }
    committing_ = handed_over_ = false;
  }
}

Status SqliteStorage::Prepare() {
  auto statements = std::make_unique<Statements>(database_);
  for (const Statement* statement : {&statements->begin, &statements->commit, &statements->put,
                                     &statements->remove, &statements->mark}) {
    if (!statement->valid()) return LastError("preparing a write");
  }
  statements_ = std::move(statements);
  return OkStatus();
}

Status SqliteStorage::WriteAll(const std::vector<StorageWrite>& writes) {
  std::map<std::string_view, uint64_t> last;
  for (const StorageWrite& write : writes) {
    std::string text;  // bound, so it lives as long as the statement needs it
    Statement& statement = write.object != nullptr ? statements_->put : statements_->remove;
    statement.Bind(1, write.resource);
    statement.Bind(2, write.key);
    if (write.object != nullptr) {
      statement.Bind(3, write.revision);
      text = write.object->Text();
      statement.Bind(4, text);
    }
    if (statement.Execute() != SQLITE_DONE) return LastError("writing an object");
    last[write.resource] = write.revision;
  }
  for (const auto& [resource, revision] : last) {
    statements_->mark.Bind(1, resource);
    statements_->mark.Bind(2, revision);
    if (statements_->mark.Execute() != SQLITE_DONE) return LastError("writing a revision");
  }
  return OkStatus();
}

Status SqliteStorage::Commit(const std::vector<StorageWrite>& writes) {
  if (statements_->begin.Execute() != SQLITE_DONE) return LastError("BEGIN");
  Status status = WriteAll(writes);
  if (status.ok() && statements_->commit.Execute() != SQLITE_DONE) status = LastError("COMMIT");
  if (!status.ok()) sqlite3_exec(database_, "ROLLBACK", nullptr, nullptr, nullptr);
  return status;
}

}  // namespace envicutor::standalone
