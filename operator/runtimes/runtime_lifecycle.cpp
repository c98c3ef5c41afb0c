// The beginning and the end of a Runtime in the controller: its finalizer, its deletion, what is
// remembered.

#include <algorithm>
#include <set>

#include "common/base/log.h"
#include "common/kube/resource.h"
#include "operator/runtimes/runtime_controller.h"

namespace envicutor::op {
namespace {

constexpr std::chrono::milliseconds kDeletionInterval{500};
// A deletion does not wait longer for submissions: their own deadlines should have ended them.
constexpr std::chrono::minutes kDeletionPatience{15};

bool IsOver(const Json& submission) {
  const std::string phase = GetString(At(submission, {"status"}), "phase");
  return phase == "Completed" || phase == "Failed" || phase == "Cancelled";
}

bool HasFinalizer(const Json& object) {
  const Json& finalizers = At(object, {"metadata", "finalizers"});
  return finalizers.is_array() && std::find(finalizers.begin(), finalizers.end(),
                                            Json(kRuntimeFinalizer)) != finalizers.end();
}

std::string AnswerText(const RuntimeLookup& lookup) {
  return std::to_string(static_cast<int>(lookup.state)) + "/" +
         std::to_string(lookup.runtime.generation) + "/" + lookup.runtime.environment_hash + "/" +
         lookup.message + (lookup.failed ? "!" : "");
}

}  // namespace

Result<bool> RuntimeController::AddFinalizer(const Json& runtime) {
  if (HasFinalizer(runtime)) return false;
  Json finalizers = At(runtime, {"metadata", "finalizers"});
  if (!finalizers.is_array()) finalizers = Json::array();
  finalizers.push_back(kRuntimeFinalizer);
  const Json patch = {{"metadata",
                       {{"finalizers", std::move(finalizers)},
                        {"resourceVersion", kube::ResourceVersionOf(runtime)}}}};
  const Result<Json> written = deps_.client.Patch(kube::kRuntimes, "", kube::NameOf(runtime),
                                                  kube::PatchType::kMerge, patch);
  if (!written.ok()) return written.status();
  deps_.runtimes.Observe(*written);
  deps_.queue.Add(kube::NameOf(runtime));
  return true;
}

size_t RuntimeController::RunningSubmissions(const Json& runtime) const {
  const std::string name = kube::NameOf(runtime);
  const std::string deleted = GetString(At(runtime, {"metadata"}), "deletionTimestamp");
  size_t count = 0;
  for (const kube::ObjectPtr& submission : deps_.submissions.All()) {
    if (IsOver(*submission) || GetString(At(*submission, {"spec", "runtimeRef"}), "name") != name)
      continue;
    // Those that came after the deletion do not hold it up. RFC 3339 in UTC sorts as text.
    if (GetString(At(*submission, {"metadata"}), "creationTimestamp") > deleted) continue;
    ++count;
  }
  return count;
}

Status RuntimeController::ReconcileDeleted(const Json& runtime, Entry* entry) {
  const std::string name = kube::NameOf(runtime);
  CancelTests(entry);
  entry->deleting = true;
  if (!HasFinalizer(runtime)) return OkStatus();
  const Result<WallTime> deleted =
      ParseRfc3339(GetString(At(runtime, {"metadata"}), "deletionTimestamp"));
  const bool patient = deleted.ok() && deps_.clock.WallNow() - *deleted < kDeletionPatience;
  if (patient && RunningSubmissions(runtime) > 0) {
    deps_.queue.AddAfter(name, kDeletionInterval);
    return OkStatus();
  }
  FreeEnvironments(runtime, *entry);
  Json finalizers = Json::array();
  for (const Json& finalizer : At(runtime, {"metadata", "finalizers"})) {
    if (finalizer != Json(kRuntimeFinalizer)) finalizers.push_back(finalizer);
  }
  const Json patch = {{"metadata",
                       {{"finalizers", std::move(finalizers)},
                        {"resourceVersion", kube::ResourceVersionOf(runtime)}}}};
  const Result<Json> written =
      deps_.client.Patch(kube::kRuntimes, "", name, kube::PatchType::kMerge, patch);
  if (written.ok() || written.status().code() == Code::kNotFound) return OkStatus();
  return written.status();
}

// The environments that only this Runtime held. One that another Runtime has too stays, and all
// stay while a submission with an environment of its own is about: it may have the same one.
void RuntimeController::FreeEnvironments(const Json& runtime, const Entry& entry) {
  std::set<std::string> hashes;
  if (entry.served) hashes.insert(entry.served->environment_hash);
  hashes.insert(GetString(At(runtime, {"status", "environment"}), "hash"));
  hashes.erase("");
  for (const kube::ObjectPtr& submission : deps_.submissions.All()) {
    if (!IsOver(*submission) && !At(*submission, {"spec", "environment"}).is_null()) return;
  }
  {
    const std::scoped_lock lock(mutex_);
    for (const auto& [name, other] : entries_) {
      if (name == kube::NameOf(runtime)) continue;
      hashes.erase(other.hash);
      if (other.served) hashes.erase(other.served->environment_hash);
    }
  }
  for (const std::string& hash : hashes) deps_.builds.Discard(hash);
}

void RuntimeController::Store(const std::string& name, Entry entry) {
  {
    const std::scoped_lock lock(mutex_);
    entry.answered = entries_[name].answered;
    entries_[name] = std::move(entry);
  }
  const std::string answer = AnswerText(Find(name));
  std::vector<std::function<void(const std::string&)>> callbacks;
  {
    const std::scoped_lock lock(mutex_);
    const auto it = entries_.find(name);
    if (it == entries_.end() || it->second.answered == answer) return;
    it->second.answered = answer;
    callbacks = callbacks_;
  }
  for (const auto& callback : callbacks) callback(name);
}

void RuntimeController::Forget(const std::string& name) {
  Entry entry;
  std::vector<std::function<void(const std::string&)>> callbacks;
  {
    const std::scoped_lock lock(mutex_);
    const auto it = entries_.find(name);
    if (it == entries_.end()) return;
    entry = std::move(it->second);
    entries_.erase(it);
    callbacks = callbacks_;
  }
  CancelTests(&entry);
  CountPhases();
  for (const auto& callback : callbacks) callback(name);
}

void RuntimeController::CountPhases() const {
  std::map<std::string, int> counts = {
      {"Pending", 0}, {"Building", 0}, {"Testing", 0}, {"Ready", 0}, {"Failed", 0}};
  {
    const std::scoped_lock lock(mutex_);
    for (const auto& [name, entry] : entries_) ++counts[entry.phase];
  }
  for (const auto& [phase, count] : counts) deps_.metrics.runtimes.With({phase}).Set(count);
}

}  // namespace envicutor::op
