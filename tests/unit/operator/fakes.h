// Stand-ins without threads or I/O for what the controllers need: an API store with
// resourceVersions and the set-once rule, a cache that is as stale as the test wants, a runner that
// does what it is told. Shared with the simulation.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/kube/client.h"
#include "common/kube/informer.h"
#include "common/kube/resource.h"
#include "operator/dispatch/runner.h"
#include "operator/environments/builds.h"
#include "operator/runtimes/catalog.h"

namespace envicutor::op::testing {

inline bool IsFinal(const Json& object) {
  const std::string phase = GetString(At(object, {"status"}), "phase");
  return phase == "Completed" || phase == "Failed" || phase == "Cancelled";
}

// One API server in memory. `fault` may refuse a request before it is done, `lose_answer` after.
class FakeClient final : public kube::Client {
 public:
  std::map<std::string, Json> objects;  // "plural/ns/name"
  std::function<Status(const std::string& verb)> fault;
  std::function<bool(const std::string& verb)> lose_answer;
  std::function<void(const Json& object, bool deleted)> on_change;
  std::map<std::string, int> requests;  // by verb
  std::vector<std::string> violations;  // writes that changed a final status

  static std::string KeyFor(const kube::ResourceType& type, const std::string& ns,
                            const std::string& name) {
    return type.plural + "/" + ns + "/" + name;
  }
  Json& Put(const kube::ResourceType& type, Json object) {
    object["metadata"]["resourceVersion"] = std::to_string(++version_);
    if (kube::UidOf(object).empty()) object["metadata"]["uid"] = "uid-" + std::to_string(version_);
    Json& stored = objects[KeyFor(type, kube::NamespaceOf(object), kube::NameOf(object))];
    stored = std::move(object);
    if (on_change) on_change(stored, false);
    return stored;
  }

  Result<Json> Get(const kube::ResourceType& type, const std::string& ns,
                   const std::string& name) override {
    ENVICUTOR_RETURN_IF_ERROR(Before("get"));
    const auto it = objects.find(KeyFor(type, ns, name));
    if (it == objects.end()) return NotFound(type.plural + " \"" + name + "\" not found");
    return it->second;
  }
  Result<kube::List> ListAll(const kube::ResourceType& type, const std::string&,
                             const kube::ListOptions&) override {
    kube::List list;
    for (const auto& [key, object] : objects) {
      if (key.rfind(type.plural + "/", 0) == 0) list.items.push_back(object);
    }
    list.resource_version = std::to_string(version_);
    return list;
  }
  Result<Json> Create(const kube::ResourceType& type, const std::string& ns,
                      const Json& object) override {
    ENVICUTOR_RETURN_IF_ERROR(Before("create"));
    const std::string key = KeyFor(type, ns, kube::NameOf(object));
    if (objects.count(key) != 0) return Status(Code::kAlreadyExists, key + " already exists");
    return Answer("create", Put(type, object));
  }
  // Of the status alone, as the controllers do it.
  Result<Json> Update(const kube::ResourceType& type, const Json& object,
                      const std::string& subresource) override {
    ENVICUTOR_RETURN_IF_ERROR(Before("update"));
    if (subresource != "status") return Status(Code::kUnimplemented, "update");
    const std::string name = kube::NameOf(object);
    const auto it = objects.find(KeyFor(type, kube::NamespaceOf(object), name));
    if (it == objects.end()) return NotFound(name + " not found");
    if (kube::UidOf(object) != kube::UidOf(it->second) ||
        kube::ResourceVersionOf(object) != kube::ResourceVersionOf(it->second)) {
      return Status(Code::kConflict, "the object has been modified");
    }
    Json changed = it->second;
    changed["status"] = At(object, {"status"});
    ENVICUTOR_RETURN_IF_ERROR(CheckFinal(type, it->second, changed));
    return Answer("update", Put(type, std::move(changed)));
  }
  Result<Json> Patch(const kube::ResourceType& type, const std::string& ns, const std::string& name,
                     kube::PatchType, const Json& patch, const std::string&) override {
    ENVICUTOR_RETURN_IF_ERROR(Before("patch"));
    const auto it = objects.find(KeyFor(type, ns, name));
    if (it == objects.end()) return NotFound(name + " not found");
    const std::string version = kube::ResourceVersionOf(patch);
    if (!version.empty() && version != kube::ResourceVersionOf(it->second)) {
      return Status(Code::kConflict, "the object has been modified");
    }
    Json changed = it->second;
    changed.merge_patch(patch);
    ENVICUTOR_RETURN_IF_ERROR(CheckFinal(type, it->second, changed));
    return Answer("patch", Put(type, std::move(changed)));
  }
  Status Delete(const kube::ResourceType& type, const std::string& ns, const std::string& name,
                const DeleteOptions& options) override {
    ENVICUTOR_RETURN_IF_ERROR(Before("delete"));
    const auto it = objects.find(KeyFor(type, ns, name));
    if (it == objects.end()) return NotFound(name + " not found");
    if (!options.uid.empty() && options.uid != kube::UidOf(it->second))
      return Status(Code::kConflict, "uid");
    const Json last = it->second;
    objects.erase(it);
    if (on_change) on_change(last, true);
    return OkStatus();
  }
  Status Watch(const kube::ResourceType&, const std::string&, const kube::WatchOptions&,
               const std::function<bool(kube::WatchEvent)>&, std::stop_token) override {
    return Status(Code::kUnimplemented, "watch");
  }
  Result<std::string> GetRaw(const std::string&) override {
    return Status(Code::kUnimplemented, "raw");
  }

