#include "executor-agent/store/substituter.h"

#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <utility>

#include "common/api/limits.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "executor-agent/store/install.h"
#include "executor-agent/store/store_lock.h"
#include "executor-agent/store/view.h"

namespace envicutor::agent {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kLockPatience{std::chrono::seconds(20)};
constexpr std::chrono::milliseconds kFirstPause{500};
constexpr std::chrono::milliseconds kLongestPause{30'000};
constexpr size_t kMaxFailures = 1000;

bool Has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

// What a failed substitution means. Nix's own words are the message: they name the path.
Status Judge(const NixExit& exit, const SubstituterOptions& options,
             const std::string& store_path) {
  const std::string from = "fetching " + store_path + " from " + options.cache_url;
  if (!exit.stopped.empty()) return Unavailable(from + " was stopped: " + exit.stopped);
  std::string error = NixErrorOf(exit.errors);
  if (Has(exit.errors, "is not signed by any of the keys") ||
      Has(exit.errors, "lacks a valid signature") || Has(exit.errors, "lacks a signature")) {
    return {Code::kPermissionDenied, "refused, not signed by a trusted key: " + error};
  }
  if (Has(exit.errors, "hash mismatch importing path")) {
    return {Code::kPermissionDenied,
            "refused, the cache's content is not what was signed: " + error};
  }
  if (Has(exit.errors, "No space left on device")) {
    return ResourceExhausted("the executor's disk is full: " + error);
  }
  if (Has(exit.errors, "File size limit exceeded") || Has(exit.errors, "File too large")) {
    return ResourceExhausted(from + " gave a file of more than " +
                             api::FormatQuantity(options.max_closure_bytes));
  }
  if (exit.code == 127) return FailedPrecondition("Nix is not installed on the executor: " + error);
  if (error.empty() && Has(exit.errors, "don't know how to build")) {
    return NotFound("the cache " + options.cache_url + " does not have " + store_path +
                    " or something that it needs");
  }
  if (error.empty()) {
    error = exit.signal != 0 ? "Nix was ended by signal " + std::to_string(exit.signal)
                             : "Nix ended with exit code " + std::to_string(exit.code);
  }
  return Unavailable(from + ": " + error);
}

std::string Settings(const SubstituterOptions& options) {
  std::string text = "substitute = true\n";
  text += "substituters = " + options.cache_url + " " + options.upstreams + "\n";
  text += "trusted-public-keys = " + options.public_keys + "\n";
  // Slow is better than never, but a run waits: no answer for so long is a failure.
  text += "connect-timeout = 5\nstalled-download-timeout = 15\ndownload-attempts = 2\n";
  // Substitutions at once (max-jobs bounds them too); there is nothing to build.
  text += "max-jobs = 8\nbuilders =\nfallback = false\nhttp-connections = 16\n";
  return text;
}

}  // namespace

std::string NixStoreUri(const std::string& store_root) { return "local?root=" + store_root; }

std::vector<std::string> NixEnvironment(const std::string& scratch_dir,
                                        const std::string& settings) {
  const char* const path = std::getenv("PATH");
  std::vector<std::string> env = {
      "PATH=" + std::string(path != nullptr ? path : "/usr/local/bin:/usr/bin:/bin"),
      "HOME=" + scratch_dir,
      "XDG_CACHE_HOME=" + scratch_dir,
      "NIX_CONF_DIR=" + scratch_dir,
      "NIX_USER_CONF_FILES=",
      "NIX_STATE_DIR=" + scratch_dir + "/state",
      "NIX_REMOTE=",
      "LC_ALL=C.UTF-8",
      "TERM=dumb",
      "NIX_CONFIG=experimental-features = nix-command\nbuild-users-group =\nrequire-sigs = true\n"
      "narinfo-cache-negative-ttl = 0\nnarinfo-cache-positive-ttl = 0\n" +
          settings};
  // For https and s3; none of them reaches a box.
  for (const char* name :
       {"NIX_SSL_CERT_FILE", "SSL_CERT_FILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE",
        "https_proxy", "http_proxy", "no_proxy"}) {
    if (const char* const value = std::getenv(name)) env.push_back(std::string(name) + "=" + value);
  }
  return env;
}

Substituter::Substituter(SubstituterOptions options, OnFetched on_fetched)
    : options_(std::move(options)),
      layout_(options_.store_root),
      on_fetched_(std::move(on_fetched)) {
  if (const Status status = RemoveTree(options_.scratch_dir); !status.ok()) {
    log::Warn("old files of Nix are left", {{"error", status.message()}});
  }
  for (int i = 0; i < std::max(options_.workers, 1); ++i) {
    workers_.emplace_back([this](const std::stop_token& stop) { Work(stop); });
  }
}

Substituter::~Substituter() {
  for (std::jthread& worker : workers_) worker.request_stop();
  workers_.clear();
  const std::lock_guard lock(mutex_);
  for (auto& [hash, flight] : flights_) {
    flight->done = true;
    flight->status = Status(Code::kCancelled, "the executor ends");
  }
  changed_.notify_all();
}

std::shared_ptr<Substituter::Flight> Substituter::Take(const std::string& hash,
                                                       const std::string& store_path, bool wanted) {
  std::shared_ptr<Flight>& flight = flights_[hash];
  if (!flight) {
    flight = std::make_shared<Flight>();
    flight->hash = hash;
    flight->store_path = store_path;
    waiting_.push_back(flight);
    changed_.notify_all();
  }
  flight->wanted = flight->wanted || wanted;
  return flight;
}

Status Substituter::Fetch(const std::string& hash, const std::string& store_path,
                          std::stop_token stop) {
  if (!IsEnvironmentHash(hash)) return InvalidArgument("not an environment's hash: " + hash);
  ENVICUTOR_RETURN_IF_ERROR(CheckStorePath(store_path));
  std::unique_lock lock(mutex_);
  const auto failed = failures_.find(hash);
  if (failed != failures_.end() && SteadyClock::now() < failed->second.until) {
    return failed->second.status;
  }
  const std::shared_ptr<Flight> flight = Take(hash, store_path, true);
  if (!changed_.wait(lock, stop, [&] { return flight->done; })) {
    return {Code::kCancelled, "stopped while its environment was fetched"};
  }
  return flight->status;
}

void Substituter::Prefetch(const std::string& hash, const std::string& store_path) {
  if (!IsEnvironmentHash(hash) || !CheckStorePath(store_path).ok()) return;
  const std::lock_guard lock(mutex_);
  const auto failed = failures_.find(hash);
  if (failed != failures_.end() && SteadyClock::now() < failed->second.until) return;
  Take(hash, store_path, false);
}

std::string Substituter::StateOf(const std::string& hash, std::string* message) const {
  const std::lock_guard lock(mutex_);
  if (flights_.contains(hash)) return "Fetching";
  const auto failed = failures_.find(hash);
  if (failed == failures_.end()) return "";
  *message = failed->second.status.message();
  return "Failed";
}

// A run's first; prefetches one at a time, so that a run always finds a worker.
std::shared_ptr<Substituter::Flight> Substituter::Next() {
  const auto wanted = std::find_if(waiting_.begin(), waiting_.end(),
                                   [](const auto& flight) { return flight->wanted; });
  auto chosen = wanted;
  if (wanted == waiting_.end()) {
    const bool prefetching = std::any_of(flights_.begin(), flights_.end(), [](const auto& entry) {
      return entry.second->started && !entry.second->wanted;
    });
    if (prefetching && options_.workers > 1) return nullptr;
    chosen = waiting_.begin();
  }
  if (chosen == waiting_.end()) return nullptr;
  std::shared_ptr<Flight> flight = *chosen;
  waiting_.erase(chosen);
  flight->started = true;
  return flight;
}

void Substituter::Work(const std::stop_token& stop) {
  while (true) {
    std::shared_ptr<Flight> flight;
    {
      std::unique_lock lock(mutex_);
      if (!changed_.wait(lock, stop, [&] { return (flight = Next()) != nullptr; })) return;
    }
    Landed(flight, Substitute(*flight, stop));
  }
}

void Substituter::Landed(const std::shared_ptr<Flight>& flight, const Status& status) {
  const std::lock_guard lock(mutex_);
  flight->done = true;
  flight->status = status;
  flights_.erase(flight->hash);
  if (status.ok()) {
    failures_.erase(flight->hash);
  } else if (status.code() != Code::kCancelled) {
    if (failures_.size() >= kMaxFailures) failures_.erase(failures_.begin());
    Failure& failure = failures_[flight->hash];
    const auto pause = kFirstPause * (1 << std::min(failure.count++, 6));
    failure.until = SteadyClock::now() + std::min<std::chrono::milliseconds>(pause, kLongestPause);
    failure.status = status;
  }
  changed_.notify_all();
}

Status Substituter::CheckRoom() const {
  struct statvfs info {};
  if (::statvfs(options_.store_root.c_str(), &info) != 0) {
    return ErrnoStatus(errno, options_.store_root);
  }
  const auto free = static_cast<int64_t>(info.f_bavail) * static_cast<int64_t>(info.f_frsize);
  if (free >= options_.min_free_bytes) return OkStatus();
  return ResourceExhausted("the executor's disk is full: " + api::FormatQuantity(free) +
                           " are left in " + options_.store_root + ", less than " +
                           api::FormatQuantity(options_.min_free_bytes));
}

NixExit Substituter::Nix(std::vector<std::string> argv, const std::string& settings,
                         const std::string& scratch, const std::stop_token& stop) const {
  NixCommand command;
  command.argv = std::move(argv);
  command.env = NixEnvironment(scratch, settings);
  command.timeout = options_.timeout;
  command.max_file_bytes = options_.max_closure_bytes;
  command.stop_reason = [this, &stop]() -> std::string {
    if (stop.stop_requested()) return "the executor ends";
    return CheckRoom().message();
  };
  return RunNix(command);
}

Status Substituter::Substitute(const Flight& flight, const std::stop_token& stop) {
  if (FindInstalled(layout_, flight.hash)) return OkStatus();
  ENVICUTOR_ASSIGN(const UniqueFd lock, LockStore(layout_, StoreUse::kFetch, kLockPatience));
  ENVICUTOR_RETURN_IF_ERROR(MakeStoreFolders(layout_));
  ENVICUTOR_RETURN_IF_ERROR(CheckRoom());
  std::string scratch;
  {
    const std::lock_guard counting(mutex_);
    scratch = options_.scratch_dir + "/" + std::to_string(next_scratch_++);
  }
  // New each time: what one answer said must not decide about the next.
  ENVICUTOR_RETURN_IF_ERROR(MakeDirs(scratch, 0700));
  const auto begin = SteadyClock::now();
  const std::string uri = NixStoreUri(options_.store_root);
  const auto substitute = [&]() -> Status {
    const NixExit fetched = Nix({"nix-store", "--store", uri, "--realise", flight.store_path},
                                Settings(options_), scratch, stop);
    if (stop.stop_requested()) return {Code::kCancelled, "the executor ends"};
    if (!fetched.ok()) return Judge(fetched, options_, flight.store_path);
    // What is registered counts: a refused path's files may lie in the store all the same.
    const NixExit info =
        Nix({"nix", "path-info", "--store", uri, "--json", "-r", flight.store_path},
            "substituters =\n", scratch, stop);
    if (!info.ok()) {
      return Unavailable("the store does not know " + flight.store_path +
                         " after its fetch: " + NixErrorOf(info.errors) + info.stopped);
    }
    api::BuiltEnvironment environment;
    environment.hash = flight.hash;
    environment.store_path = flight.store_path;
    bool spoiled = false;
    return InstallEnvironment(layout_, info.output, options_.max_closure_bytes, &environment,
                              &spoiled);
  };
  Status status = substitute();
  const auto took =
      std::chrono::duration_cast<std::chrono::milliseconds>(SteadyClock::now() - begin);
  if (const Status removed = RemoveTree(scratch); !removed.ok()) {
    log::Warn("files of Nix are left", {{"error", removed.message()}});
  }
  if (status.ok()) {
    log::Info("environment fetched",
              {{"environment", flight.hash}, {"millis", std::to_string(took.count())}});
  } else {
    log::Warn("environment not fetched",
              {{"environment", flight.hash}, {"error", status.ToString()}});
  }
  if (on_fetched_) on_fetched_(status, took);
  return status;
}

}  // namespace envicutor::agent
