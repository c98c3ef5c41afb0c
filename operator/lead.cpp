// What this process does about leadership: it waits for the lease, runs the app while it has it,
// and ends when it is lost.
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>

#include "common/base/encoding.h"
#include "common/base/log.h"
#include "common/kube/leader.h"
#include "common/metrics/metrics.h"
#include "operator/app.h"
#include "operator/fenced_client.h"

namespace envicutor::op {
namespace {

// The app while this process leads, and what probes ask about it.
class Leadership {
 public:
  // One that waits for a lease that it can read is ready to lead; one that leads has filled its
  // caches.
  [[nodiscard]] bool Ready() {
    const std::lock_guard lock(mutex_);
    return leads_ ? app_ && app_->Ready() : lease_reachable_;
  }
  void LeaseReachable(bool reachable) {
    const std::lock_guard lock(mutex_);
    lease_reachable_ = reachable;
  }
  void Leads() {
    const std::lock_guard lock(mutex_);
    leads_ = true;
  }
  void Set(std::unique_ptr<App> app) {
    const std::lock_guard lock(mutex_);
    if (!closed_) app.swap(app_);
  }
  // Stops the app, now and if it comes later. Returns when it has stopped.
  void Close() {
    std::unique_ptr<App> app;
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
      app.swap(app_);
    }
  }

 private:
  std::mutex mutex_;
  std::unique_ptr<App> app_;
  bool lease_reachable_ = false;
  bool leads_ = false;
  bool closed_ = false;
};

std::string Identity() {
  std::string host(256, '\0');
  if (::gethostname(host.data(), host.size() - 1) != 0) host = "unknown";
  host.resize(host.find('\0') == std::string::npos ? host.size() : host.find('\0'));
  return host + "_" + RandomHex(8);
}

Status Lead(kube::Client& client, const Clock& clock, LiveOptions& live,
            metrics::Registry& registry, Leadership& leadership, const std::stop_token& stop) {
  const std::shared_ptr<const Options> started_with = live.Get();
  const Options& options = *started_with;
  std::atomic<SteadyTime::rep> held_until{0};
  const std::unique_ptr<kube::Client> fenced = NewFencedClient(client, [&] {
    return !options.leader_election.enabled || clock.Now().time_since_epoch().count() < held_until;
  });
  std::stop_source starting;
  std::stop_source ended;
  std::jthread starter;
  // Work ends before the lease is given back, so that the next leader is alone.
  const std::stop_callback forward(stop, [&] {
    starting.request_stop();
    leadership.Close();
    ended.request_stop();
  });
  Status start_status;
  const auto start = [&] {
    leadership.Leads();
    Result<std::unique_ptr<App>> app =
        StartApp(*fenced, clock, live, registry, starting.get_token());
    if (app.ok()) {
      leadership.Set(std::move(app).value());
      log::Info("the operator leads and works");
      return;
    }
    start_status = app.status();
    ended.request_stop();
  };
  Status status;
  if (options.leader_election.enabled) {
    kube::LeaderOptions election;
    election.ns = options.operator_namespace;
    election.lease_name = "envicutor-operator";
    election.identity = Identity();
    election.lease_duration =
        std::chrono::milliseconds(options.leader_election.lease_duration_millis);
    election.renew_deadline =
        std::chrono::milliseconds(options.leader_election.renew_deadline_millis);
    election.retry_period = std::chrono::milliseconds(options.leader_election.retry_period_millis);
    election.registry = &registry;
    election.on_attempt = [&](bool reachable, std::optional<SteadyTime> until) {
      leadership.LeaseReachable(reachable);
      if (until.has_value()) held_until = until->time_since_epoch().count();
    };
    log::Info("waiting for the lease", {{"identity", election.identity}});
    status = kube::RunLeaderElection(
        client, clock, election, [&] { starter = std::jthread(start); },
        [] {
          // Another may lead already: nothing of ours may be written from here on.
          log::Error("the lease was lost");
          ::_exit(1);
        },
        ended.get_token());
  } else {
    metrics::LeaderMetrics(&registry, "envicutor-operator").master_status.Set(1);
    start();
    std::mutex mutex;
    std::condition_variable_any wake;
    std::unique_lock lock(mutex);
    wake.wait(lock, ended.get_token(), [] { return false; });
  }
  starting.request_stop();
  if (starter.joinable()) starter.join();
  leadership.Close();
  if (!start_status.ok() && start_status.code() != Code::kCancelled) return start_status;
  return status.code() == Code::kCancelled ? OkStatus() : status;
}

}  // namespace

Status RunOperator(LiveOptions& live, metrics::Registry& registry, std::stop_token stop) {
  const SystemClock clock;
  const std::shared_ptr<const Options> started_with = live.Get();
  const Options& options = *started_with;
  metrics::SetBuildInfo(registry, ENVICUTOR_VERSION);
  ENVICUTOR_ASSIGN(const kube::ClientConfig config, kube::DefaultConfig(options.kubeconfig));
  ENVICUTOR_ASSIGN(const std::unique_ptr<kube::Client> client, kube::NewClient(config, &registry));
  Leadership leadership;
  ENVICUTOR_ASSIGN(
      const std::unique_ptr<Listeners> listeners,
      StartListeners(options.listen, registry, [&leadership] { return leadership.Ready(); }));
  log::Info("operator starts", {{"version", ENVICUTOR_VERSION}, {"server", config.server}});
  return Lead(*client, clock, live, registry, leadership, stop);
}

}  // namespace envicutor::op
