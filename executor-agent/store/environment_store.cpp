#include "executor-agent/store/environment_store.h"

#include <sys/stat.h>

#include <map>
#include <mutex>
#include <utility>

#include "common/base/file.h"
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

class LocalEnvironmentStore final : public EnvironmentStore {
 public:
  LocalEnvironmentStore(std::string root, EnvironmentSource* source)
      : layout_(std::move(root)), source_(source) {}

  Result<std::shared_ptr<const PreparedEnvironment>> Get(const std::string& hash) override {
    if (!IsEnvironmentHash(hash)) {
      return InvalidArgument("not an environment's hash: " + hash.substr(0, 64));
    }
    Result<std::shared_ptr<const PreparedEnvironment>> found = GetLocal(hash);
    if (found.ok() || found.status().code() != Code::kNotFound || source_ == nullptr) return found;
    ENVICUTOR_RETURN_IF_ERROR(source_->Fetch(hash));
    return GetLocal(hash);
  }

 private:
  struct Cached {
    FileIdentity identity;
    std::shared_ptr<const PreparedEnvironment> environment;
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
    const FileIdentity identity{info.st_ino, info.st_mtim};
    {
      const std::lock_guard lock(mutex_);
      const auto found = cache_.find(hash);
      if (found != cache_.end() && found->second.identity == identity) {
        return found->second.environment;
      }
    }
    // Read outside the lock: the disk may be slow, and reading twice does no harm.
    ENVICUTOR_ASSIGN(std::shared_ptr<const PreparedEnvironment> environment, Read(hash));
    const std::lock_guard lock(mutex_);
    cache_[hash] = {identity, environment};
    return environment;
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
