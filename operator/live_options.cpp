#include "operator/live_options.h"

#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "common/base/file.h"
#include "common/base/log.h"

namespace envicutor::op {
namespace {

std::string Listed(const std::vector<std::string>& names) {
  std::string all;
  for (const std::string& name : names) all += (all.empty() ? "" : ", ") + name;
  return all;
}

// What a file is, without reading it; "" when it is not there.
std::string IdentityOf(const std::string& path) {
  struct stat info = {};
  if (::stat(path.c_str(), &info) != 0) return "";
  return std::to_string(info.st_dev) + "/" + std::to_string(info.st_ino) + "/" +
         std::to_string(info.st_size) + "/" + std::to_string(info.st_mtim.tv_sec) + "." +
         std::to_string(info.st_mtim.tv_nsec);
}

// `running` with all of `given` that can change while it runs.
Options Merged(const Options& running, Options given, LiveOptions::Outcome* outcome) {
  const auto take = [outcome](const char* name, auto& kept, auto& offered) {
    if (kept == offered) return;
    kept = std::move(offered);
    outcome->changed.emplace_back(name);
  };
  const auto keep = [outcome](const char* name, const auto& kept, const auto& offered) {
    if (!(kept == offered)) outcome->needs_restart.emplace_back(name);
  };
  Options merged = running;
  take("limits.run", merged.run_limits, given.run_limits);
  take("limits.compile", merged.compile_limits, given.compile_limits);
  take("limits.extract", merged.extract_limits, given.extract_limits);
  take("queue", merged.queue, given.queue);
  take("scheduling", merged.scheduling, given.scheduling);
  take("log.level", merged.log_level, given.log_level);
  const int64_t workers = given.submissions.workers;
  given.submissions.workers = running.submissions.workers;
  take("submissions", merged.submissions, given.submissions);
  keep("submissions.workers", running.submissions.workers, workers);
  // Its store is the builder's too.
  const std::string store =
      std::exchange(given.executor.store_host_path, running.executor.store_host_path);
  take("executor", merged.executor, given.executor);
  keep("executor.storeHostPath", running.executor.store_host_path, store);
  keep("kubeconfig", running.kubeconfig, given.kubeconfig);
  keep("operatorNamespace", running.operator_namespace, given.operator_namespace);
  keep("executorNamespace", running.executor_namespace, given.executor_namespace);
  keep("executorTls", running.executor_tls, given.executor_tls);
  keep("builder", running.builder, given.builder);
  keep("cache", running.cache, given.cache);
  keep("listen", running.listen, given.listen);
  keep("leaderElection", running.leader_election, given.leader_election);
  keep("log.format", running.log_format, given.log_format);
  return merged;
}

}  // namespace

LiveOptions::LiveOptions(Options options, std::string kubeconfig)
    : kubeconfig_(std::move(kubeconfig)) {
  if (!kubeconfig_.empty()) options.kubeconfig = kubeconfig_;
  options_ = std::make_shared<const Options>(std::move(options));
}

std::shared_ptr<const Options> LiveOptions::Get() const {
  const std::lock_guard lock(mutex_);
  return options_;
}

std::shared_ptr<void> LiveOptions::OnChange(Callback callback) {
  auto held = std::make_shared<Callback>(std::move(callback));
  const std::lock_guard lock(mutex_);
  std::erase_if(callbacks_, [](const auto& old) { return old.expired(); });
  callbacks_.push_back(held);
  return held;
}

Result<LiveOptions::Outcome> LiveOptions::Offer(std::string_view yaml) {
  ENVICUTOR_ASSIGN(Options given, ParseOptions(yaml));
  if (!kubeconfig_.empty()) given.kubeconfig = kubeconfig_;
  Outcome outcome;
  std::shared_ptr<const Options> now;
  std::vector<std::shared_ptr<Callback>> callbacks;
  {
    const std::lock_guard lock(mutex_);
    now = std::make_shared<const Options>(Merged(*options_, std::move(given), &outcome));
    options_ = now;
    for (const auto& weak : callbacks_) {
      if (auto callback = weak.lock()) callbacks.push_back(std::move(callback));
    }
  }
  if (!outcome.changed.empty()) {
    for (const auto& callback : callbacks) (*callback)(*now);
  }
  return outcome;
}

ConfigWatcher::ConfigWatcher(LiveOptions& live, std::string path, std::string text,
                             std::function<void(bool)> reloaded, Duration interval)
    : live_(live),
      path_(std::move(path)),
      text_(std::move(text)),
      reloaded_(std::move(reloaded)),
      interval_(interval),
      thread_([this](const std::stop_token& stop) { Run(stop); }) {}

void ConfigWatcher::Reload() {
  {
    const std::lock_guard lock(mutex_);
    asked_ = true;
  }
  wake_.notify_one();
}

void ConfigWatcher::Run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    bool asked = false;
    {
      std::unique_lock lock(mutex_);
      wake_.wait_for(lock, stop, interval_, [this] { return asked_; });
      asked = std::exchange(asked_, false);
    }
    if (!stop.stop_requested()) Look(asked);
  }
}

void ConfigWatcher::Look(bool asked) {
  const std::string identity = IdentityOf(path_);
  if (identity == identity_ && !asked) return;
  const Result<std::string> text = ReadOptionsText(path_);
  if (!text.ok()) {
    // Between two versions of a mounted ConfigMap, or gone: what is in force stays.
    const std::string what = text.status().ToString();
    if (asked || what != complained_) {
      log::Warn("the configuration cannot be read again; the old one stays in force",
                {{"file", path_}, {"error", what}});
      reloaded_(false);
    }
    complained_ = what;
    return;
  }
  identity_ = identity;
  complained_.clear();
  if (*text == text_ && !asked) return;
  text_ = *text;
  const Result<LiveOptions::Outcome> outcome = live_.Offer(text_);
  reloaded_(outcome.ok());
  if (!outcome.ok()) {
    log::Error("the changed configuration is not valid; the old one stays in force",
               {{"file", path_}, {"error", outcome.status().message()}});
    return;
  }
  log::Info("configuration read again",
            {{"file", path_},
             {"changed", outcome->changed.empty() ? "nothing" : Listed(outcome->changed)}});
  if (!outcome->needs_restart.empty()) {
    log::Warn("changes in the configuration that need a restart of the operator",
              {{"file", path_}, {"fields", Listed(outcome->needs_restart)}});
  }
}

}  // namespace envicutor::op
