#include "executor-agent/store/environment_store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <map>
#include <mutex>
#include <utility>

#include "common/base/file.h"
#include "common/base/unique_fd.h"
#include "executor-agent/store/store_layout.h"

namespace envicutor::agent {
namespace {

constexpr size_t kMaxEnvironmentFileBytes = 16U << 20U;

// Which environment.json was read: a rebuilt one is another file.
struct FileIdentity {
  ino_t inode = 0;
  timespec modified{};
  bool operator==(const FileIdentity& other) const {
    return inode == other.inode && modified.tv_sec == other.modified.tv_sec &&
           modified.tv_nsec == other.modified.tv_nsec;
  }
};

FileIdentity IdentityOf(const struct stat& info) { return {info.st_ino, info.st_mtim}; }

// What the users of an environment share while there are any: a lock that says so to whoever wants
// to remove it, in whatever process.
struct Use {
  UniqueFd lock;
  std::shared_ptr<const PreparedEnvironment> environment;
};

class LocalEnvironmentStore final : public EnvironmentStore {
 public:
  LocalEnvironmentStore(std::string root, EnvironmentSource* source)
      : layout_(std::move(root)), source_(source) {}

  Result<std::shared_ptr<const PreparedEnvironment>> Get(const std::string& hash,
                                                         const std::string& store_path,
                                                         std::stop_token stop) override {
    if (!IsEnvironmentHash(hash)) {
      return InvalidArgument("not an environment's hash: " + hash.substr(0, 64));
    }
    Result<std::shared_ptr<const PreparedEnvironment>> found = GetLocal(hash);
    if (found.ok() || found.status().code() != Code::kNotFound) return found;
    if (source_ == nullptr || store_path.empty()) return found;
    ENVICUTOR_RETURN_IF_ERROR(source_->Fetch(hash, store_path, std::move(stop)));
    return GetLocal(hash);
  }

 private:
  struct Cached {
    FileIdentity identity;
    std::shared_ptr<const PreparedEnvironment> environment;
    std::weak_ptr<const Use> use;
  };

  Result<std::shared_ptr<const PreparedEnvironment>> GetLocal(const std::string& hash) {
    struct stat info {};
    if (::lstat(layout_.EnvironmentFile(hash).c_str(), &info) != 0) {
      const std::lock_guard lock(mutex_);
      cache_.erase(hash);
      if (errno == ENOENT || errno == ENOTDIR) {
        return NotFound("environment " + hash + " is not on this node");
      }
      return ErrnoStatus(errno, layout_.EnvironmentFile(hash));
    }
    const FileIdentity identity = IdentityOf(info);
    std::shared_ptr<const PreparedEnvironment> environment;
    {
      const std::lock_guard lock(mutex_);
      const auto found = cache_.find(hash);
      if (found != cache_.end() && found->second.identity == identity) {
        if (const std::shared_ptr<const Use> use = found->second.use.lock()) return Share(use);
        environment = found->second.environment;
      }
    }
    // Outside the lock: the disk may be slow, and reading twice does no harm.
    ENVICUTOR_ASSIGN(UniqueFd in_use, LockForUse(hash, identity));
    if (!environment) {
      ENVICUTOR_ASSIGN(environment, Read(hash));
    }
    auto use = std::make_shared<const Use>(Use{std::move(in_use), environment});
    const std::lock_guard lock(mutex_);
    cache_[hash] = {identity, environment, use};
    return Share(use);
  }

  static std::shared_ptr<const PreparedEnvironment> Share(const std::shared_ptr<const Use>& use) {
    return {use, use->environment.get()};
  }

  // Shared; who removes it takes it exclusively (install.cpp). Also says when it was last used.
  [[nodiscard]] Result<UniqueFd> LockForUse(const std::string& hash,
                                            const FileIdentity& identity) const {
    const std::string file = layout_.EnvironmentFile(hash);
    const Status removed = NotFound("environment " + hash + " is being removed from this node");
    UniqueFd lock(::open(file.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    if (!lock.valid()) return errno == ENOENT ? removed : ErrnoStatus(errno, file);
    struct stat held {};
    struct stat there {};
    // Who removes it, or looks whether it is in use, has it for a moment only.
    while (::flock(lock.get(), LOCK_SH) != 0) {
      if (errno != EINTR) return ErrnoStatus(errno, file);
    }
    if (::fstat(lock.get(), &held) != 0 || ::lstat(file.c_str(), &there) != 0 ||
        !(IdentityOf(held) == identity) || !(IdentityOf(there) == identity)) {
      return removed;
    }
    ::utimensat(AT_FDCWD, layout_.EnvironmentDir(hash).c_str(), nullptr, 0);
    return lock;
  }

  [[nodiscard]] Result<std::shared_ptr<const PreparedEnvironment>> Read(
      const std::string& hash) const {
    const auto unusable = [&hash](const Status& why) {
      return Status(Code::kFailedPrecondition,
                    "environment " + hash + " is unusable: " + why.message());
    };
    Result<std::string> text = ReadFile(layout_.EnvironmentFile(hash), kMaxEnvironmentFileBytes);
    if (!text.ok()) {
      if (text.status().code() == Code::kNotFound) return text.status();  // removed just now
      return unusable(text.status());
    }
    const Result<Json> json = ParseJson(*text, 16);
    if (!json.ok()) return unusable(json.status());
    Result<api::BuiltEnvironment> built = api::BuiltEnvironmentFromJson(*json);
    if (!built.ok()) return unusable(built.status());
    if (const Status status = CheckBuiltEnvironment(*built, hash); !status.ok())
      return unusable(status);

    auto environment = std::make_shared<PreparedEnvironment>();
    environment->box.view_dir = layout_.ViewDir(hash);
    environment->box.shell = built->shell;
    environment->box.env_binary = built->env_binary;
    environment->built = *std::move(built);
    struct stat info {};
    if (::lstat(environment->box.view_dir.c_str(), &info) != 0) {
      return unusable(ErrnoStatus(errno, environment->box.view_dir));
    }
    if (!S_ISDIR(info.st_mode)) return unusable(Internal("its view is not a folder"));
    return std::shared_ptr<const PreparedEnvironment>(std::move(environment));
  }

  const StoreLayout layout_;
  EnvironmentSource* const source_;
  std::mutex mutex_;
  std::map<std::string, Cached> cache_;
};

}  // namespace

std::unique_ptr<EnvironmentStore> NewEnvironmentStore(std::string root, EnvironmentSource* source) {
  return std::make_unique<LocalEnvironmentStore>(std::move(root), source);
}

}  // namespace envicutor::agent
