#include "executor-agent/store/collector.h"

#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/log.h"
#include "executor-agent/store/environment_store.h"
#include "executor-agent/store/install.h"
#include "executor-agent/store/nix_command.h"
#include "executor-agent/store/store_lock.h"
#include "executor-agent/store/substituter.h"
#include "executor-agent/store/view.h"

namespace envicutor::agent {
namespace {

constexpr size_t kMaxEnvironments = 100'000;

NixExit Nix(std::vector<std::string> argv, const CollectorOptions& options) {
  NixCommand command;
  command.argv = std::move(argv);
  command.env = NixEnvironment(options.scratch_dir, "substituters =\n");
  command.timeout = options.timeout;
  return RunNix(command);
}

std::vector<std::string> NamesIn(const std::string& folder) {
  std::vector<std::string> names;
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(::opendir(folder.c_str()), ::closedir);
  if (!entries) return names;
  while (const dirent* entry = ::readdir(entries.get())) {
    if (names.size() >= kMaxEnvironments) break;
    names.emplace_back(entry->d_name);
  }
  return names;
}

}  // namespace

std::vector<std::string> ChooseEvictions(std::vector<StoredEnvironment> stored, int64_t bytes_over,
                                         bool may_fetch_again) {
  std::sort(stored.begin(), stored.end(), [](const auto& a, const auto& b) {
    if (a.live != b.live) return !a.live;
    if (a.last_used != b.last_used) return a.last_used < b.last_used;
    return a.hash < b.hash;
  });
  std::vector<std::string> chosen;
  for (const StoredEnvironment& environment : stored) {
    if (bytes_over <= 0 || (environment.live && !may_fetch_again)) break;
    if (environment.in_use) continue;
    bytes_over -= environment.size_bytes;
    chosen.push_back(environment.hash);
  }
  return chosen;
}

Collector::Collector(CollectorOptions options)
    : options_(std::move(options)), layout_(options_.store_root) {
  // Of one process: what a predecessor left goes.
  Status status = RemoveTree(options_.scratch_dir);
  if (status.ok()) status = MakeDirs(options_.scratch_dir, 0700);
  if (!status.ok()) log::Warn("no folder for Nix's own files", {{"error", status.message()}});
}

std::vector<StoredEnvironment> Collector::List(const std::set<std::string>& live) const {
  std::vector<StoredEnvironment> list;
  for (const std::string& name : NamesIn(layout_.EnvironmentsDir())) {
    if (!IsEnvironmentHash(name)) continue;
    struct stat info {};
    if (::lstat(layout_.EnvironmentDir(name).c_str(), &info) != 0) continue;
    StoredEnvironment environment;
    environment.hash = name;
    environment.last_used = info.st_mtim.tv_sec;
    environment.live = live.contains(name);
    environment.in_use = IsInUse(layout_, name);
    environment.size_bytes = std::max<int64_t>(InstalledBytes(layout_, name), 0);
    list.push_back(std::move(environment));
  }
  return list;
}

Result<int64_t> Collector::StoreBytes() const {
  struct stat info {};
  if (::stat((layout_.NixDir() + "/var/nix/db").c_str(), &info) != 0) return int64_t{0};
  const NixExit exit =
      Nix({"nix", "path-info", "--store", NixStoreUri(options_.store_root), "--json", "--all"},
          options_);
  if (!exit.ok()) {
    return Unavailable("the store's size is not known: " + NixErrorOf(exit.errors) + exit.stopped);
  }
  ENVICUTOR_ASSIGN(const Json json, ParseJson(exit.output, 16));
  int64_t bytes = 0;
  // A list in Nix 2.8, an object by path in newer ones.
  for (const Json& path : json) bytes += std::max<int64_t>(GetInt(path, "narSize"), 0);
  return bytes;
}

Result<Collected> Collector::Collect(const std::set<std::string>& live,
                                     int64_t needed_bytes) const {
  Collected result;
  ENVICUTOR_ASSIGN(result.bytes, StoreBytes());
  const int64_t over = result.bytes - options_.max_bytes;
  if (over <= 0 && needed_bytes <= 0) return result;
  ENVICUTOR_ASSIGN(const auto locks, LockForCollection(layout_));
  for (const std::string& hash : ChooseEvictions(List(live), std::max(over, needed_bytes),
                                                 options_.may_fetch_again && over > 0)) {
    const Status status = UninstallEnvironment(layout_, hash);
    if (status.ok()) {
      result.removed.push_back(hash);
    } else if (status.code() != Code::kUnavailable) {
      log::Warn("environment not removed", {{"environment", hash}, {"error", status.message()}});
    }
  }
  // Also removes what is in the store without being registered: refused or broken off.
  const NixExit exit =
      Nix({"nix-store", "--store", NixStoreUri(options_.store_root), "--gc"}, options_);
  if (!exit.ok()) {
    return Unavailable("the store was not collected: " + NixErrorOf(exit.errors) + exit.stopped);
  }
  ENVICUTOR_ASSIGN(result.bytes, StoreBytes());
  return result;
}

}  // namespace envicutor::agent
