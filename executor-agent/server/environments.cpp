#include "executor-agent/server/environments.h"

#include <sys/vfs.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "common/api/wire.h"
#include "common/base/log.h"
#include "executor-agent/store/install.h"
#include "executor-agent/store/store_layout.h"

namespace envicutor::agent {
namespace {

constexpr size_t kMaxEnvironments = 20'000;
constexpr std::chrono::seconds kIdleInterval{60};
// Between two looks at the store: each asks Nix for the sizes of all paths.
constexpr std::chrono::seconds kShortestInterval{2};
// How much is freed when a fetch found the disk full.
constexpr int64_t kRoomForAFetch = 1LL << 30;

// The file system through which a User-Mode-Linux machine sees its host's files.
bool IsHostFs(const std::string& path) {
  constexpr long kHostFs = 0x00c0ffee;
  struct statfs info {};
  return ::statfs(path.c_str(), &info) == 0 && static_cast<long>(info.f_type) == kHostFs;
}

SubstituterOptions ForSubstituter(const AgentOptions& options) {
  SubstituterOptions substituter;
  substituter.store_root = options.store;
  substituter.cache_url = options.cache_url;
  substituter.upstreams = options.cache_upstreams;
  substituter.public_keys = options.cache_public_keys;
  substituter.scratch_dir = options.state_dir + "/nix-fetch";
  substituter.timeout = std::chrono::milliseconds(options.cache_timeout_millis);
  return substituter;
}

CollectorOptions ForCollector(const AgentOptions& options) {
  CollectorOptions collector;
  collector.store_root = options.store;
  collector.scratch_dir = options.state_dir + "/nix-collect";
  collector.max_bytes = options.cache_max_bytes;
  collector.may_fetch_again = !options.cache_url.empty();
  return collector;
}

}  // namespace

Environments::Environments(const AgentOptions& options, metrics::AgentMetrics& metrics)
    : layout_(options.store),
      max_bytes_(options.cache_max_bytes),
      hosts_store_(IsHostFs(options.store)),
      metrics_(metrics),
      collector_(ForCollector(options)) {
  if (!options.cache_url.empty()) {
    substituter_ = std::make_unique<Substituter>(
        ForSubstituter(options),
        [this](const Status& status, std::chrono::milliseconds took) { Fetched(status, took); });
  }
  worker_ = std::jthread([this](const std::stop_token& stop) { Work(stop); });
}

Environments::~Environments() {
  substituter_.reset();  // it calls Fetched
  worker_.request_stop();
}

Result<Json> Environments::Put(const Json& body) {
  if (!body.is_object()) return InvalidArgument("the body must be an object");
  std::vector<Wanted> wanted;
  const Status read =
      api::wire::ReadArray(body, "environments", kMaxEnvironments, [&](const Json& item) -> Status {
        Wanted one;
        std::string kind;
        ENVICUTOR_RETURN_IF_ERROR(api::wire::ReadBoundedString(item, "hash", 64, &one.hash));
        ENVICUTOR_RETURN_IF_ERROR(
            api::wire::ReadBoundedString(item, "storePath", 512, &one.store_path));
        ENVICUTOR_RETURN_IF_ERROR(api::wire::ReadBoundedString(item, "kind", 32, &kind));
        if (!IsEnvironmentHash(one.hash)) return InvalidArgument("\"hash\" is not one");
        if (!one.store_path.empty()) {
          ENVICUTOR_RETURN_IF_ERROR(CheckStorePath(one.store_path));
        }
        one.prefetch = kind == "runtime" && !one.store_path.empty();
        wanted.push_back(std::move(one));
        return OkStatus();
      });
  if (!read.ok()) return read;
  Json list = Json::array();
  for (const Wanted& one : wanted) list.push_back(StateOf(one.hash));
  const std::lock_guard lock(mutex_);
  wanted_ = std::move(wanted);
  told_ = true;
  dirty_ = true;
  wake_.notify_all();
  return Json{{"environments", std::move(list)}, {"bytes", bytes_}, {"maxBytes", max_bytes_}};
}

Json Environments::StateOf(const std::string& hash) const {
  Json state = {{"hash", hash}, {"state", "Absent"}, {"message", ""}, {"sizeBytes", 0}};
  if (const int64_t size = InstalledBytes(layout_, hash); size >= 0) {
    state["state"] = "Ready";
    state["sizeBytes"] = size;
  } else if (substituter_) {
    std::string message;
    const std::string doing = substituter_->StateOf(hash, &message);
    if (!doing.empty()) state["state"] = doing;
    state["message"] = std::move(message);
  }
  return state;
}

void Environments::Fetched(const Status& status, std::chrono::milliseconds took) {
  if (status.ok()) metrics_.closure_fetch_seconds.Observe(took);
  const std::lock_guard lock(mutex_);
  dirty_ = true;
  // Also when it was refused: what was refused lies in the store, unregistered.
  if (status.code() == Code::kResourceExhausted) needed_bytes_ = kRoomForAFetch;
  if (status.code() == Code::kPermissionDenied) needed_bytes_ = std::max<int64_t>(needed_bytes_, 1);
  wake_.notify_all();
}

void Environments::Work(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    std::vector<Wanted> wanted;
    int64_t needed = 0;
    {
      std::unique_lock lock(mutex_);
      wake_.wait_for(lock, stop, kIdleInterval, [this] { return dirty_; });
      if (stop.stop_requested()) return;
      dirty_ = false;
      if (!told_) continue;
      wanted = wanted_;
      needed = std::exchange(needed_bytes_, 0);
    }
    if (hosts_store_) {
      KeepHouseOfHost(wanted);
    } else {
      KeepHouse(wanted, needed);
    }
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, stop, kShortestInterval, [] { return false; });
  }
}

// Locks and shared memory end at the machine's border: a database that builders on the host write
// is left to them, and so is what to remove. Only a run that lacks its environment fetches it.
void Environments::KeepHouseOfHost(const std::vector<Wanted>& wanted) {
  int64_t bytes = 0;
  for (const Wanted& one : wanted) {
    bytes += std::max<int64_t>(InstalledBytes(layout_, one.hash), 0);
  }
  metrics_.closure_bytes.Set(static_cast<double>(bytes));
  const std::lock_guard lock(mutex_);
  bytes_ = bytes;
}

void Environments::KeepHouse(const std::vector<Wanted>& wanted, int64_t needed_bytes) {
  std::set<std::string> live;
  for (const Wanted& one : wanted) live.insert(one.hash);
  Result<Collected> collected = collector_.Collect(live, needed_bytes);
  if (!collected.ok()) {
    const std::lock_guard lock(mutex_);
    needed_bytes_ = std::max(needed_bytes_, needed_bytes);  // the next round tries again
    log::Info("the store was not looked after", {{"why", collected.status().message()}});
  } else {
    metrics_.closure_bytes.Set(static_cast<double>(collected->bytes));
    for (const std::string& hash : collected->removed) {
      log::Info("environment removed from this executor", {{"environment", hash}});
    }
    const std::lock_guard lock(mutex_);
    bytes_ = collected->bytes;
  }
  if (!substituter_ || (collected.ok() && collected->bytes >= max_bytes_)) return;
  for (const Wanted& one : wanted) {
    if (one.prefetch && InstalledBytes(layout_, one.hash) < 0) {
      substituter_->Prefetch(one.hash, one.store_path);
    }
  }
}

}  // namespace envicutor::agent
