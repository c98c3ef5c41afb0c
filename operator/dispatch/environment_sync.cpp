#include "operator/dispatch/environment_sync.h"

#include <utility>

#include "common/base/log.h"

namespace envicutor::op {
namespace {

// How often it is looked whether an executor came; also what changes wait for others.
constexpr std::chrono::milliseconds kTick{500};
constexpr std::chrono::seconds kRetry{5};

}  // namespace

std::vector<LiveEnvironment> EnvironmentsOfRuntime(const Json& runtime) {
  std::vector<LiveEnvironment> live;
  const auto add = [&live](const std::string& hash, const std::string& store_path) {
    if (!hash.empty()) live.push_back({hash, store_path, true});
  };
  if (!At(runtime, {"metadata", "deletionTimestamp"}).is_null()) return live;
  const Json& built = At(runtime, {"status", "environment"});
  add(GetString(built, "hash"), GetString(built, "storePath"));
  const Json& served = At(runtime, {"status", "served"});
  add(GetString(served, "environmentHash"), GetString(served, "environmentStorePath"));
  return live;
}

Json EnvironmentsBody(const std::vector<LiveEnvironment>& live) {
  std::map<std::string, LiveEnvironment> by_hash;
  for (const LiveEnvironment& environment : live) {
    LiveEnvironment& kept = by_hash[environment.hash];
    kept.hash = environment.hash;
    if (kept.store_path.empty()) kept.store_path = environment.store_path;
    kept.runtime = kept.runtime || environment.runtime;
  }
  Json list = Json::array();
  for (const auto& [hash, environment] : by_hash) {
    list.push_back({{"hash", hash},
                    {"storePath", environment.store_path},
                    {"kind", environment.runtime ? "runtime" : "submission"}});
  }
  return {{"environments", std::move(list)}};
}

EnvironmentSync::EnvironmentSync(Live live, Agents agents, Duration interval)
    : live_(std::move(live)), agents_(std::move(agents)), interval_(interval) {}

EnvironmentSync::~EnvironmentSync() { Stop(); }

void EnvironmentSync::Start() {
  thread_ = std::jthread([this](const std::stop_token& stop) { Work(stop); });
}

void EnvironmentSync::Stop() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

void EnvironmentSync::Wake() {
  const std::lock_guard lock(mutex_);
  dirty_ = true;
  wake_.notify_all();
}

void EnvironmentSync::Work(const std::stop_token& stop) {
  SteadyTime made{};
  while (!stop.stop_requested()) {
    bool make = false;
    {
      std::unique_lock lock(mutex_);
      // Many changes at once are one list.
      wake_.wait_for(lock, stop, kTick, [] { return false; });
      if (stop.stop_requested()) return;
      make = std::exchange(dirty_, false);
    }
    const SteadyTime now = std::chrono::steady_clock::now();
    if (make || now - made >= interval_) {
      made = now;
      Json body = EnvironmentsBody(live_());
      if (list_ == 0 || body != body_) {
        body_ = std::move(body);
        ++list_;
      }
    }
    const std::map<std::string, std::shared_ptr<AgentApi>> agents = agents_();
    std::erase_if(sent_, [&agents](const auto& entry) { return !agents.contains(entry.first); });
    for (const auto& [pod, api] : agents) {
      if (stop.stop_requested()) return;
      Sent& sent = sent_[pod];
      if (sent.api != api) sent = {api, 0, {}};
      const bool current = sent.list == list_;
      if (now - sent.at >= (current ? interval_ : sent.list == 0 ? Duration::zero() : kTick)) {
        Send(pod, &sent);
      }
    }
  }
}

void EnvironmentSync::Send(const std::string& pod, Sent* sent) const {
  const Result<Json> answer = sent->api->PutEnvironments(body_);
  const SteadyTime now = std::chrono::steady_clock::now();
  if (!answer.ok()) {
    // As if it had the list since then: tried again in kRetry, or when it connects anew.
    sent->list = list_;
    sent->at = now - interval_ + kRetry;
    if (answer.status().code() != Code::kUnavailable) {
      log::Warn("an executor does not take the list of environments",
                {{"pod", pod}, {"error", answer.status().message().substr(0, 300)}});
    }
    return;
  }
  sent->list = list_;
  sent->at = now;
  const Json& states = At(*answer, {"environments"});
  if (!states.is_array()) return;
  for (const Json& state : states) {
    if (GetString(state, "state") != "Failed") continue;
    log::Warn("an executor could not fetch an environment",
              {{"pod", pod},
               {"environment", GetString(state, "hash").substr(0, 64)},
               {"error", GetString(state, "message").substr(0, 512)}});
  }
}

}  // namespace envicutor::op
