// Reflector and informer: keeps a local copy of one resource type by list and watch, forever,
// through disconnects and 410 (relist), with backoff 0.8 s × 2 up to 30 s and jitter.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/clock.h"
#include "common/base/json.h"
#include "common/kube/client.h"

namespace envicutor::kube {

using ObjectPtr = std::shared_ptr<const Json>;  // immutable, shared with the cache

struct EventHandler {
  // Run on the informer's thread, in order; must be quick (put a key in a workqueue).
  std::function<void(const ObjectPtr&)> on_add;
  std::function<void(const ObjectPtr& old, const ObjectPtr& now)> on_update;
  std::function<void(const ObjectPtr& last)> on_delete;
};

struct InformerOptions {
  std::string ns;  // "": all
  std::string label_selector;
  std::string field_selector;
  // True for objects that nobody reads any more and of which there may be very many: the cache
  // keeps their name, uid, version and status.phase only. Handlers get the whole object as it
  // comes; what was before, Get and on_delete have no more than these.
  std::function<bool(const Json&)> summarize = nullptr;
  // As WatchOptions': handlers get no more of such an object than this made of it.
  std::function<std::optional<Json>(std::string_view object)> skim = nullptr;
  Duration backoff_base = std::chrono::milliseconds(800);
  Duration backoff_max = std::chrono::seconds(30);
};

// Thread-safe.
class Informer {
 public:
  virtual ~Informer() = default;                      // stops and joins
  virtual void AddHandler(EventHandler handler) = 0;  // before Start
  virtual void Start() = 0;
  virtual void Stop() = 0;  // never from a handler
  // True once the first list is in the cache and its handlers have run.
  [[nodiscard]] virtual bool HasSynced() const = 0;
  [[nodiscard]] virtual bool WaitForSync(std::chrono::milliseconds timeout) const = 0;
  // nullptr when absent. key: "namespace/name" or "name".
  [[nodiscard]] virtual ObjectPtr Get(const std::string& key) const = 0;
  // Without those that were summarized.
  [[nodiscard]] virtual std::vector<ObjectPtr> All() const = 0;
  // How many were summarized, by status.phase.
  [[nodiscard]] virtual std::map<std::string, int64_t> Summarized() const { return {}; }
  // After our own write: newer objects go into the cache at once, so the next reconcile sees them.
  // The handlers hear of it when the watch brings it.
  virtual void Observe(const Json& object) = 0;
};

[[nodiscard]] std::unique_ptr<Informer> NewInformer(Client& client, ResourceType type,
                                                    InformerOptions options);

}  // namespace envicutor::kube
