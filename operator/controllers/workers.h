// Worker threads on a workqueue: client-go's loop, with controller-runtime's metrics.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "common/base/log.h"
#include "common/base/status.h"
#include "common/kube/workqueue.h"
#include "common/metrics/metrics.h"

namespace envicutor::op {

class Workers {
 public:
  // `describe` gives what log lines about a key begin with; {"key", key} where it is empty.
  // `reconcile` runs on `count` threads until the queue is shut down; a failure comes back with
  // backoff.
  Workers(std::string controller, kube::WorkQueue& queue, int count, metrics::Registry* registry,
          std::function<Status(const std::string& key)> reconcile,
          std::function<log::Context(const std::string& key)> describe = nullptr);
  ~Workers();  // shuts the queue down and joins
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

 private:
  void Run();

  std::string controller_;
  kube::WorkQueue& queue_;
  std::function<Status(const std::string&)> reconcile_;
  std::function<log::Context(const std::string&)> describe_;
  metrics::ReconcileMetrics metrics_;
  std::vector<std::jthread> threads_;
};

}  // namespace envicutor::op
