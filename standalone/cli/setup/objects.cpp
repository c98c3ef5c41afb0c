#include "standalone/cli/setup/objects.h"

#include <algorithm>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <mutex>
#include <set>
#include <system_error>

#include "common/base/file.h"
#include "common/base/log.h"
#include "common/kube/resource.h"
#include "standalone/cli/crds.h"

namespace envicutor::standalone {
namespace {

constexpr std::chrono::milliseconds kAskAgain{500};
constexpr size_t kMaxObjects = 1024;

// Asks until `done` says so or fails, or the time is over (false then).
Result<bool> Await(std::chrono::seconds patience, std::stop_token stop,
                   const std::function<Result<bool>()>& done) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  std::mutex mutex;
  std::condition_variable_any never;
  while (true) {
    ENVICUTOR_ASSIGN(const bool is_done, done());
    if (is_done) return true;
    if (stop.stop_requested()) return Status(Code::kCancelled, "interrupted");
    if (std::chrono::steady_clock::now() >= deadline) return false;
    std::unique_lock lock(mutex);
    never.wait_for(lock, stop, kAskAgain, [] { return false; });
  }
}

const kube::ResourceType& TypeOf(const Json& object) {
  return GetString(object, "kind") == "Runtime" ? kube::kRuntimes : kube::kExecutorPools;
}

std::string ReleaseOf(const Json& object) {
  return GetString(At(object, {"metadata", "labels"}), kReleaseLabel);
}

Status ApplyOne(kube::Client& client, const std::string& release, Json object) {
  const std::string name = kube::NameOf(object);
  const kube::ResourceType& type = TypeOf(object);
  object["metadata"]["labels"][kReleaseLabel] = release;
  const Result<Json> current = client.Get(type, "", name);
  if (!current.ok() && current.status().code() != Code::kNotFound) return current.status();
  if (!current.ok()) {
    ENVICUTOR_ASSIGN(const Json created, client.Create(type, "", object));
    log::Info("created", {{"kind", type.kind}, {"name", kube::NameOf(created)}});
    return OkStatus();
  }
  if (ReleaseOf(*current) != release) {
    log::Warn("left alone: it is not of this release",
              {{"kind", type.kind}, {"name", name}, {"release", ReleaseOf(*current)}});
    return OkStatus();
  }
  const Json patch = {{"spec", ReplacingPatch(At(*current, {"spec"}), At(object, {"spec"}))}};
  return client.Patch(type, "", name, kube::PatchType::kMerge, patch).status();
}

Status Prune(kube::Client& client, const kube::ResourceType& type, const std::string& release,
             const std::set<std::string>& wanted) {
  kube::ListOptions options;
  options.label_selector = std::string(kReleaseLabel) + "=" + release;
  ENVICUTOR_ASSIGN(const kube::List list, client.ListAll(type, "", options));
  for (const Json& object : list.items) {
    const std::string name = kube::NameOf(object);
    if (wanted.contains(type.kind + "/" + name)) continue;
    Status deleted = client.Delete(type, "", name);
    if (!deleted.ok() && deleted.code() != Code::kNotFound) return deleted;
    log::Info("deleted: it has left the release", {{"kind", type.kind}, {"name", name}});
  }
  return OkStatus();
}

}  // namespace

Json ReplacingPatch(const Json& current, const Json& wanted) {
  if (!current.is_object() || !wanted.is_object()) return wanted;
  Json patch = wanted;
  for (const auto& [key, value] : current.items()) {
    if (!wanted.contains(key)) {
      patch[key] = nullptr;
    } else {
      patch[key] = ReplacingPatch(value, wanted.at(key));
    }
  }
  return patch;
}

