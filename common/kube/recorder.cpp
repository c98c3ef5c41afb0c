#include "common/kube/recorder.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <list>
#include <mutex>
#include <optional>
#include <thread>
#include <unordered_map>
#include <utility>

#include "common/base/encoding.h"
#include "common/base/log.h"

namespace envicutor::kube {
namespace {

constexpr size_t kMaxQueued = 1000;
constexpr size_t kMaxRemembered = 4096;  // events, and objects, of which counts and rates are kept
constexpr std::chrono::minutes kSeriesWindow{10};
constexpr double kBurstPerObject = 10;
constexpr double kPerSecondAndObject = 3;
constexpr size_t kMaxMessageBytes = 1024;  // the API's own bound for an Event's message
constexpr size_t kMaxNamePrefix = 200;     // an object's name has at most 253 bytes

// The last kMaxRemembered values by key, least recently used out first. Not thread-safe.
template <typename Value>
class Remembered {
 public:
  Value& operator[](const std::string& key) {
    if (const auto it = index_.find(key); it != index_.end()) {
      order_.splice(order_.begin(), order_, it->second);
      return it->second->second;
    }
    order_.emplace_front(key, Value{});
    index_[key] = order_.begin();
    if (order_.size() > kMaxRemembered) {
      index_.erase(order_.back().first);
      order_.pop_back();
    }
    return order_.front().second;
  }

 private:
  std::list<std::pair<std::string, Value>> order_;
  std::unordered_map<std::string, typename std::list<std::pair<std::string, Value>>::iterator>
      index_;
};

struct Series {
  std::string name;  // of the Event
  int64_t count = 0;
  SteadyTime last{};
};

struct Rate {
  double tokens = kBurstPerObject;
  std::optional<SteadyTime> at;

  bool Take(SteadyTime now) {
    if (at) {
      tokens = std::min(kBurstPerObject, tokens + std::chrono::duration<double>(now - *at).count() *
                                                      kPerSecondAndObject);
    }
    at = now;
    if (tokens < 1) return false;
    tokens -= 1;
    return true;
  }
};

class QueueingRecorder final : public EventRecorder {
 public:
  QueueingRecorder(Client& client, std::string component, const Clock* clock)
      : client_(client),
        component_(std::move(component)),
        clock_(clock != nullptr ? *clock : system_clock_),
        thread_([this](const std::stop_token& stop) { Work(stop); }) {}

  void Record(const Json& about, const std::string& type, const std::string& reason,
              const std::string& message) override {
    const std::string now = FormatRfc3339(clock_.WallNow());
    const std::string ns = NamespaceOf(about).empty() ? "default" : NamespaceOf(about);
    Json event = {
        {"apiVersion", "v1"},
        {"kind", "Event"},
        {"metadata", {{"namespace", ns}}},
        {"involvedObject",
         {{"apiVersion", GetString(about, "apiVersion")},
          {"kind", GetString(about, "kind")},
          {"name", NameOf(about)},
          {"uid", UidOf(about)},
          {"resourceVersion", ResourceVersionOf(about)}}},
        {"type", type},
        {"reason", reason},
        {"message", std::string(Utf8Prefix(message, kMaxMessageBytes))},
        {"source", {{"component", component_}}},
        {"reportingComponent", component_},
        {"firstTimestamp", now},
        {"lastTimestamp", now},
        {"count", 1},
    };
    if (!NamespaceOf(about).empty()) event["involvedObject"]["namespace"] = ns;
    const std::scoped_lock lock(mutex_);
    if (queue_.size() >= kMaxQueued) {
      ++dropped_;
      return;
    }
    queue_.push_back(std::move(event));
    wake_.notify_one();
  }

 private:
  void Work(const std::stop_token& stop) {
    for (;;) {
      Json event;
      size_t dropped = 0;
      {
        std::unique_lock lock(mutex_);
        if (!wake_.wait(lock, stop, [this] { return !queue_.empty(); })) return;
        if (stop.stop_requested()) return;
        event = std::move(queue_.front());
        queue_.pop_front();
        dropped = std::exchange(dropped_, 0);
      }
      if (dropped > 0) log::Warn("events dropped", {{"count", std::to_string(dropped)}});
      Publish(std::move(event));
    }
  }

  void Publish(Json event) {
    const Json& object = event["involvedObject"];
    const SteadyTime now = clock_.Now();
    if (!rates_[GetString(object, "kind") + "/" + GetString(object, "uid")].Take(now)) return;
    const std::string ns = NamespaceOf(event);
    const std::string key = DumpJson({GetString(object, "kind"), ns, GetString(object, "name"),
                                      GetString(object, "uid"), GetString(event, "type"),
                                      GetString(event, "reason"), GetString(event, "message")});
    Series& series = series_[key];
    if (series.count > 0 && now - series.last <= kSeriesWindow) {
      series.last = now;
      ++series.count;
      const Json patch = {{"count", series.count}, {"lastTimestamp", event["lastTimestamp"]}};
      const auto patched = client_.Patch(kEvents, ns, series.name, PatchType::kMerge, patch);
      if (patched.ok() || patched.status().code() != Code::kNotFound)
        return Complain(patched.status());
      // Events expire; this one begins again.
    }
    // The first time of a series makes its name: a repeated create is the same Event.
    series.name = std::string(Utf8Prefix(GetString(object, "name"), kMaxNamePrefix)) + "." +
                  Sha256Hex(key + GetString(event, "firstTimestamp")).substr(0, 16);
    series.count = 1;
    series.last = now;
    event["metadata"]["name"] = series.name;
    const auto created = client_.Create(kEvents, ns, event);
    if (created.status().code() != Code::kAlreadyExists) Complain(created.status());
  }

  static void Complain(const Status& status) {
    if (!status.ok()) log::Warn("event not recorded", {{"error", status.ToString()}});
  }

  Client& client_;
  const std::string component_;
  const SystemClock system_clock_;
  const Clock& clock_;
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::deque<Json> queue_;
  size_t dropped_ = 0;
  Remembered<Series> series_;  // this and the next: of the thread only
  Remembered<Rate> rates_;
  std::jthread thread_;  // last: it uses all of the above
};

}  // namespace

std::unique_ptr<EventRecorder> NewEventRecorder(Client& client, std::string component,
                                                const Clock* clock) {
  return std::make_unique<QueueingRecorder>(client, std::move(component), clock);
}

}  // namespace envicutor::kube
