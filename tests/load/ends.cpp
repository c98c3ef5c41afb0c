#include "tests/load/ends.h"

#include <array>

#include "common/kube/object_text.h"
#include "common/kube/resource.h"

namespace envicutor::load {
namespace {

// What OnEvent looks at. Clients that are measured have CPU time of the same machine.
std::optional<Json> Skim(std::string_view object) {
  enum { kName, kVersion, kPhase, kVerdict, kQueue, kOverhead, kConditions, kCount };
  static constexpr std::array<kube::TextPath, kCount> kPaths{
      kube::TextPath{"metadata", "name"},      kube::TextPath{"metadata", "resourceVersion"},
      kube::TextPath{"status", "phase"},       kube::TextPath{"status", "verdict"},
      kube::TextPath{"status", "queueMillis"}, kube::TextPath{"status", "overheadMillis"},
      kube::TextPath{"status", "conditions"}};
  std::array<std::string_view, kCount> values;
  if (!kube::FindMembers(object, kPaths, values)) return std::nullopt;
  Json few = {{"metadata",
               {{"name", kube::TextString(values[kName])},
                {"resourceVersion", kube::TextString(values[kVersion])}}}};
  if (values[kConditions].empty()) return few;
  Result<Json> conditions = ParseJson(values[kConditions]);
  if (!conditions.ok()) return std::nullopt;
  Json& status = few["status"];
  status["conditions"] = std::move(conditions).value();
  status["phase"] = kube::TextString(values[kPhase]);
  status["verdict"] = kube::TextString(values[kVerdict]);
  for (const auto& [member, text] :
       {std::pair{"queueMillis", values[kQueue]}, std::pair{"overheadMillis", values[kOverhead]}}) {
    if (text.empty()) continue;
    Result<Json> number = ParseJson(text);
    if (!number.ok()) return std::nullopt;
    status[member] = std::move(number).value();
  }
  return few;
}

}  // namespace

Status Ends::Start(kube::Client& client, const std::string& ns, const std::string& selector) {
  kube::ListOptions list;
  list.label_selector = selector;
  ENVICUTOR_ASSIGN(const kube::List now, client.ListAll(kube::kSubmissions, ns, list));
  if (!now.items.empty()) return InvalidArgument("there are Submissions of this run already");
  kube::WatchOptions options;
  options.resource_version = now.resource_version;
  options.label_selector = selector;
  options.skim = Skim;
  thread_ = std::jthread(
      [this, &client, ns, options](std::stop_token stop) { Run(client, ns, options, stop); });
  return OkStatus();
}

void Ends::Run(kube::Client& client, const std::string& ns, kube::WatchOptions options,
               std::stop_token stop) {
  Status status;
  while (status.ok() && !stop.stop_requested()) {
    status = client.Watch(
        kube::kSubmissions, ns, options,
        [&](const kube::WatchEvent& event) {
          options.resource_version = kube::ResourceVersionOf(event.object);
          OnEvent(event);
          return true;
        },
        stop);
  }
  const std::lock_guard lock(mutex_);
  status_ = status.WithContext("the watch ended");
  changed_.notify_all();
  for (const auto& [name, waiter] : waiting_) waiter->notify_one();
}

void Ends::OnEvent(const kube::WatchEvent& event) {
  if (event.type != kube::WatchEvent::Type::kAdded &&
      event.type != kube::WatchEvent::Type::kModified) {
    return;
  }
  const SteadyTime now = std::chrono::steady_clock::now();
  const std::string name = kube::NameOf(event.object);
  const std::lock_guard lock(mutex_);
  int& changes = changes_[name];
  if (event.type == kube::WatchEvent::Type::kModified) ++changes;
  if (kube::ConditionStatus(event.object, "Finished") != "True" || ends_.contains(name)) return;
  const Json& status = At(event.object, {"status"});
  End end;
  end.seen = now;
  end.phase = GetString(status, "phase");
  end.verdict = GetString(status, "verdict");
  end.queue_millis = GetInt(status, "queueMillis");
  end.overhead_millis = GetInt(status, "overheadMillis");
  end.changes = changes;
  ends_.emplace(name, std::move(end));
  changes_.erase(name);
  changed_.notify_all();
  if (const auto waiter = waiting_.find(name); waiter != waiting_.end()) {
    waiter->second->notify_one();
  }
}

Result<End> Ends::Wait(const std::string& name, SteadyTime deadline) {
  std::unique_lock lock(mutex_);
  const auto over = [&] { return ends_.contains(name) || !status_.ok(); };
  std::condition_variable ended;
  waiting_[name] = &ended;
  const bool in_time = ended.wait_until(lock, deadline, over);
  waiting_.erase(name);
  if (!in_time) {
    return Status(Code::kDeadlineExceeded, "submission " + name + " has not finished");
  }
  if (!ends_.contains(name)) return status_;
  return ends_.at(name);
}

Status Ends::WaitForAll(size_t count, SteadyTime deadline) {
  std::unique_lock lock(mutex_);
  const auto over = [&] { return ends_.size() >= count || !status_.ok(); };
  if (!changed_.wait_until(lock, deadline, over)) {
    return {Code::kDeadlineExceeded, std::to_string(count - ends_.size()) + " of " +
                                         std::to_string(count) + " have not finished"};
  }
  return ends_.size() >= count ? OkStatus() : status_;
}

std::unordered_map<std::string, End> Ends::Take() {
  const std::lock_guard lock(mutex_);
  return ends_;
}

}  // namespace envicutor::load
