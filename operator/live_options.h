// The configuration in force. A changed file takes its place as a whole when it is valid; what only
// a restart can change stays as it is and is named. docs/configuration.md says which is which.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "common/base/clock.h"
#include "common/base/status.h"
#include "operator/options.h"

namespace envicutor::op {

// Thread-safe.
class LiveOptions {
 public:
  // `kubeconfig`: of the command line, wins over the file's; "": none.
  explicit LiveOptions(Options options, std::string kubeconfig = "");
  LiveOptions(const LiveOptions&) = delete;
  LiveOptions& operator=(const LiveOptions&) = delete;

  [[nodiscard]] std::shared_ptr<const Options> Get() const;

  // Runs after each change of what is in force, on the thread that offered it, until the handle
  // goes.
  using Callback = std::function<void(const Options& now)>;
  [[nodiscard]] std::shared_ptr<void> OnChange(Callback callback);

  struct Outcome {
    std::vector<std::string> changed;        // sections that are in force now
    std::vector<std::string> needs_restart;  // sections that differ and stay as they were
  };
  // InvalidArgument, with every mistake: all stays as it was.
  [[nodiscard]] Result<Outcome> Offer(std::string_view yaml);

 private:
  const std::string kubeconfig_;
  mutable std::mutex mutex_;
  std::shared_ptr<const Options> options_;
  std::vector<std::weak_ptr<Callback>> callbacks_;
};

// What controllers hold: the configuration in force, or one that never changes (which must outlive
// it).
class OptionsRef {
 public:
  OptionsRef(const LiveOptions& live) : live_(&live) {}  // implicit by design
  OptionsRef(const Options& fixed)                       // likewise
      : fixed_(std::shared_ptr<const void>(), &fixed) {}
  [[nodiscard]] std::shared_ptr<const Options> Get() const { return live_ ? live_->Get() : fixed_; }

 private:
  const LiveOptions* live_ = nullptr;
  std::shared_ptr<const Options> fixed_;
};

// Offers the file again whenever it is another one than before: looked at every `interval` (a
// mounted ConfigMap changes by a link), and at once after Reload(). Says in the log what came of
// it.
class ConfigWatcher {
 public:
  // `reloaded` hears of each offer whether it was good. Both it and `live` must outlive the
  // watcher.
  ConfigWatcher(LiveOptions& live, std::string path, std::string text,
                std::function<void(bool good)> reloaded,
                Duration interval = std::chrono::seconds(2));

  void Reload();  // even if the file looks the same; never blocks

 private:
  void Run(const std::stop_token& stop);
  void Look(bool asked);

  LiveOptions& live_;
  const std::string path_;
  std::string text_;  // as last offered
  std::string identity_;
  std::string complained_;
  std::function<void(bool)> reloaded_;
  const Duration interval_;
  std::mutex mutex_;
  std::condition_variable_any wake_;
  bool asked_ = false;
  std::jthread thread_;  // last: it uses all of the above
};

}  // namespace envicutor::op
