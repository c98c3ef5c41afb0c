// The Runtime controller: validates a Runtime, has its environment built and its self-tests run,
// and is the catalogue of what serves.
//
// What serves is kept in the Runtime's own status (status.served: generation, environment, spec),
// written in the same write as Ready, so that an edited Runtime's old spec goes on serving through
// restarts of the operator. Reconcile(key) is called for one key (a Runtime's name) by one thread
// at a time.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/kube/client.h"
#include "common/kube/informer.h"
#include "common/kube/recorder.h"
#include "common/kube/workqueue.h"
#include "common/metrics/metrics.h"
#include "operator/dispatch/runner.h"
#include "operator/environments/builds.h"
#include "operator/live_options.h"
#include "operator/runtimes/catalog.h"
#include "operator/runtimes/runtime_status.h"
#include "operator/runtimes/self_test.h"

namespace envicutor::op {

// Only while a Runtime's submissions may be running and its environment is on the store.
inline constexpr char kRuntimeFinalizer[] = "envicutor.io/runtime";
// A new value tests the Runtime again, and builds again what failed.
inline constexpr char kRetestAnnotation[] = "envicutor.io/retest";

struct RuntimeControllerDeps {
  kube::Client& client;
  kube::Informer& runtimes;
  kube::Informer& submissions;  // of all namespaces: a deletion waits for those that run
  kube::WorkQueue& queue;
  Runner& runner;
  EnvironmentBuilds& builds;
  kube::EventRecorder* events = nullptr;
  const metrics::OperatorMetrics& metrics;
  const Clock& clock;
  OptionsRef options;
};

// Thread-safe. The runner is stopped before this is destroyed.
class RuntimeController final : public RuntimeCatalog {
 public:
  explicit RuntimeController(const RuntimeControllerDeps& deps);
  RuntimeController(const RuntimeController&) = delete;
  RuntimeController& operator=(const RuntimeController&) = delete;

  // Handlers on the informers and the builds; before they start.
  void Follow();
  // Not OK: worth trying again, with backoff.
  [[nodiscard]] Status Reconcile(const std::string& name);

  [[nodiscard]] RuntimeLookup Find(const std::string& name) const override;
  // All callbacks are kept; they run on a worker's thread.
  void OnChange(std::function<void(const std::string& name)> callback) override;

 private:
  struct Entry {
    std::string uid;
    std::optional<ServedRuntime> served;
    bool deleting = false;
    std::string phase = "Pending";
    std::string message;
    bool failed = false;
    std::string hash;                   // what the current spec wants
    std::string store_path;             // of that environment, once it is built
    std::string answered;               // Find's last answer, in short, to tell changes
    std::optional<std::string> retest;  // the annotation as it was acted on
    std::shared_ptr<TestRun> tests;
  };

  Status ReconcileLive(const Json& runtime, Entry* entry);
  Status ReconcileDeleted(const Json& runtime, Entry* entry);
  // The tests of this generation are over, or (nullopt) will bring the key back.
  std::optional<TestReport> RunTests(const Json& runtime, Entry* entry, std::string* waiting);
  void SubmitTest(const std::string& name, const std::string& pool,
                  const std::shared_ptr<TestRun>& tests, size_t index);
  void CancelTests(Entry* entry);
  // True: it was not there; the key comes back.
  Result<bool> AddFinalizer(const Json& runtime);
  Status Publish(const Json& runtime, Entry* entry, const RuntimeView& view);
  void FreeEnvironments(const Json& runtime, const Entry& entry);
  [[nodiscard]] size_t RunningSubmissions(const Json& runtime) const;
  void Store(const std::string& name, Entry entry);
  void Forget(const std::string& name);
  void CountPhases() const;

  RuntimeControllerDeps deps_;
  mutable std::mutex mutex_;
  std::map<std::string, Entry> entries_;  // by name
  std::vector<std::function<void(const std::string&)>> callbacks_;
};

}  // namespace envicutor::op
