// A Kubernetes API client on JSON objects. Thread-safe.
//
// Failures carry canonical codes: 404 NotFound, 409 AlreadyExists or Conflict (by the Status's
// reason), 410 Expired, 422/400 InvalidArgument (the server's message), 401/403, 429/413
// ResourceExhausted, 5xx and broken connections Unavailable. Writes are never retried blindly: only
// on a 429/503 that came with Retry-After, at most 3 times.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/json.h"
#include "common/base/status.h"
#include "common/kube/config.h"
#include "common/kube/resource.h"

namespace envicutor::metrics {
class Registry;
}  // namespace envicutor::metrics

namespace envicutor::kube {

struct ListOptions {
  std::string label_selector;
  std::string field_selector;
  int64_t page_size = 500;  // pages are followed to the end
  std::stop_token stop;     // Cancelled when it is requested
};

struct List {
  std::string resource_version;
  std::vector<Json> items;  // apiVersion and kind filled in, managedFields dropped
};

enum class PatchType { kJson, kMerge, kStrategicMerge };

struct WatchEvent {
  enum class Type { kAdded, kModified, kDeleted, kBookmark };
  Type type = Type::kAdded;
  Json object;
};

struct WatchOptions {
  std::string resource_version;  // required: from a list or the last event
  std::string label_selector;
  std::string field_selector;
  // Asked with the text of each added, modified or deleted object: the few members of it that are
  // of use, or nullopt for all of them. Saves the tree of the rest (common/kube/object_text.h).
  std::function<std::optional<Json>(std::string_view object)> skim = nullptr;
};

class Client {
 public:
  virtual ~Client() = default;
  [[nodiscard]] virtual Result<Json> Get(const ResourceType& type, const std::string& ns,
                                         const std::string& name) = 0;
  // ns "" lists all namespaces.
  [[nodiscard]] virtual Result<List> ListAll(const ResourceType& type, const std::string& ns,
                                             const ListOptions& options) = 0;
  [[nodiscard]] virtual Result<Json> Create(const ResourceType& type, const std::string& ns,
                                            const Json& object) = 0;
  // PUT; object's metadata.resourceVersion, when set, must be current.
  [[nodiscard]] virtual Result<Json> Update(const ResourceType& type, const Json& object,
                                            const std::string& subresource = "") = 0;
  [[nodiscard]] virtual Result<Json> Patch(const ResourceType& type, const std::string& ns,
                                           const std::string& name, PatchType patch_type,
                                           const Json& patch,
                                           const std::string& subresource = "") = 0;
  // The same for whom the new resourceVersion is enough: of the answer nothing else is read.
  [[nodiscard]] virtual Result<std::string> CreateForVersion(const ResourceType& type,
                                                             const std::string& ns,
                                                             const Json& object);
  [[nodiscard]] virtual Result<std::string> UpdateForVersion(const ResourceType& type,
                                                             const Json& object,
                                                             const std::string& subresource = "");
  struct DeleteOptions {
    std::string uid;                    // precondition, or ""
    int64_t grace_period_seconds = -1;  // -1: the object's default
    std::string propagation;            // "Background", "Foreground", "Orphan" or ""
  };
  [[nodiscard]] virtual Status Delete(const ResourceType& type, const std::string& ns,
                                      const std::string& name, const DeleteOptions& options) = 0;
  [[nodiscard]] Status Delete(const ResourceType& type, const std::string& ns,
                              const std::string& name) {
    return Delete(type, ns, name, DeleteOptions{});
  }
  // One watch request (bookmarks on, server timeout random 300-600 s). OK when the server ended it
  // in order: continue from the last resourceVersion. Expired: list again. `on_event` runs on the
  // calling thread and returns false to stop.
  [[nodiscard]] virtual Status Watch(const ResourceType& type, const std::string& ns,
                                     const WatchOptions& options,
                                     const std::function<bool(WatchEvent)>& on_event,
                                     std::stop_token stop) = 0;
  // Any other GET: "/readyz", "/version", ".../log?tailLines=100".
  [[nodiscard]] virtual Result<std::string> GetRaw(const std::string& target) = 0;
};

// rest_client_requests_total is kept when there is a registry; it must outlive the client.
[[nodiscard]] Result<std::unique_ptr<Client>> NewClient(const ClientConfig& config,
                                                        metrics::Registry* registry = nullptr);

// Server-side-apply-like convenience for our own objects without SSA: create; when it exists
// already, a merge patch of the given object.
[[nodiscard]] Result<Json> CreateOrPatch(Client& client, const ResourceType& type,
                                         const std::string& ns, const Json& object);

}  // namespace envicutor::kube
