// The first process of a pod: the init of its pid namespace. When it ends, the kernel ends all
// others.
#pragma once

namespace envicutor::standalone {

// Descriptors as plan.h says; in new mount, pid, ipc and uts namespaces, and a new network
// namespace when the plan has a machine.
// `kept`: the pod outlives its node.
[[nodiscard]] int HostInitMain(bool kept);

}  // namespace envicutor::standalone
