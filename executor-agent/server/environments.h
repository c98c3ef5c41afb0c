// The environments of this executor as a whole: what the operator says is in use anywhere, fetched
// ahead for runtimes, kept within --cache-max-size.
//
//   PUT /v1/environments: common/api/run.h
//
// Nothing is removed before the operator has said what is in use. What runs use stays, whatever the
// list says.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "common/base/json.h"
#include "common/base/status.h"
#include "common/metrics/metrics.h"
#include "executor-agent/server/options.h"
#include "executor-agent/store/collector.h"
#include "executor-agent/store/environment_store.h"
#include "executor-agent/store/substituter.h"

namespace envicutor::agent {

// Thread-safe.
class Environments {
 public:
  // `metrics` must outlive it.
  Environments(const AgentOptions& options, metrics::AgentMetrics& metrics);
  ~Environments();

  // For NewEnvironmentStore: nullptr without a cache.
  [[nodiscard]] EnvironmentSource* source() { return substituter_.get(); }
  // The body of PUT /v1/environments to its answer. InvalidArgument: unreadable. Does not wait for
  // anything to be fetched or removed.
  [[nodiscard]] Result<Json> Put(const Json& body);

 private:
  struct Wanted {
    std::string hash;
    std::string store_path;
    bool prefetch = false;
  };

  void Fetched(const Status& status, std::chrono::milliseconds took);
  void Work(const std::stop_token& stop);
  void KeepHouseOfHost(const std::vector<Wanted>& wanted);
  void KeepHouse(const std::vector<Wanted>& wanted, int64_t needed_bytes);
  [[nodiscard]] Json StateOf(const std::string& hash) const;

  const StoreLayout layout_;
  const int64_t max_bytes_;
  const bool hosts_store_;  // seen through User-Mode Linux, see KeepHouse
  metrics::AgentMetrics& metrics_;
  const Collector collector_;
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::vector<Wanted> wanted_;
  bool told_ = false;         // the operator has sent a list
  bool dirty_ = false;        // something to do
  int64_t needed_bytes_ = 0;  // a fetch found no room: free so much
  int64_t bytes_ = 0;         // in the store when last looked at
  std::unique_ptr<Substituter> substituter_;
  std::jthread worker_;  // last: it uses the others
};

}  // namespace envicutor::agent
