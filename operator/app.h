// The operator as a whole: everything wired together for as long as this process leads.
#pragma once

#include <functional>
#include <memory>
#include <stop_token>
#include <string>

#include "common/base/clock.h"
#include "common/base/status.h"
#include "common/kube/client.h"
#include "common/metrics/registry.h"
#include "operator/live_options.h"

namespace envicutor::op {

// Starts the controllers; the destructor stops them in order. Thread-safe where it says so.
class App {
 public:
  virtual ~App() = default;
  // Every cache is filled and submissions are worked on. Thread-safe.
  [[nodiscard]] virtual bool Ready() const = 0;
};

// Returns when the first lists are there or `stop` was requested (Cancelled).
[[nodiscard]] Result<std::unique_ptr<App>> StartApp(kube::Client& client, const Clock& clock,
                                                    LiveOptions& live, metrics::Registry& registry,
                                                    std::stop_token stop);

// Probes and metrics on their own listeners. `ready` says whether /readyz is 200.
class Listeners {
 public:
  virtual ~Listeners() = default;
};
[[nodiscard]] Result<std::unique_ptr<Listeners>> StartListeners(const ListenOptions& options,
                                                                metrics::Registry& registry,
                                                                std::function<bool()> ready);

// The whole process but for flags: listeners, leader election, the app, until `stop`. OK: stopped
// in order; else why it ended. Leadership that was lost ends it: whoever leads now must be alone.
[[nodiscard]] Status RunOperator(LiveOptions& live, metrics::Registry& registry,
                                 std::stop_token stop);

}  // namespace envicutor::op
