// Kubernetes Events about an object: same (object, reason, message) within 10 minutes is counted in
// one Event; at most a few a second per object; never blocks the caller (bounded queue, dropped
// when full).
#pragma once

#include <memory>
#include <string>

#include "common/base/clock.h"
#include "common/kube/client.h"

namespace envicutor::kube {

class EventRecorder {
 public:
  virtual ~EventRecorder() = default;
  // type: "Normal" or "Warning"; reason: CamelCase.
  virtual void Record(const Json& about, const std::string& type, const std::string& reason,
                      const std::string& message) = 0;
};

// `clock`: nullptr is the system's. Destroying it drops what still waits.
[[nodiscard]] std::unique_ptr<EventRecorder> NewEventRecorder(Client& client, std::string component,
                                                              const Clock* clock = nullptr);

}  // namespace envicutor::kube
