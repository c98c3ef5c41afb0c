#include "operator/controllers/workers.h"

#include <chrono>

#include "common/base/log.h"

namespace envicutor::op {

Workers::Workers(std::string controller, kube::WorkQueue& queue, int count,
                 metrics::Registry* registry,
                 std::function<Status(const std::string& key)> reconcile,
                 std::function<log::Context(const std::string& key)> describe)
    : controller_(std::move(controller)),
      queue_(queue),
      reconcile_(std::move(reconcile)),
      describe_(std::move(describe)),
      metrics_(registry, controller_) {
  metrics_.max_concurrent_reconciles.Set(count);
  for (int i = 0; i < count; ++i) threads_.emplace_back([this] { Run(); });
}

Workers::~Workers() {
  queue_.ShutDown();
  threads_.clear();
}

void Workers::Run() {
  while (const std::optional<std::string> key = queue_.Get()) {
    metrics_.active_workers.Add(1);
    const auto start = std::chrono::steady_clock::now();
    const Status status = reconcile_(*key);
    metrics_.time_seconds.Observe(std::chrono::steady_clock::now() - start);
    metrics_.active_workers.Add(-1);
    if (status.ok()) {
      switch (queue_.AskedAgain(*key)) {
        case kube::WorkQueue::Again::kNo:
          metrics_.success_total.Increment();
          break;
        case kube::WorkQueue::Again::kAtOnce:
          metrics_.requeue_total.Increment();
          break;
        case kube::WorkQueue::Again::kLater:
          metrics_.requeue_after_total.Increment();
          break;
      }
      queue_.Forget(*key);
    } else {
      metrics_.error_total.Increment();
      metrics_.errors_total.Increment();
      log::Warn("reconcile failed, trying again",
                describe_ ? describe_(*key) : log::Context{{"key", *key}},
                {{"controller", controller_}, {"error", status.ToString()}});
      queue_.AddRateLimited(*key);
    }
    queue_.Done(*key);
  }
}

}  // namespace envicutor::op
