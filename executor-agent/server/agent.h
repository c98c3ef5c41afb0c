// The agent's process, put together: journal, sandbox, store, executor, runs, and its three
// servers.
#pragma once

#include <functional>
#include <memory>
#include <stop_token>

#include "common/base/status.h"
#include "executor-agent/sandbox/sandbox.h"
#include "executor-agent/server/options.h"

namespace envicutor::agent {

class Agent {
 public:
  // Makes the sandbox, which removes what a predecessor left: called only once the state folder is
  // locked.
  using SandboxMaker = std::function<Result<std::unique_ptr<Sandbox>>(const AgentOptions&)>;

  // Serves when it returns. FailedPrecondition and the like say what the machine lacks.
  [[nodiscard]] static Result<std::unique_ptr<Agent>> Start(const AgentOptions& options,
                                                            const SandboxMaker& make_sandbox);
  virtual ~Agent() = default;  // ends at once what still runs

  // Takes no more runs, waits until what runs has ended and is acknowledged, or for the drain
  // time-out. Returns early when `hurry` is requested.
  virtual void Drain(const std::stop_token& hurry) = 0;
  // The ports it listens on: 0 in the options takes any.
  [[nodiscard]] virtual uint16_t port() const = 0;
  [[nodiscard]] virtual uint16_t probe_port() const = 0;
  [[nodiscard]] virtual uint16_t metrics_port() const = 0;
};

// The engine that the options name, cleaned of what a predecessor left.
[[nodiscard]] Result<std::unique_ptr<Sandbox>> NewSandbox(const AgentOptions& options);

}  // namespace envicutor::agent
