// The Submission controller: sees a Submission, has it run once on an executor, writes its one
// result.
//
// Reconcile(key) holds all decisions and is called for one key by one thread at a time (the
// workqueue sees to it); the simulation calls it without threads. What happens elsewhere (a result,
// a runtime that became ready, a build that ended) puts the key back into the queue.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/base/clock.h"
#include "common/kube/client.h"
#include "common/kube/informer.h"
#include "common/kube/recorder.h"
#include "common/kube/workqueue.h"
#include "common/metrics/metrics.h"
#include "operator/controllers/admission.h"
#include "operator/controllers/submission_status.h"
#include "operator/controllers/submission_story.h"
#include "operator/controllers/write_budget.h"
#include "operator/dispatch/runner.h"
#include "operator/environments/builds.h"
#include "operator/live_options.h"
#include "operator/runtimes/catalog.h"

namespace envicutor::op {

class TtlCollector;

struct SubmissionControllerDeps {
  kube::Client& client;
  kube::Informer& submissions;
  kube::WorkQueue& queue;
  Runner& runner;
  RuntimeCatalog& catalog;
  EnvironmentBuilds& builds;
  TtlCollector& ttl;
  kube::EventRecorder* events = nullptr;
  const metrics::OperatorMetrics& metrics;
  const Clock& clock;
  OptionsRef options;
};

// Thread-safe.
class SubmissionController {
 public:
  explicit SubmissionController(const SubmissionControllerDeps& deps);
  ~SubmissionController();
  SubmissionController(const SubmissionController&) = delete;
  SubmissionController& operator=(const SubmissionController&) = delete;

  // Handlers on the informer, the catalog and the builds; before they start.
  void Follow();
  // Not OK: worth trying again, with backoff.
  [[nodiscard]] Status Reconcile(const std::string& key);

  // What log lines about this key begin with.
  [[nodiscard]] log::Context LogContext(const std::string& key) const;
  // Submissions that are not finished and are known here.
  [[nodiscard]] size_t live() const;
  // Hash and store path of the environments that live submissions brought themselves.
  [[nodiscard]] std::map<std::string, std::string> OwnEnvironments() const;

 private:
  enum class Stage { kNew, kSubmitted, kOver };
  struct Tracked {
    std::string key;
    std::string uid;
    Stage stage = Stage::kNew;
    SteadyTime first_seen;
    WallTime first_seen_wall;
    int64_t attempt = 1;
    bool cancel_sent = false;
    bool deadline_hit = false;
    // Of the run.
    std::optional<SteadyTime> dispatched_at;
    WallTime dispatched_wall;
    RunPlacement placement;
    std::string run_stage;
    std::optional<Result<api::RunResult>> outcome;
    bool recording = false;  // Record will see what became of it
    // Of its environment.
    std::string runtime;
    std::string environment_hash;
    std::string environment_store_path;
    std::string environment_node;
    // Attempts that ended for want of it, those that an operator before this one wrote included;
    // nullopt: none ended here yet.
    std::optional<int64_t> environment_tries;
    SteadyTime not_before;  // of the next attempt
    bool own_environment = false;
    bool discard_environment = false;
    std::optional<api::StageResult> environment;
    // Of what was written for people to see.
    std::optional<SteadyTime> write_slot;
    std::optional<SteadyTime> last_write;
    std::string last_word;
    std::string told;  // the reason of its last Event
  };
  using TrackedPtr = std::shared_ptr<Tracked>;

  TrackedPtr Track(const Json& submission);
  TrackedPtr Find(const std::string& key) const;
  bool WantsToKnowOfItsEnd(const std::string& key) const;
  void Forget(const std::string& key);
  // It is gone or has a result by another hand: whatever runs for it is stopped and dropped.
  void Abandon(const std::string& key);

  Status Start(const Json& submission, const TrackedPtr& tracked);
  Status Submit(const Json& submission, const TrackedPtr& tracked, const ServedRuntime* runtime);
  // nullopt: the environment is there (or none of its own is needed); else what to return.
  std::optional<Status> PrepareEnvironment(const Json& submission, const TrackedPtr& tracked,
                                           const Json* runtime_spec);
  Status StopRun(const Json& submission, const TrackedPtr& tracked, bool deadline);
  Status ReportProgress(const Json& submission, const TrackedPtr& tracked);
  Result<std::string> ReadInput(const std::string& ns, const std::string& name,
                                const std::string& key);

  // submission_record.cpp
  Status Finish(const Json& submission, const TrackedPtr& tracked);
  // `pause`: until the next attempt starts.
  Status Retry(const Json& submission, const TrackedPtr& tracked, const std::string& why,
               Duration pause = Duration::zero());
  Status EnvironmentMissing(const Json& submission, const TrackedPtr& tracked,
                            const api::RunResult& result);
  Status Fail(const Json& submission, const TrackedPtr& tracked, const std::string& reason,
              const std::string& message);
  Status Record(const Json& submission, const TrackedPtr& tracked, Outcome outcome);
  Status TryRecord(const Json& submission, const TrackedPtr& tracked, Outcome outcome);
  Status Recorded(const Json& submission, const Json& finished, const TrackedPtr& tracked,
                  const Outcome& outcome);
  Status Write(const Json& submission, const Progress& progress);
  Status WriteProgress(const Json& submission, const TrackedPtr& tracked, const Progress& progress,
                       Duration least_interval);
  // The object now on the API server after a write failed; nullopt: it is gone or another.
  Result<std::optional<Json>> Reread(const Json& submission);
  [[nodiscard]] Progress WaitingProgress(const TrackedPtr& tracked, const std::string& reason,
                                         const std::string& message) const;
  void Count(const Json& submission, const Outcome& outcome);

  RunEvents EventsFor(const Json& submission, const TrackedPtr& tracked);
  // Of activeDeadlineSeconds; nullopt: none.
  static std::optional<WallTime> DeadlineOf(const Json& submission, const Tracked& tracked);

  SubmissionControllerDeps deps_;
  WriteBudget progress_budget_;
  SubmissionStory story_;
  mutable std::mutex mutex_;  // everything below, and what is in Tracked
  std::unordered_map<std::string, TrackedPtr> tracked_;
  std::unordered_map<std::string, std::set<std::string>> waiting_runtime_;  // runtime -> keys
  std::unordered_map<std::string, std::set<std::string>> waiting_build_;    // hash -> keys
};

}  // namespace envicutor::op
