#include "standalone/node/probe.h"

#include <algorithm>

namespace envicutor::standalone {
namespace {

// Until the first success a probe comes this often, so that a pod is Ready when it is, not up to a
// period later.
constexpr std::chrono::milliseconds kStartupPeriod{100};

}  // namespace

ProbeTracker::ProbeTracker(ProbeSpec spec, bool initially, SteadyTime container_started)
    : spec_(std::move(spec)), passing_(initially), due_(container_started + spec_.initial_delay) {}

bool ProbeTracker::Record(bool success, SteadyTime now) {
  successes_ = success ? successes_ + 1 : 0;
  failures_ = success ? 0 : failures_ + 1;
  ever_passed_ = ever_passed_ || success;
  if (success && successes_ >= spec_.success_threshold) passing_ = true;
  if (!success && failures_ >= spec_.failure_threshold) passing_ = false;
  const Duration period = spec_.period;
  due_ = now + (ever_passed_ || passing_ ? period : std::min<Duration>(period, kStartupPeriod));
  return passing_;
}

bool HttpProber::Probe(const ProbeSpec& spec) {
  if (!client_ || port_ != spec.port) {
    http::ClientOptions options;
    options.base_url = "http://" + address_ + ":" + std::to_string(spec.port);
    options.timeout = spec.timeout;
    options.max_response_bytes = 64U << 10U;
    Result<std::unique_ptr<http::Client>> client = http::NewClient(options);
    if (!client.ok()) return false;
    client_ = std::move(*client);
    port_ = spec.port;
  }
  const auto response = client_->Send({.method = "GET",
                                       .target = spec.path,
                                       .headers = {{"User-Agent", "envicutor-node-probe"}},
                                       .body = ""});
  return response.ok() && response->status >= 200 && response->status < 400;
}

}  // namespace envicutor::standalone
