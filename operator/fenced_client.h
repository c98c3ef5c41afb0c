// A client that writes only while a lease is held for certain: a process that slept (stopped,
// swapped out, a paused machine) for longer than its lease wakes amid its work, and whoever leads
// by then must be alone. A lease is no fence for what is on its way already; resourceVersions and
// the set-once rule are.
#pragma once

#include <functional>
#include <memory>

#include "common/kube/client.h"

namespace envicutor::op {

// Writes are FailedPrecondition unless `held()`; reads go through. Thread-safe as `client` is,
// which must outlive it.
[[nodiscard]] std::unique_ptr<kube::Client> NewFencedClient(kube::Client& client,
                                                            std::function<bool()> held);

}  // namespace envicutor::op
