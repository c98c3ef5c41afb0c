#include "common/kube/leader.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "common/base/log.h"
#include "common/metrics/metrics.h"

namespace envicutor::kube {
namespace {

int64_t WholeSeconds(Duration duration) {
  return std::max<int64_t>(1, std::chrono::ceil<std::chrono::seconds>(duration).count());
}

// One candidate's view of the lease. Used by one thread.
class Lease {
 public:
  Lease(Client& client, const Clock& clock, const LeaderOptions& options)
      : client_(client), clock_(clock), options_(options) {}

  // True when we hold the lease now.
  bool TryAcquireOrRenew() {
    reachable_ = true;
    Result<Json> current = client_.Get(kLeases, options_.ns, options_.lease_name);
    if (!current.ok()) {
      if (current.status().code() != Code::kNotFound) return Complain(current.status());
      const Json lease = {{"apiVersion", kLeases.ApiVersion()},
                          {"kind", kLeases.kind},
                          {"metadata", {{"name", options_.lease_name}, {"namespace", options_.ns}}},
                          {"spec", Spec(nullptr)}};
      return Written(client_.Create(kLeases, options_.ns, lease));
    }
    Observe(*current);
    const Json& spec = At(*current, {"spec"});
    const std::string holder = GetString(spec, "holderIdentity");
    if (holder != options_.identity && !holder.empty() && !Expired()) return false;
    Json lease = std::move(*current);
    lease["spec"] = Spec(&spec_);
    // The resourceVersion we read goes along: of two candidates one gets a conflict.
    return Written(client_.Update(kLeases, lease));
  }

  // The last attempt met no trouble.
  [[nodiscard]] bool reachable() const { return reachable_; }

  // So that the next one need not wait for the lease to expire.
  void Release() {
    Result<Json> current = client_.Get(kLeases, options_.ns, options_.lease_name);
    if (!current.ok() || GetString(At(*current, {"spec"}), "holderIdentity") != options_.identity) {
      return;
    }
    Json lease = std::move(*current);
    lease["spec"]["holderIdentity"] = "";
    lease["spec"]["leaseDurationSeconds"] = 1;
    lease["spec"]["renewTime"] = FormatRfc3339Micro(clock_.WallNow());
    if (const auto released = client_.Update(kLeases, lease); !released.ok()) {
      (void)Complain(released.status());
    }
  }

 private:
  // The holder's clock is not ours: the lease runs from when we saw it change.
  void Observe(const Json& lease) {
    const Json& spec = At(lease, {"spec"});
    if (observed_at_ && spec == spec_) return;
    spec_ = spec;
    observed_at_ = clock_.Now();
  }

  [[nodiscard]] bool Expired() const {
    const auto duration = std::chrono::seconds(std::clamp<int64_t>(
        GetInt(spec_, "leaseDurationSeconds", WholeSeconds(options_.lease_duration)), 1, 3600));
    return !observed_at_ || clock_.Now() - *observed_at_ >= duration;
  }

  [[nodiscard]] Json Spec(const Json* before) const {
    const std::string now = FormatRfc3339Micro(clock_.WallNow());
    Json spec = {{"holderIdentity", options_.identity},
                 {"leaseDurationSeconds", WholeSeconds(options_.lease_duration)},
                 {"renewTime", now}};
    const bool ours =
        before != nullptr && GetString(*before, "holderIdentity") == options_.identity;
    spec["acquireTime"] = ours ? GetString(*before, "acquireTime", now) : now;
    const int64_t transitions = before == nullptr ? 0 : GetInt(*before, "leaseTransitions");
    spec["leaseTransitions"] = before == nullptr || ours ? transitions : transitions + 1;
    return spec;
  }

  bool Written(const Result<Json>& result) {
    if (!result.ok()) {
      const Code code = result.status().code();
      if (code == Code::kConflict || code == Code::kAlreadyExists)
        return false;  // another was faster
      return Complain(result.status());
    }
    Observe(*result);
    return true;
  }

  bool Complain(const Status& status) {
    reachable_ = false;
    log::Warn("leader election: the lease cannot be read or written",
              {{"lease", options_.ns + "/" + options_.lease_name}, {"error", status.ToString()}});
    return false;
  }

  Client& client_;
  const Clock& clock_;
  const LeaderOptions& options_;
  Json spec_;
  std::optional<SteadyTime> observed_at_;
  bool reachable_ = false;
};

// What the thread that talks to the API server tells the one that judges.
struct Progress {
  std::mutex mutex;
  std::condition_variable_any changed;
  std::optional<SteadyTime> renewed;  // when the last successful attempt began
};

void Renew(Lease& lease, const Clock& clock, const LeaderOptions& options, Progress& progress,
           const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    const SteadyTime begin = clock.Now();
    const bool held = lease.TryAcquireOrRenew();
    if (options.on_attempt) {
      std::optional<SteadyTime> until;
      if (held) until = begin + options.renew_deadline;
      options.on_attempt(lease.reachable(), until);
    }
    std::unique_lock lock(progress.mutex);
    if (held) {
      progress.renewed = begin;
      progress.changed.notify_all();
    }
    progress.changed.wait_for(lock, stop, options.retry_period, [] { return false; });
  }
}

}  // namespace

Status RunLeaderElection(Client& client, const Clock& clock, const LeaderOptions& options,
                         const std::function<void()>& on_started,
                         const std::function<void()>& on_lost, std::stop_token stop) {
  const metrics::LeaderMetrics metrics(options.registry, options.lease_name);
  metrics.master_status.Set(0);
  Lease lease(client, clock, options);
  Progress progress;
  std::jthread renewer(
      [&](const std::stop_token& ended) { Renew(lease, clock, options, progress, ended); });
  {
    std::unique_lock lock(progress.mutex);
    progress.changed.wait(lock, stop, [&] { return progress.renewed.has_value(); });
    if (!progress.renewed) return OkStatus();  // stopped while it waited
  }
  metrics.master_status.Set(1);
  log::Info("leader election: leading",
            {{"lease", options.lease_name}, {"identity", options.identity}});
  on_started();

  bool lost = false;
  {
    std::unique_lock lock(progress.mutex);
    while (!stop.stop_requested() && !lost) {
      const Duration left = *progress.renewed + options.renew_deadline - clock.Now();
      lost = left <= Duration::zero();
      // Short waits, because a clock that is not the system's may have moved meanwhile.
      if (!lost) {
        progress.changed.wait_for(lock, stop, std::min(left, options.retry_period),
                                  [] { return false; });
      }
    }
  }
  metrics.master_status.Set(0);
  if (lost) {
    on_lost();
    return FailedPrecondition("the lease " + options.ns + "/" + options.lease_name + " was lost");
  }
  renewer.request_stop();
  renewer.join();
  lease.Release();
  return OkStatus();
}

}  // namespace envicutor::kube
