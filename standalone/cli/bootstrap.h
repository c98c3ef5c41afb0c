// From an empty folder to a system that is ready: the steps of `envicutor up`, in order.
#pragma once

#include <functional>
#include <memory>
#include <stop_token>
#include <string>

#include "common/kube/client.h"
#include "standalone/cli/data_dir.h"
#include "standalone/cli/pki.h"
#include "standalone/cli/progress.h"
#include "standalone/cli/supervisor.h"
#include "standalone/cli/up_options.h"

namespace envicutor::standalone {

class Bootstrap {
 public:
  Bootstrap(const UpOptions& options, const DataDir& data, const UpPlan& plan,
            Supervisor& supervisor, const Clock& clock)
      : options_(options),
        data_(data),
        plan_(plan),
        supervisor_(supervisor),
        clock_(clock),
        progress_(clock) {}

  // Blocks until everything is ready. DeadlineExceeded says what is not. Cancelled: `stop`.
  [[nodiscard]] Status Run(std::stop_token stop);
  [[nodiscard]] Progress& progress() { return progress_; }

 private:
  [[nodiscard]] Status StartApiServer(std::stop_token stop);
  [[nodiscard]] Status ApplyObjects(std::stop_token stop);
  [[nodiscard]] Status ApplyPool();
  [[nodiscard]] Status PrepareCacheKey();
  void PrepareNixpkgs(std::stop_token stop);
  [[nodiscard]] Status StartOperatorAndNode();
  [[nodiscard]] Status WaitForExecutors(std::stop_token stop);
  // Asks `done` (true, or not yet, or an error that ends it) until `timeout`.
  [[nodiscard]] Status WaitFor(const std::string& what, std::chrono::seconds timeout,
                               std::stop_token stop, const std::function<Result<bool>()>& done);

  const UpOptions& options_;
  const DataDir& data_;
  UpPlan plan_;
  Supervisor& supervisor_;
  const Clock& clock_;
  Progress progress_;
  Pki pki_;
  std::unique_ptr<kube::Client> client_;
};

}  // namespace envicutor::standalone
