// Tells every executor which environments are in use, so that it fetches those of runtimes ahead
// and knows what may go: PUT /v1/environments, the complete list, when it changed, when an executor
// came, and each minute.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "common/base/clock.h"
#include "common/base/json.h"
#include "operator/dispatch/agent_api.h"

namespace envicutor::op {

struct LiveEnvironment {
  std::string hash;
  std::string store_path;  // "" when not known
  bool runtime = false;    // fetched ahead
  bool operator==(const LiveEnvironment&) const = default;
};

// What a Runtime object keeps: the environment of its spec, once built, and the one that serves.
[[nodiscard]] std::vector<LiveEnvironment> EnvironmentsOfRuntime(const Json& runtime);
// The body of PUT /v1/environments: each hash once, in order; a runtime's wins.
[[nodiscard]] Json EnvironmentsBody(const std::vector<LiveEnvironment>& live);

// Thread-safe.
class EnvironmentSync {
 public:
  // `live`: all that are in use now. `agents`: the executors that are connected, by pod name. Both
  // are called on this one's thread and outlive it.
  using Live = std::function<std::vector<LiveEnvironment>()>;
  using Agents = std::function<std::map<std::string, std::shared_ptr<AgentApi>>()>;
  EnvironmentSync(Live live, Agents agents, Duration interval = std::chrono::seconds(60));
  ~EnvironmentSync();

  void Start();
  void Stop();
  // Something changed: the list is made and sent again soon.
  void Wake();

 private:
  struct Sent {
    std::shared_ptr<AgentApi> api;  // another one: the executor connected anew
    size_t list = 0;                // number of the list that it has
    SteadyTime at;
  };

  void Work(const std::stop_token& stop);
  void Send(const std::string& pod, Sent* sent) const;

  const Live live_;
  const Agents agents_;
  const Duration interval_;
  std::mutex mutex_;
  std::condition_variable_any wake_;
  bool dirty_ = true;
  // Of the thread alone.
  Json body_;
  size_t list_ = 0;
  std::map<std::string, Sent> sent_;
  std::jthread thread_;  // last: it uses the others
};

}  // namespace envicutor::op
