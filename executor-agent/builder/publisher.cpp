#include "executor-agent/builder/publisher.h"

#include <algorithm>

#include "common/api/limits.h"
#include "common/base/file.h"
#include "common/base/json.h"
#include "executor-agent/builder/cache_access.h"
#include "executor-agent/builder/cache_key.h"
#include "executor-agent/builder/narinfo.h"
#include "executor-agent/builder/report.h"
#include "executor-agent/builder/session.h"
#include "executor-agent/store/store_layout.h"

namespace envicutor::agent {
namespace {

constexpr size_t kMaxSecretBytes = 64U << 10U;
constexpr size_t kKeptLogBytes = 64U << 10U;
constexpr int64_t kMaxLogBytes = 64LL << 20;
constexpr int64_t kAccessTimeoutMillis = 60'000;
constexpr size_t kMaxPointerBytes = 4096;
// What `nix store verify` adds up in its exit code.
constexpr int kCorrupt = 1;
constexpr int kUntrusted = 2;

bool Has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

Published Failed(std::string reason, std::string message) {
  Published result;
  result.reason = std::move(reason);
  result.message = std::move(message);
  return result;
}

Published FromStatus(const Status& status) {
  std::string reason = "CacheUnavailable";
  if (status.code() == Code::kPermissionDenied) reason = "CacheDenied";
  if (status.code() == Code::kResourceExhausted) reason = "CacheFull";
  if (status.code() == Code::kDeadlineExceeded) reason = "CacheTimeout";
  return Failed(std::move(reason), status.message());
}

// Why Nix could not write, by its own words.
std::string ReasonOf(std::string_view log) {
  if (Has(log, "No space left") || Has(log, "HTTP error 507") || Has(log, "HTTP error 413")) {
    return "CacheFull";
  }
  if (Has(log, "HTTP error 401") || Has(log, "HTTP error 403") || Has(log, "HTTP error 405") ||
      Has(log, "Permission denied") || Has(log, "AccessDenied")) {
    return "CacheDenied";
  }
  return "CacheUnavailable";
}

// The words that Nix verifies with: all of them.
std::string Joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

std::string FolderOf(const std::string& file) { return file.substr(0, file.rfind('/')); }

std::string Plain(const std::string& url) { return url.substr(0, url.find('?')); }

}  // namespace

struct Publisher::Session {
  SessionResult result;
  std::string log;
};

std::vector<std::string> SecretDirs(const CacheSettings& settings) {
  std::vector<std::string> dirs;
  for (const std::string& file : {settings.key_file, settings.netrc_file}) {
    if (file.find('/') != std::string::npos) dirs.push_back(FolderOf(file));
  }
  std::sort(dirs.begin(), dirs.end());
  dirs.erase(std::unique(dirs.begin(), dirs.end()), dirs.end());
  return dirs;
}

Result<std::string> Publisher::SecretKey() const {
  Result<std::string> key = ReadFile(settings_.key_file, kMaxSecretBytes);
  if (!key.ok()) return key.status().WithContext("the cache's key");
  while (!key->empty() && key->back() == '\n') key->pop_back();
  if (!BelongsTo(*key, settings_.public_keys)) {
    return InvalidArgument(
        "the key in the Secret (" + CacheKeyName(*key) +
        ") is not one of cache.publicKeys: executors would refuse what it signs");
  }
  return key;
}

std::string Publisher::Netrc() const {
  if (settings_.netrc_file.empty()) return "";
  Result<std::string> netrc = ReadFile(settings_.netrc_file, kMaxSecretBytes);
  return netrc.ok() ? *netrc : "";
}

Publisher::Session Publisher::Run(const std::string& store_path, const std::string& secret_key,
                                  int lock_fd) const {
  Session session;
  SessionSpec spec;
  spec.publish = PublishSpec{settings_.url, secret_key, Netrc(),
                             !secret_key.empty() || settings_.doubt, store_path};
  spec.store_root = store_root_;
  spec.network = true;
  spec.trusted_public_keys = Joined(settings_.public_keys);
  spec.timeout_millis = settings_.timeout_millis;
  spec.max_log_bytes = kMaxLogBytes;
  spec.lock_fd = lock_fd;
  Status ready = MakeDirs(store_root_ + "/nix");
  if (ready.ok()) ready = MakeDirs(store_root_ + "/build");
  if (ready.ok() && settings_.url.rfind("file://", 0) == 0) {
    ready = MakeDirs(Plain(settings_.url).substr(7));
  }
  if (!ready.ok()) {
    session.result.error = ready.message();
    return session;
  }
  LogTail tail(-1, kKeptLogBytes);
  session.result = RunSession(spec, [&tail](std::string_view text) { tail.Append(text); });
  session.log = tail.Kept();
  return session;
}

Published Publisher::Judge(const Session& session, const std::string& store_path) const {
  using Step = SessionResult::Step;
  const SessionResult& result = session.result;
  if (result.stopped == SessionResult::Stopped::kTimeout) {
    return Failed("CacheTimeout", "the cache did not take the environment within " +
                                      api::FormatDurationMillis(settings_.timeout_millis));
  }
  if (!result.error.empty()) return Failed("CacheUnavailable", result.error);
  std::string error = UsefulError(session.log);
  if (error.empty()) error = "Nix ended with exit code " + std::to_string(result.exit_code);
  if (result.step == Step::kVerify && (result.exit_code & kUntrusted) != 0) {
    return Failed("CacheUntrusted",
                  "the cache has paths of this environment that no key of ours signed");
  }
  if (result.step == Step::kVerify && (result.exit_code & kCorrupt) != 0) {
    return Failed("CacheCorrupt", "the cache does not give back what was signed: " + error);
  }
  if (result.step != Step::kDone || result.stopped != SessionResult::Stopped::kNo) {
    return Failed(ReasonOf(session.log), error);
  }
  Published published;
  const Result<Json> info = ParseJson(result.path_info, 16);
  if (!info.ok()) return Failed("CacheUnavailable", info.status().message());
  for (const Json& path : *info) {  // a list, or an object by path
    published.closure_size_bytes += GetInt(path, "narSize");
    ++published.closure_paths;
  }
  published.ok = true;
  published.store_path = store_path;
  return published;
}

void Publisher::RemoveFromCache(const std::vector<std::string>& closure,
                                std::string_view log) const {
  std::vector<std::string> bad;
  for (const std::string& path : closure) {
    if (Has(log, path + "' is untrusted") || Has(log, path + "' was modified")) bad.push_back(path);
  }
  // A file that is lost is not named by its store path.
  if (bad.empty()) bad = closure;
  log_->Note("envicutor-builder: " + std::to_string(bad.size()) +
             " paths in the cache are not as they were signed; they are replaced");
  const Result<std::string> removed = WithCacheFiles(
      settings_.url, Netrc(), kAccessTimeoutMillis,
      [&bad](CacheFiles& files) -> Result<std::string> {
        for (const std::string& path : bad) {
          const std::string name = NarinfoName(path);
          const Result<std::string> text = files.Get(name, kMaxNarinfoBytes);
          ENVICUTOR_RETURN_IF_ERROR(files.Delete(name));
          // Nix does not write a file again that is there.
          const Result<Narinfo> info = text.ok() ? ParseNarinfo(*text) : text.status();
          if (info.ok()) ENVICUTOR_RETURN_IF_ERROR(files.Delete(info->url));
        }
        return std::string();
      });
  if (!removed.ok()) log_->Note("envicutor-builder: " + removed.status().message());
}

Published Publisher::Publish(const api::BuiltEnvironment& environment, int lock_fd) {
  const Result<std::string> key = SecretKey();
  if (!key.ok()) return Failed("CacheKeyInvalid", key.status().message());
  log_->Note("envicutor-builder: publishing to " + Plain(settings_.url));
  Session session = Run(environment.store_path, *key, lock_fd);
  Published published = Judge(session, environment.store_path);
  if (!published.ok && session.result.step == SessionResult::Step::kVerify &&
      published.reason != "CacheTimeout") {
    RemoveFromCache(environment.closure, session.log);
    session = Run(environment.store_path, *key, lock_fd);
    published = Judge(session, environment.store_path);
  }
  if (!published.ok) return published;
  published.signed_by = CacheKeyName(*key);
  const Result<std::string> pointer = SignPointer(environment.hash, environment.store_path, *key);
  if (!pointer.ok()) return FromStatus(pointer.status());
  const Result<std::string> written = WithCacheFiles(
      settings_.url, Netrc(), kAccessTimeoutMillis, [&](CacheFiles& files) -> Result<std::string> {
        ENVICUTOR_RETURN_IF_ERROR(files.Put(PointerName(environment.hash), *pointer));
        return std::string();
      });
  // A cache of another kind has none: the operator remembers the store path all the same.
  if (!written.ok() && written.status().code() != Code::kUnimplemented) {
    return FromStatus(written.status());
  }
  return published;
}

Published Publisher::Check(const std::string& store_path) {
  return Judge(Run(store_path, "", -1), store_path);
}

Published Publisher::Find(const std::string& hash) {
  const Result<std::string> text = WithCacheFiles(
      settings_.url, Netrc(), kAccessTimeoutMillis,
      [&](CacheFiles& files) { return files.Get(PointerName(hash), kMaxPointerBytes); });
  if (!text.ok()) {
    const bool absent =
        text.status().code() == Code::kNotFound || text.status().code() == Code::kUnimplemented;
    return absent ? Failed("NotInCache", text.status().message()) : FromStatus(text.status());
  }
  const Result<EnvironmentPointer> pointer = VerifyPointer(hash, *text, settings_.public_keys);
  if (!pointer.ok()) return Failed("CacheUntrusted", pointer.status().message());
  Published published = Check(pointer->store_path);
  published.signed_by = pointer->signed_by;
  return published;
}

}  // namespace envicutor::agent
