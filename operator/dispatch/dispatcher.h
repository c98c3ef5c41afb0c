// The Runner of the operator: a DispatchCore with threads, agents over mutual TLS, and the executor
// pods of the API server as the list of agents.
//
// Threads: one for each agent (long poll of results), those of the RequestPool, one for time. The
// core's lock is never held while anything blocks, and an agent that does not answer holds up no
// other.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "common/base/clock.h"
#include "common/kube/informer.h"
#include "operator/dispatch/agent_api.h"
#include "operator/dispatch/dispatch_core.h"
#include "operator/dispatch/request_pool.h"
#include "operator/dispatch/runner.h"

namespace envicutor::op {

struct DispatcherOptions {
  DispatchOptions core;
  RequestPoolOptions requests;
  std::chrono::seconds poll_wait{5};
};

// How an executor pod's agent is reached: its address ("10.0.0.7") to an API. Called on agents'
// threads.
using AgentFactory = std::function<Result<std::unique_ptr<AgentApi>>(const std::string& pod_ip)>;

// Thread-safe.
class Dispatcher final : public Runner {
 public:
  Dispatcher(const Clock& clock, AgentFactory factory, const DispatcherOptions& options);
  ~Dispatcher() override;
  Dispatcher(const Dispatcher&) = delete;
  Dispatcher& operator=(const Dispatcher&) = delete;

  // Adds a handler to an informer of executor pods; before the informer starts.
  void Follow(kube::Informer& pods);
  void Start();
  // The pods that exist have been seen: dispatching may begin.
  void PodsListed();
  void Stop();

  void Submit(const std::string& pool, const std::string& fairness_key, int64_t priority,
              api::RunRequest request, RunEvents events) override;
  void Cancel(const std::string& uid) override;
  void Acknowledge(const std::string& uid) override;
  [[nodiscard]] std::optional<RunWait> Waiting(const std::string& uid) const override;
  [[nodiscard]] std::string NodeFor(const std::string& pool) const override;

  [[nodiscard]] PoolLoad Load(const std::string& pool) const;
  [[nodiscard]] std::vector<std::string> Pools() const;
  // New bounds and weights for what starts from here on.
  void SetBounds(const DispatchOptions& bounds);
  // The agents that are connected, by pod.
  [[nodiscard]] std::map<std::string, std::shared_ptr<AgentApi>> Agents();
  // No new runs for this pod.
  void Drain(const std::string& pod);
  // Called without a lock, from any thread, when runs were queued or ended: somebody may want to
  // scale. Before Start.
  void OnLoadChange(std::function<void()> callback) { on_load_change_ = std::move(callback); }

 private:
  struct Session {
    std::string name;
    std::string ip;
    std::shared_ptr<AgentApi> api;  // set by its thread once
    std::jthread thread;
  };

  void PodChanged(const Json& pod);
  void PodGone(const std::string& name, const std::string& why);
  void EndSession(const std::string& name);
  void RunSession(const std::string& name, const std::string& ip, std::stop_token stop);
  // Info and the list of what it holds, then polls until something fails. The failure.
  Status Serve(const std::string& name, AgentApi& api, std::stop_token stop);
  void RunTicks(std::stop_token stop);
  // Outside the lock. Events are called here when `may_call`, else on a thread of the pool.
  void Carry(Effects effects, bool may_call);
  RequestPool::Answer DoRequest(const Effect& effect, bool doubtful);
  [[nodiscard]] std::shared_ptr<AgentApi> ApiOf(const std::string& name);
  template <typename F>
  void InCore(bool may_call, F&& f);

  const Clock& clock_;
  AgentFactory factory_;
  DispatcherOptions options_;
  std::function<void()> on_load_change_;

  mutable std::mutex mutex_;  // core_
  DispatchCore core_;
  std::condition_variable_any tick_;
  SteadyTime tick_until_ = SteadyTime::min();  // until when the time thread waits

  std::mutex sessions_mutex_;
  std::map<std::string, std::unique_ptr<Session>> sessions_;
  std::vector<std::unique_ptr<Session>> ended_;  // asked to stop, joined by the time thread

  RequestPool requests_;
  std::jthread ticks_;
};

}  // namespace envicutor::op
