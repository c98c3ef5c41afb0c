// HTTP probes of a container, as the kubelet judges them.
#pragma once

#include <memory>
#include <string>

#include "common/base/clock.h"
#include "common/http/client.h"
#include "standalone/node/pod_spec.h"

namespace envicutor::standalone {

// Counts results against the thresholds. Pure.
class ProbeTracker {
 public:
  ProbeTracker(ProbeSpec spec, bool initially, SteadyTime container_started);
  [[nodiscard]] SteadyTime due() const { return due_; }
  // The state after a result at `now`: passing until failure_threshold failures in a row, and
  // failing until success_threshold successes.
  bool Record(bool success, SteadyTime now);
  [[nodiscard]] const ProbeSpec& spec() const { return spec_; }

 private:
  ProbeSpec spec_;
  bool passing_;
  bool ever_passed_ = false;
  int successes_ = 0;
  int failures_ = 0;
  SteadyTime due_;
};

// 200 to 399 is a success. Blocks for at most the probe's timeout.
class HttpProber {
 public:
  explicit HttpProber(std::string address) : address_(std::move(address)) {}
  [[nodiscard]] bool Probe(const ProbeSpec& spec);

 private:
  std::string address_;
  int port_ = 0;
  std::unique_ptr<http::Client> client_;
};

}  // namespace envicutor::standalone
