// The ExecutorPool controller: keeps the pods that PlanPool asks for and writes each pool's status.
//
// One thread; woken by pools, pods and the queue, at most ten times a second.
#pragma once

#include <condition_variable>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "common/base/clock.h"
#include "common/kube/client.h"
#include "common/kube/informer.h"
#include "common/kube/recorder.h"
#include "common/metrics/metrics.h"
#include "operator/dispatch/dispatcher.h"
#include "operator/live_options.h"
#include "operator/pools/pool_plan.h"

namespace envicutor::op {

struct PoolControllerDeps {
  kube::Client& client;
  kube::Informer& pools;
  kube::Informer& pods;  // executor pods only
  Dispatcher& dispatcher;
  kube::EventRecorder* events = nullptr;
  const metrics::OperatorMetrics& metrics;
  const Clock& clock;
  OptionsRef options;
};

// Thread-safe.
class PoolController {
 public:
  explicit PoolController(const PoolControllerDeps& deps);
  ~PoolController();
  PoolController(const PoolController&) = delete;
  PoolController& operator=(const PoolController&) = delete;

  void Follow();  // handlers on the informers; before they start
  void Start();
  void Stop();
  void Wake();  // never blocks

  // All pools once. When to look again, at the latest. For the thread, and for tests.
  SteadyTime ReconcileAll();

 private:
  struct Pool {
    PoolState state;
    Json written;  // status as last written
    SteadyTime written_at{};
    std::string told;  // trouble that an event was recorded for
  };

  void Run(std::stop_token stop);
  void ReconcilePool(const Json& object, const std::vector<Json>& pods, SteadyTime now,
                     SteadyTime* again);
  // Pods whose pool is gone finish what they run and go.
  void RemoveOrphans(const std::string& pool, const std::vector<Json>& pods);
  void CreatePod(const Json& pool, const PoolSpec& spec, const std::string& name, PoolState* state);
  void RemovePod(const Json& pod);
  void WriteStatus(const Json& object, const PoolSpec& spec, const std::vector<PoolPod>& pods,
                   const PoolLoad& load, SteadyTime now, SteadyTime* again, Pool* pool);
  void Measure(const std::string& pool, const std::vector<PoolPod>& pods, const PoolLoad& load);

  PoolControllerDeps deps_;
  std::map<std::string, Pool> known_;  // the thread's own
  std::mutex mutex_;
  std::condition_variable_any wake_;
  bool dirty_ = true;
  std::jthread thread_;
};

}  // namespace envicutor::op
