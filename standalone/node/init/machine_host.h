// The outside of a User-Mode-Linux machine: starts the kernel, speaks with its init over a serial
// line.
#pragma once

#include <string>

#include "standalone/node/init/node_link.h"
#include "standalone/node/plan.h"

namespace envicutor::standalone {

inline constexpr char kTapName[] = "tap0";

// Inside the pod's root, with the tap device made. Returns when the machine is off. kStarted is
// reported to the node when the command runs.
[[nodiscard]] InitEvent RunMachine(const LaunchPlan& plan, const std::string& plan_text,
                                   int signals, NodeLink& node);

}  // namespace envicutor::standalone
