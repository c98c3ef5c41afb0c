// Leader election on a coordination.k8s.io Lease, client-go's way: 15 s lease, 10 s renew deadline,
// 2 s retry; expiry judged by local observation. A lease is not a fence: writes stay safe through
// resourceVersions and set-once rules.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "common/base/clock.h"
#include "common/kube/client.h"

namespace envicutor::metrics {
class Registry;
}  // namespace envicutor::metrics

namespace envicutor::kube {

struct LeaderOptions {
  std::string ns;
  std::string lease_name;
  std::string identity;
  Duration lease_duration = std::chrono::seconds(15);
  Duration renew_deadline = std::chrono::seconds(10);
  Duration retry_period = std::chrono::seconds(2);
  // After each attempt, on the renewer's thread: whether the lease could be read and written, and
  // until when it is held (renewDeadline after the attempt began), if it is.
  std::function<void(bool reachable, std::optional<SteadyTime> held_until)> on_attempt;
  metrics::Registry* registry = nullptr;  // for leader_election_master_status
};

// Blocks until `stop`: waits to become leader, calls on_started (returns at once; start your
// threads), renews; when the lease is lost calls on_lost and returns FailedPrecondition. Releases
// the lease on stop.
[[nodiscard]] Status RunLeaderElection(Client& client, const Clock& clock,
                                       const LeaderOptions& options,
                                       const std::function<void()>& on_started,
                                       const std::function<void()>& on_lost, std::stop_token stop);

}  // namespace envicutor::kube