Result<std::vector<Json>> LoadObjects(const std::string& dir) {
  std::error_code error;
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(dir, error)) {
    if (entry.path().extension() == ".yaml") files.push_back(entry.path().string());
  }
  if (error) return NotFound(dir + ": " + error.message());
  std::sort(files.begin(), files.end());
  std::vector<Json> objects;
  for (const std::string& file : files) {
    ENVICUTOR_ASSIGN(const std::string text, ReadFile(file, 1U << 20U));
    Result<std::vector<Json>> documents = ParseYamlDocuments(text);
    if (!documents.ok()) return documents.status().WithContext(file);
    for (Json& document : *documents) {
      const std::string kind = GetString(document, "kind");
      if ((kind != "ExecutorPool" && kind != "Runtime") || kube::NameOf(document).empty()) {
        return InvalidArgument(file + ": kind \"" + kind + "\" is not ExecutorPool or Runtime");
      }
      objects.push_back(std::move(document));
    }
  }
  if (objects.size() > kMaxObjects) {
    return ResourceExhausted(dir + " holds " + std::to_string(objects.size()) +
                             " objects, more than the maximum " + std::to_string(kMaxObjects));
  }
  return objects;
}

Status ApplyObjects(kube::Client& client, const std::string& release,
                    const std::vector<Json>& objects, std::chrono::seconds patience,
                    std::stop_token stop) {
  for (const kube::ResourceType* type : {&kube::kExecutorPools, &kube::kRuntimes}) {
    ENVICUTOR_ASSIGN(const bool served, Await(patience, stop, [&]() -> Result<bool> {
                       const auto list = client.ListAll(*type, "", {});
                       if (list.ok()) return true;
                       if (list.status().code() == Code::kNotFound) return false;
                       return list.status();
                     }));
    if (!served) {
      return Status(Code::kDeadlineExceeded, "the API server does not serve " + type->plural +
                                                 ".envicutor.io: install the types (crds.enabled)");
    }
  }
  std::set<std::string> wanted;
  for (const Json& object : objects) {
    wanted.insert(TypeOf(object).kind + "/" + kube::NameOf(object));
    const Status applied = ApplyOne(client, release, object);
    if (!applied.ok()) {
      return applied.WithContext(TypeOf(object).kind + " " + kube::NameOf(object));
    }
  }
  ENVICUTOR_RETURN_IF_ERROR(Prune(client, kube::kExecutorPools, release, wanted));
  return Prune(client, kube::kRuntimes, release, wanted);
}

Status RemovePools(kube::Client& client, const std::string& release,
                   const std::string& executor_namespace, std::chrono::seconds patience,
                   std::stop_token stop) {
  kube::ListOptions ours;
  ours.label_selector = std::string(kReleaseLabel) + "=" + release;
  const Result<kube::List> pools = client.ListAll(kube::kExecutorPools, "", ours);
  if (!pools.ok() && pools.status().code() == Code::kNotFound) return OkStatus();  // no such type
  if (!pools.ok()) return pools.status();
  for (const Json& pool : pools->items) {
    Status deleted = client.Delete(kube::kExecutorPools, "", kube::NameOf(pool));
    if (!deleted.ok() && deleted.code() != Code::kNotFound) return deleted;
    log::Info("deleted", {{"kind", "ExecutorPool"}, {"name", kube::NameOf(pool)}});
  }
  std::string left;
  ENVICUTOR_ASSIGN(const bool gone, Await(patience, stop, [&]() -> Result<bool> {
                     left.clear();
                     for (const Json& pool : pools->items) {
                       kube::ListOptions options;
                       options.label_selector = "envicutor.io/pool=" + kube::NameOf(pool);
                       ENVICUTOR_ASSIGN(const kube::List pods,
                                        client.ListAll(kube::kPods, executor_namespace, options));
                       for (const Json& pod : pods.items) left += " " + kube::NameOf(pod);
                     }
                     return left.empty();
                   }));
  if (gone) return OkStatus();
  return Status(Code::kDeadlineExceeded,
                "executor pods are still there in " + executor_namespace + ":" + left);
}

}  // namespace envicutor::standalone
