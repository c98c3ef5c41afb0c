#include "executor-agent/builder/builder.h"

#include <unistd.h>

#include <chrono>
#include <csignal>

#include "common/api/limits.h"
#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/unique_fd.h"
#include "executor-agent/builder/expression.h"
#include "executor-agent/builder/memory_events.h"
#include "executor-agent/builder/session.h"
#include "executor-agent/store/environment_store.h"
#include "executor-agent/store/install.h"
#include "executor-agent/store/store_layout.h"
#include "executor-agent/store/store_lock.h"
#include "executor-agent/store/view.h"

namespace envicutor::agent {
namespace {

using SteadyClock = std::chrono::steady_clock;

Result<UniqueFd> LockForBuild(const StoreLayout& layout, LogTail* log) {
  Result<UniqueFd> lock = LockStore(layout, StoreUse::kBuild, std::chrono::milliseconds(0));
  if (lock.ok() || lock.status().code() != Code::kUnavailable) return lock;
  log->Note("envicutor-builder: waiting for another build on this store");
  return LockStore(layout, StoreUse::kBuild, {});
}

Status PrepareFolders(const StoreLayout& layout) {
  ENVICUTOR_RETURN_IF_ERROR(MakeStoreFolders(layout));
  // What a dead builder left of its builds.
  const std::string build = layout.root() + "/build";
  ENVICUTOR_RETURN_IF_ERROR(RemoveTree(build));
  return MakeDirs(build);
}

const char* StepName(SessionResult::Step step) {
  using Step = SessionResult::Step;
  switch (step) {
    case Step::kStart:
      return "starting Nix";
    case Step::kFetch:
      return "fetching nixpkgs";
    case Step::kEvaluate:
      return "evaluating";
    case Step::kBuild:
      return "building";
    case Step::kPublish:
    case Step::kVerify:
      return "publishing";
    case Step::kInspect:
    case Step::kDone:
      return "finishing";
  }
  return "";
}

bool Has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

void Classify(const BuilderOptions& options, const SessionResult& session, int64_t timeout_millis,
              bool oom_killed, std::string_view log, BuildReport* report) {
  using Step = SessionResult::Step;
  const std::string step = StepName(session.step);
  std::string error = UsefulError(log);
  api::StageResult& stage = *report->stage;
  stage.oom_killed = oom_killed;
  const auto finish = [&](BuildOutcome outcome, api::ExitStatus status, std::string message) {
    report->outcome = outcome;
    report->message = std::move(message);
    stage.exit_status = status;
    stage.exit_message = report->message;
  };
  stage.exit_code = session.exit_code != 0 ? std::optional<int>(session.exit_code) : std::nullopt;
  if (session.exit_signal != 0) stage.exit_signal = session.exit_signal;

  if (session.stopped == SessionResult::Stopped::kTimeout) {
    stage.limit = "buildTimeout";
    return finish(BuildOutcome::kTimedOut, api::ExitStatus::kTimeLimit,
                  "the environment was not built within " +
                      api::FormatDurationMillis(timeout_millis) + " (it was " + step + ")");
  }
  if (session.stopped == SessionResult::Stopped::kLogTooLong) {
    return finish(BuildOutcome::kBuildFailed, api::ExitStatus::kOutputLimit,
                  "the build wrote more than " + api::FormatQuantity(options.max_log_bytes) +
                      " to its log and was stopped");
  }
  if (session.stopped == SessionResult::Stopped::kDiskFull) {
    return finish(BuildOutcome::kInternalError, api::ExitStatus::kSandboxError,
                  "the store's file system has less than " +
                      api::FormatQuantity(options.min_free_bytes) + " left; the build was stopped");
  }
  if (!session.error.empty()) {
    return finish(BuildOutcome::kInternalError, api::ExitStatus::kSandboxError, session.error);
  }
  // The collector's own words when its heap is at its bound; bdwgc then aborts.
  const bool out_of_memory = session.stopped == SessionResult::Stopped::kOutOfMemory ||
                             oom_killed || Has(log, "Out of Memory!") ||
                             Has(log, "out of memory") || Has(log, "std::bad_alloc") ||
                             Has(log, "Too many heap sections");
  if (out_of_memory) {
    stage.limit = "buildMemory";
    return finish(BuildOutcome::kOutOfMemory, api::ExitStatus::kMemoryLimit,
                  "out of memory while " + step);
  }
  if (error.empty()) {
    error = session.exit_signal != 0
                ? "Nix was ended by signal " + std::to_string(session.exit_signal)
                : "Nix ended with exit code " + std::to_string(session.exit_code);
    error += " while " + step;
  }
  if (session.step == Step::kEvaluate) {
    if (session.exit_signal == SIGSEGV) error = "the evaluation recursed too deeply";
    return finish(BuildOutcome::kEvaluationFailed, api::ExitStatus::kRuntimeError, error);
  }
  if (session.step == Step::kBuild) {
    const bool timed_out = session.exit_code == 101 || Has(error, "timed out after");
    return finish(timed_out ? BuildOutcome::kTimedOut : BuildOutcome::kBuildFailed,
                  timed_out ? api::ExitStatus::kTimeLimit : api::ExitStatus::kRuntimeError, error);
  }
  if (session.step == Step::kFetch) {
    return finish(BuildOutcome::kEvaluationFailed, api::ExitStatus::kRuntimeError,
                  "nixpkgs cannot be fetched: " + error);
  }
  finish(BuildOutcome::kInternalError, api::ExitStatus::kSandboxError, error);
}

bool IsUrl(const std::string& text) { return text.find("://") != std::string::npos; }

SessionSpec MakeSessionSpec(const BuilderOptions& options, const BuildRequest& request,
                            int lock_fd) {
  const api::EnvironmentSpec& environment = request.environment;
  SessionSpec spec;
  spec.store_root = options.store_root;
  if (!environment.nixpkgs_url.empty()) {
    spec.nixpkgs_url = environment.nixpkgs_url;
    spec.nixpkgs_sha256 = environment.nixpkgs_sha256;
  } else if (IsUrl(options.nixpkgs)) {
    spec.nixpkgs_url = options.nixpkgs;
    spec.nixpkgs_sha256 = options.nixpkgs_sha256;
  } else {
    spec.nixpkgs_dir = options.nixpkgs;
  }
  spec.files = ExpressionFiles(environment);
  spec.network = options.network || !spec.nixpkgs_url.empty();
  if (spec.network) {
    spec.substituters = options.substituters;
    spec.trusted_public_keys = options.trusted_public_keys;
  }
  spec.evaluation_memory_bytes = environment.build_memory_bytes > 0
                                     ? environment.build_memory_bytes
                                     : options.evaluation_memory_bytes;
  spec.memory_bytes =
      environment.build_memory_bytes > 0 ? environment.build_memory_bytes : options.memory_bytes;
  spec.timeout_millis = environment.build_timeout_millis > 0 ? environment.build_timeout_millis
                                                             : options.timeout_millis;
  spec.max_silent_seconds = options.max_silent_seconds;
  spec.max_log_bytes = options.max_log_bytes;
  spec.min_free_bytes = options.min_free_bytes;
  spec.lock_fd = lock_fd;
  spec.hidden_dirs = SecretDirs(options.cache);
  return spec;
}

constexpr char kBuiltAlready[] = "the environment is built already";

int64_t Millis(const timeval& time) { return time.tv_sec * 1000 + time.tv_usec / 1000; }

BuildReport InternalReport(const Status& status) {
  BuildReport report;
  report.message = status.message();
  return report;
}

BuildReport BuiltReport(api::BuiltEnvironment environment, std::string message, LogTail* log) {
  BuildReport report;
  report.outcome = BuildOutcome::kBuilt;
  report.message = std::move(message);
  report.closure_paths = static_cast<int64_t>(environment.closure.size());
  report.environment = std::move(environment);
  log->Note("envicutor-builder: " + report.message);
  return report;
}

BuildReport Build(const BuilderOptions& options, const BuildRequest& request,
                  const StoreLayout& layout, int lock_fd, LogTail* log) {
  BuildReport report;
  if (options.nixpkgs.empty() && request.environment.nixpkgs_url.empty()) {
    report.outcome = BuildOutcome::kEvaluationFailed;
    report.message =
        "the environment names no nixpkgs {url, sha256}, and the system has no default "
        "(builder.nixpkgs in the operator's configuration)";
    return report;
  }
  if (const Status status = PrepareFolders(layout); !status.ok()) return InternalReport(status);

  log->Note("envicutor-builder: building environment " + request.hash);
  const auto start = SteadyClock::now();
  const int64_t oom_kills = CountOomKills();
  const SessionSpec spec = MakeSessionSpec(options, request, lock_fd);
  const SessionResult session =
      RunSession(spec, [log](std::string_view text) { log->AppendLines(text); });
  log->Flush();
  const bool oom_killed = CountOomKills() > oom_kills;

  api::StageResult stage;
  stage.cpu_time_millis = Millis(session.usage.ru_utime) + Millis(session.usage.ru_stime);
  stage.memory_bytes = session.usage.ru_maxrss * 1024;  // of the largest process
  report.stage = stage;
  if (session.step == SessionResult::Step::kDone &&
      session.stopped == SessionResult::Stopped::kNo) {
    report.environment.hash = request.hash;
    report.environment.store_path = session.store_path;
    bool users_fault = false;
    const Status status = InstallEnvironment(layout, session.path_info, options.max_closure_bytes,
                                             &report.environment, &users_fault);
    if (status.ok()) {
      report.outcome = BuildOutcome::kBuilt;
      report.message = "built";
      report.closure_paths = static_cast<int64_t>(report.environment.closure.size());
      report.stage->exit_code = 0;
      report.stage->oom_killed = oom_killed;
    } else {
      report.outcome = users_fault ? BuildOutcome::kBuildFailed : BuildOutcome::kInternalError;
      report.message = status.message();
      report.stage->exit_status =
          users_fault ? api::ExitStatus::kRuntimeError : api::ExitStatus::kSandboxError;
      report.stage->exit_message = report.message;
    }
  } else {
    Classify(options, session, spec.timeout_millis, oom_killed, log->Kept(), &report);
  }
  if (const Status status = RemoveTree(layout.root() + "/build"); !status.ok()) {
    log->Note("envicutor-builder: " + status.message());
  }
  report.stage->wall_time_millis =
      std::chrono::duration_cast<std::chrono::milliseconds>(SteadyClock::now() - start).count();
  log->Note("envicutor-builder: " + std::string(BuildOutcomeName(report.outcome)) + ": " +
            report.message);
  report.stage->stderr_data = WithoutOurFolders(log->Kept());
  report.stage->stderr_bytes = log->total_bytes();
  report.stage->stderr_truncated = log->truncated();
  return report;
}

// What the cache has is as good as what was built here: executors take it from there.
BuildReport FoundReport(const std::string& hash, const Published& found, LogTail* log) {
  api::BuiltEnvironment environment;
  environment.hash = hash;
  environment.store_path = found.store_path;
  environment.closure_size_bytes = found.closure_size_bytes;
  environment.signed_by = found.signed_by;
  BuildReport report =
      BuiltReport(std::move(environment), "the environment is in the cache already", log);
  report.closure_paths = found.closure_paths;
  return report;
}

// Remembers on the store that it is published, so that the next one only has a look.
void Publish(Publisher* publisher, const StoreLayout& layout, int lock_fd, LogTail* log,
             BuildReport* report) {
  const Published published = publisher->Publish(report->environment, lock_fd);
  if (!published.ok) {
    report->outcome = BuildOutcome::kPublishFailed;
    report->environment.signed_by.clear();
    report->reason = published.reason;
    report->message = published.message;
    log->Note("envicutor-builder: not published: " + published.reason + ": " + published.message);
    return;
  }
  report->environment.signed_by = published.signed_by;
  log->Note("envicutor-builder: published, signed by " + published.signed_by);
  const Status written =
      WriteFileAtomic(layout.EnvironmentFile(report->environment.hash),
                      DumpJson(api::BuiltEnvironmentToJson(report->environment)));
  if (!written.ok()) log->Note("envicutor-builder: " + written.message());
}

}  // namespace

BuildReport BuildEnvironment(const BuilderOptions& options, const BuildRequest& request,
                             LogTail* log) {
  const StoreLayout layout(options.store_root);
  // One with a salt is a single submission's and never enters the cache.
  const bool cached = !options.cache.url.empty() && request.environment.salt.empty();
  Publisher publisher(options.cache, options.store_root, log);
  std::optional<api::BuiltEnvironment> built = FindInstalled(layout, request.hash);
  if (built && !cached) return BuiltReport(*std::move(built), kBuiltAlready, log);
  if (built && !built->signed_by.empty() && publisher.Check(built->store_path).ok) {
    return BuiltReport(*std::move(built), kBuiltAlready, log);
  }
  const bool lost = built && !built->signed_by.empty();  // the cache does not have it any more
  // A cache in a folder is on the machine whose executors use this very store: it has to be here.
  const bool elsewhere = options.cache.url.rfind("file://", 0) != 0;
  if (cached && elsewhere) {
    const Published found = publisher.Find(request.hash);
    if (found.ok) return FoundReport(request.hash, found, log);
    if (found.reason != "NotInCache") {
      log->Note("envicutor-builder: the cache was asked: " + found.reason + ": " + found.message);
    }
  }
  Result<UniqueFd> lock = LockForBuild(layout, log);
  if (!lock.ok()) return InternalReport(lock.status());
  built = FindInstalled(layout, request.hash);  // by the one that was waited for, it may be
  if (built && (!cached || (!lost && !built->signed_by.empty()))) {
    return BuiltReport(*std::move(built), kBuiltAlready, log);
  }
  BuildReport report = built ? BuiltReport(*std::move(built), kBuiltAlready, log)
                             : Build(options, request, layout, lock->get(), log);
  if (report.outcome == BuildOutcome::kBuilt && cached) {
    Publish(&publisher, layout, lock->get(), log, &report);
  }
  return report;
}

Status RemoveEnvironment(const BuilderOptions& options, const std::string& hash) {
  if (!IsEnvironmentHash(hash)) return InvalidArgument("not an environment's hash: " + hash);
  const StoreLayout layout(options.store_root);
  LogTail log(STDOUT_FILENO, 4096);
  ENVICUTOR_ASSIGN(const UniqueFd lock, LockForBuild(layout, &log));
  return UninstallEnvironment(layout, hash);
}

}  // namespace envicutor::agent
