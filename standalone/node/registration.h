// The Node object and its Lease: how the API server knows that this node is there.
#pragma once

#include <string>

#include "common/base/clock.h"
#include "common/kube/client.h"
#include "standalone/node/binder.h"
#include "standalone/node/host.h"

namespace envicutor::standalone {

struct Registration {
  std::string name;
  std::string host_ip;
  int log_port = 0;
  NodeCapacity capacity;
  ModeDecision mode;
};

// The Node and its status; pure.
[[nodiscard]] Json MakeNode(const Registration& registration);
[[nodiscard]] Json MakeNodeStatus(const Registration& registration, bool ready, WallTime now);

// Creates the Node if it is missing, then writes its status.
[[nodiscard]] Status RegisterNode(kube::Client& client, const Registration& registration,
                                  bool ready, WallTime now);
// kube-node-lease/NAME, renewTime now; made when missing.
[[nodiscard]] Status RenewNodeLease(kube::Client& client, const std::string& name, WallTime now);

}  // namespace envicutor::standalone