 private:
  Status Before(const std::string& verb) {
    ++requests[verb];
    return fault ? fault(verb) : OkStatus();
  }
  Status CheckFinal(const kube::ResourceType& type, const Json& old, const Json& changed) {
    if (type.plural != kube::kSubmissions.plural || !IsFinal(old)) return OkStatus();
    if (At(changed, {"status"}) == At(old, {"status"})) return OkStatus();
    violations.push_back(kube::NameOf(old));
    return InvalidArgument("status is final");
  }
  Result<Json> Answer(const std::string& verb, const Json& object) {
    if (lose_answer && lose_answer(verb)) return Unavailable("connection closed before the answer");
    return object;
  }
  int64_t version_ = 100;
};

class FakeInformer final : public kube::Informer {
 public:
  std::vector<kube::EventHandler> handlers;
  std::map<std::string, kube::ObjectPtr> cache;

  // An event arrives; older ones than the cache are dropped, as an informer does after Observe.
  void Deliver(const Json& object, bool deleted) {
    const std::string key = kube::KeyOf(object);
    const auto it = cache.find(key);
    const auto fresh = std::make_shared<const Json>(object);
    if (deleted) {
      if (it == cache.end()) return;
      cache.erase(it);
      for (const auto& handler : handlers) handler.on_delete(fresh);
      return;
    }
    if (it == cache.end()) {
      cache[key] = fresh;
      for (const auto& handler : handlers) handler.on_add(fresh);
      return;
    }
    if (Version(object) < Version(*it->second)) return;
    const kube::ObjectPtr old = it->second;
    it->second = fresh;
    for (const auto& handler : handlers) handler.on_update(old, fresh);
  }

  void AddHandler(kube::EventHandler handler) override { handlers.push_back(std::move(handler)); }
  void Start() override {}
  void Stop() override {}
  bool HasSynced() const override { return true; }
  bool WaitForSync(std::chrono::milliseconds) const override { return true; }
  kube::ObjectPtr Get(const std::string& key) const override {
    const auto it = cache.find(key);
    return it == cache.end() ? nullptr : it->second;
  }
  std::vector<kube::ObjectPtr> All() const override {
    std::vector<kube::ObjectPtr> all;
    for (const auto& [key, object] : cache) all.push_back(object);
    return all;
  }
  void Observe(const Json& object) override {
    const auto it = cache.find(kube::KeyOf(object));
    if (it != cache.end() && Version(object) > Version(*it->second)) {
      it->second = std::make_shared<const Json>(object);
    }
  }

 private:
  static int64_t Version(const Json& object) {
    return std::stoll("0" + kube::ResourceVersionOf(object));
  }
};

class FakeRunner final : public Runner {
 public:
  struct Submitted {
    std::string pool;
    std::string ns;
    int64_t priority = 0;
    api::RunRequest request;
    RunEvents events;
  };
  std::vector<Submitted> submitted;
  std::vector<std::string> cancelled;
  std::vector<std::string> acknowledged;
  std::optional<RunWait> wait;

  void Submit(const std::string& pool, const std::string& ns, int64_t priority,
              api::RunRequest request, RunEvents events) override {
    submitted.push_back({pool, ns, priority, std::move(request), std::move(events)});
  }
  void Cancel(const std::string& uid) override { cancelled.push_back(uid); }
  void Acknowledge(const std::string& uid) override { acknowledged.push_back(uid); }
  std::optional<RunWait> Waiting(const std::string&) const override { return wait; }
};

class FakeCatalog final : public RuntimeCatalog {
 public:
  std::map<std::string, RuntimeLookup> runtimes;
  std::function<void(const std::string&)> changed;
  RuntimeLookup Find(const std::string& name) const override {
    const auto it = runtimes.find(name);
    return it == runtimes.end() ? RuntimeLookup{} : it->second;
  }
  void OnChange(std::function<void(const std::string&)> callback) override {
    changed = std::move(callback);
  }
  void Serve(const std::string& name, Json spec) {
    RuntimeLookup& lookup = runtimes[name];
    lookup.state = RuntimeLookup::State::kServing;
    lookup.runtime = {name, 1, "hash-" + name, std::move(spec), "default", ""};
  }
};

class FakeBuilds final : public EnvironmentBuilds {
 public:
  std::map<std::string, BuildState> states;  // by hash
  std::vector<api::EnvironmentSpec> asked;
  std::vector<std::string> discarded;
  std::vector<std::string> retried;
  std::function<void(const std::string&)> changed;
  BuildState Ensure(const api::EnvironmentSpec& spec) override {
    asked.push_back(spec);
    return states[HashOf(spec)];
  }
  std::string HashOf(const api::EnvironmentSpec& spec) const override {
    std::string hash = "env:" + spec.shell + ":" + spec.salt;
    for (const std::string& package : spec.packages) hash += ":" + package;
    for (const std::string& package : spec.extra_packages) hash += "+" + package;
    return hash;
  }
  void Retry(const std::string& hash) override { retried.push_back(hash); }
  void Discard(const std::string& hash) override { discarded.push_back(hash); }
  void OnChange(std::function<void(const std::string&)> callback) override {
    changed = std::move(callback);
  }
};

}  // namespace envicutor::op::testing
