// EnvironmentBuilds over builder pods.
//
// The state is in memory and can be lost: whoever needs an environment asks again after a restart,
// a running pod is adopted by its name, and a builder pod for an environment that is on the store
// already ends at once. Reconcile(key) is called for one key by one thread at a time; keys are
// hashes, "remove/HASH", and "collect".
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/kube/client.h"
#include "common/kube/informer.h"
#include "common/kube/recorder.h"
#include "common/kube/workqueue.h"
#include "common/metrics/metrics.h"
#include "operator/environments/builder_pod.h"
#include "operator/environments/builds.h"
#include "operator/options.h"

namespace envicutor::op {

struct EnvironmentBuilderDeps {
  kube::Client& client;
  kube::Informer& pods;  // of options.executor_namespace with kBuilderSelector
  kube::WorkQueue& queue;
  const metrics::OperatorMetrics& metrics;
  const Clock& clock;
  const Options& options;
};

// Thread-safe.
class EnvironmentBuilder final : public EnvironmentBuilds {
 public:
  explicit EnvironmentBuilder(EnvironmentBuilderDeps deps);

  // Handlers on the informer; before it starts.
  void Follow();
  // Has the cache collected each gcInterval, by a pod, while nothing is built: what `pinned` gives
  // (called on a worker's thread) stays, and of the others what was used last. Before Follow.
  // `events` may be nullptr.
  void CollectCache(std::function<std::vector<KeptEnvironment>()> pinned,
                    kube::EventRecorder* events);
  // Not OK: worth trying again, with backoff.
  [[nodiscard]] Status Reconcile(const std::string& key);

  [[nodiscard]] BuildState Ensure(const api::EnvironmentSpec& spec) override;
  [[nodiscard]] std::string HashOf(const api::EnvironmentSpec& spec) const override;
  void Retry(const std::string& hash) override;
  void Recheck(const std::string& hash) override;
  void Discard(const std::string& hash) override;
  // Callbacks run on a worker's thread, one after the other; all are kept.
  void OnChange(std::function<void(const std::string& hash)> callback) override;

 private:
  enum class Stage { kQueued, kRunning, kDone };
  struct Build {
    api::EnvironmentSpec spec;
    BuildState state;
    Stage stage = Stage::kQueued;
    int failures = 0;                   // infrastructure's, in a row
    SteadyTime not_before;              // of the next attempt
    std::optional<SteadyTime> started;  // this process saw it start
    int64_t order = 0;                  // first come, first built
    WallTime last_used;
    bool doubted = false;  // an executor could not get it
    SteadyTime ended;      // kDone: since when
  };

  Status ReconcileBuild(const std::string& hash);
  Status ReconcileRemoval(const std::string& hash);
  Status StartPod(const std::string& hash, const Build& build);
  Status Create(const kube::ResourceType& type, const Json& object);
  void OwnConfigMap(const std::string& hash);
  Status DeletePod(const Json& pod);
  Status CleanUp(const std::string& hash);
  void Ended(const std::string& hash, PodOutcome outcome);
  // True: this build may start now; it counts as running from then on.
  bool TakeTurn(const std::string& hash);
  void WakeQueued();
  void SetMessage(const std::string& hash, const std::string& message);
  void Changed(const std::string& hash);
  [[nodiscard]] kube::ObjectPtr PodNamed(const std::string& name) const;
  // environment_collection.cpp
  Status ReconcileCollection();
  Status EndCollection(const Json& pod, const CollectorOutcome& outcome);
  [[nodiscard]] std::vector<KeptEnvironment> KeptEnvironments() const;
  [[nodiscard]] bool SomethingIsBuilt() const;
  void ForgetUnused();  // mutex_ held

  EnvironmentBuilderDeps deps_;
  mutable std::mutex mutex_;
  std::map<std::string, Build> builds_;          // by hash
  std::map<std::string, SteadyTime> strangers_;  // ended pods that nobody asked for, since when
  std::map<std::string, std::string> removal_nodes_;  // by hash: where it was built
  std::set<std::string> removed_;                     // their remover pods are on their way out
  std::vector<std::function<void(const std::string&)>> callbacks_;
  int64_t next_order_ = 0;
  std::function<std::vector<KeptEnvironment>()> pinned_;  // set: the cache is collected
  kube::EventRecorder* events_ = nullptr;
  bool collecting_ = false;  // nothing is built meanwhile
  SteadyTime next_collection_;
};

}  // namespace envicutor::op
