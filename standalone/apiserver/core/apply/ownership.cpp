#include "standalone/apiserver/core/apply/ownership.h"

#include <algorithm>
#include <map>

#include "standalone/apiserver/core/apply/field_set.h"
#include "standalone/apiserver/core/apply/typed.h"
#include "standalone/apiserver/core/object.h"

namespace envicutor::standalone {
namespace {

constexpr const char* kAncient = "ancient-changes";
constexpr const char* kBeforeApply = "before-first-apply";
constexpr const char* kKubectl = "kubectl";
constexpr const char* kLastApplied = "kubectl.kubernetes.io/last-applied-configuration";

// What the path of the request does not write, and so nobody owns through it.
void Reset(const ResourceInfo& resource, const std::string& subresource, Json* fields) {
  if (subresource == "status") {
    fields->erase("f:spec");
  } else if (resource.has_status) {
    fields->erase("f:status");
  }
}

// Members that a new object of a built-in kind has before anything is said: Go's structs.
Json Blank(const ResourceInfo& resource) {
  Json blank = Json::object();
  if (resource.crd != nullptr) return blank;
  for (const char* kind :
       {"pods", "nodes", "namespaces", "resourcequotas", "leases", "customresourcedefinitions"}) {
    if (resource.plural == kind) blank["spec"] = Json::object();
  }
  if (resource.plural == "pods") blank["spec"]["containers"] = nullptr;
  if (resource.plural == "customresourcedefinitions") {
    blank["spec"] = {{"group", ""},
                     {"names", {{"plural", ""}, {"kind", ""}}},
                     {"scope", ""},
                     {"versions", nullptr}};
  }
  return blank;
}

void DropEmpty(Managed* managed) {
  std::erase_if(*managed, [](const ManagedEntry& entry) { return entry.fields.empty(); });
}

// At most kMaxUpdateManagers by update: the oldest become one.
void Cap(Managed* managed) {
  const auto updates = static_cast<size_t>(
      std::count_if(managed->begin(), managed->end(), [](const auto& e) { return !e.apply; }));
  if (updates <= kMaxUpdateManagers) return;
  std::stable_sort(managed->begin(), managed->end(),
                   [](const auto& a, const auto& b) { return a.time < b.time; });
  std::map<std::string, ManagedEntry> ancient;  // by version
  size_t left = updates;
  Managed kept;
  for (ManagedEntry& entry : *managed) {
    if (entry.apply || left + ancient.size() <= kMaxUpdateManagers) {
      kept.push_back(std::move(entry));
      continue;
    }
    --left;
    ManagedEntry& bucket = ancient[entry.api_version];
    bucket.manager = kAncient;
    bucket.api_version = entry.api_version;
    bucket.time = entry.time;
    bucket.fields = Union(bucket.fields, entry.fields);
  }
  for (auto& [version, bucket] : ancient) kept.push_back(std::move(bucket));
  *managed = std::move(kept);
}

struct Conflict {
  const ManagedEntry* owner;
  Json fields;
};

// `"NAME" with subresource "S" using v1`, as kube-apiserver prints one.
std::string Shown(const ManagedEntry& entry) {
  std::string text = DumpJson(Json(entry.manager));
  if (!entry.subresource.empty()) {
    text += " with subresource " + DumpJson(Json(entry.subresource));
  }
  if (entry.apply) return text;
  return text + " using " + entry.api_version;
}

ApiError ConflictsError(const std::vector<Conflict>& conflicts) {
  ApiError error;
  error.code = 409;
  error.reason = "Conflict";
  Json causes = Json::array();
  std::map<std::string, std::vector<std::string>> paths;  // by owner
  for (const Conflict& conflict : conflicts) {
    const std::string owner = Shown(*conflict.owner);
    ForEachPath(conflict.fields, [&](const std::string& path) {
      causes.push_back({{"reason", "FieldManagerConflict"},
                        {"message", "conflict with " + owner},
                        {"field", path}});
      paths[owner].push_back(path);
    });
  }
  if (causes.size() == 1) {
    error.message = "Apply failed with 1 conflict: conflict with " + paths.begin()->first + ": " +
                    paths.begin()->second[0];
  } else {
    error.message = "Apply failed with " + std::to_string(causes.size()) + " conflicts: ";
    std::string lines;
    for (const auto& [owner, fields] : paths) {
      lines += (lines.empty() ? "" : "\n") + std::string("conflicts with ") + owner + ":";
      for (const std::string& field : fields) lines += "\n- " + field;
    }
    error.message += lines;
  }
  error.details = {{"causes", std::move(causes)}};
  return error;
}

// The fields that the annotation of client-side apply set and that are still as it set them:
// kubectl's own, whoever the entries name.
Json StillAsLastApplied(const Json& live, const Shape& shape) {
  const std::string text = GetString(At(live, {"metadata", "annotations"}), kLastApplied);
  const Result<Json> last = ParseJson(text);
  if (text.empty() || !last.ok() || !last->is_object()) return Json::object();
  const Differences changed = Compare(&*last, live, shape);
  return Difference(Difference(FieldsOf(*last, shape, nullptr), changed.modified), changed.removed);
}

// Once an object is applied by kubectl, the annotation goes with it: client-side apply may come
// back.
void SyncLastApplied(const Json& live, const Json& config, Json* object) {
  if (!At(live, {"metadata", "annotations"}).contains(kLastApplied)) return;
  Json copy = config;
  if (copy["metadata"].is_object() && copy["metadata"]["annotations"].is_object()) {
    copy["metadata"]["annotations"].erase(kLastApplied);
  }
  (*object)["metadata"]["annotations"][kLastApplied] = DumpJson(copy) + "\n";
}

}  // namespace

Managed OwnUpdate(const ResourceInfo& resource, const Json* before, const Json& after,
                  Managed managed, const Writer& writer) {
  const Shape shape = Shape::Of(resource);
  const Json blank = before == nullptr ? Blank(resource) : Json();
  Differences changed = Compare(before == nullptr ? &blank : before, after, shape);
  for (Json* set : {&changed.added, &changed.modified, &changed.removed}) {
    Reset(resource, writer.subresource, set);
  }
  Json own =
      changed.modified.empty() ? std::move(changed.added) : Union(changed.added, changed.modified);
  for (ManagedEntry& entry : managed) {
    // Most writes are to fields of the writer's own: what others have is not built again.
    for (const Json* taken :
         {static_cast<const Json*>(&own), static_cast<const Json*>(&changed.removed)}) {
      if (Intersect(entry.fields, *taken)) entry.fields = Difference(entry.fields, *taken);
    }
  }
  if (!own.empty()) {
    ManagedEntry mine;
    mine.manager = writer.manager;
    mine.api_version = resource.ApiVersion();
    mine.subresource = writer.subresource;
    mine.time = FormatRfc3339(writer.now);
    const auto same = std::find_if(managed.begin(), managed.end(),
                                   [&](const auto& entry) { return entry.SameManager(mine); });
    if (same == managed.end()) {
      mine.fields = std::move(own);
      managed.push_back(std::move(mine));
    } else {
      same->fields = Union(same->fields, own);
      same->time = mine.time;
    }
  }
  DropEmpty(&managed);
  Cap(&managed);
  return managed;
}

Json TrackWrite(const ResourceInfo& resource, const Json* before, const Json& after, Json present,
                const Json& asked, const Writer& writer) {
  static const Json kReset = Json::array({Json::object()});
  std::optional<Managed> managed;
  if (before != nullptr && writer.subresource.empty() && !asked.is_null() && asked != present) {
    if (asked == kReset) return nullptr;
    managed = ReadManaged(asked);
  }
  if (!managed || managed->empty()) managed = ReadManaged(std::move(present));
  if (!managed) managed.emplace();
  // Not followed so far: from the first apply on.
  if (before != nullptr && managed->empty()) return nullptr;
  return WriteManaged(OwnUpdate(resource, before, after, std::move(*managed), writer));
}

ApiResult<Applied> OwnApply(const ResourceInfo& resource, const Json* live, const Json& config,
                            Managed managed, const Writer& writer, bool force) {
  const Shape shape = Shape::Of(resource);
  if (live != nullptr && managed.empty()) {
    // From before ownership was kept: whoever it was keeps what is there.
    managed = OwnUpdate(resource, nullptr, *live, {}, {kBeforeApply, "", writer.now});
  }
  std::string problem;
  Json fields = FieldsOf(config, shape, &problem);
  if (!problem.empty()) {
    ApiError error;
    error.code = 500;
    error.message = "failed to create typed patch object (" + NamespaceOf(config) + "/" +
                    NameOf(config) + "; " + resource.group + "/" + resource.version +
                    ", Kind=" + resource.kind + "): " + problem;
    return error;
  }
  Reset(resource, writer.subresource, &fields);
  ManagedEntry mine;
  mine.manager = writer.manager;
  mine.apply = true;
  mine.api_version = resource.ApiVersion();
  mine.subresource = writer.subresource;
  const auto at = std::find_if(managed.begin(), managed.end(),
                               [&](const auto& entry) { return entry.SameManager(mine); });
  Json last = Json::object();
  if (at != managed.end()) {
    last = at->fields;
    managed.erase(at);
  }
  mine.fields = fields;
  mine.time = FormatRfc3339(writer.now);

  Applied out;
  out.object = live == nullptr ? config : Merge(*live, config, shape);
  if (!last.empty()) {
    std::vector<const Json*> owned = {&mine.fields};
    for (const ManagedEntry& entry : managed) owned.push_back(&entry.fields);
    Prune(&out.object, last, UnionOf(owned), shape);
  }
  const Json blank = Blank(resource);
  Differences changed = Compare(live == nullptr ? &blank : live, out.object, shape);
  for (Json* set : {&changed.added, &changed.modified, &changed.removed}) {
    Reset(resource, writer.subresource, set);
  }
  const Json own = Union(changed.added, changed.modified);
  std::vector<Conflict> conflicts;
  for (const ManagedEntry& entry : managed) {
    if (Intersect(entry.fields, own))
      conflicts.push_back({&entry, Intersection(entry.fields, own)});
  }
  if (!conflicts.empty() && !force) {
    if (writer.manager == kKubectl && live != nullptr) {
      const Json allowed = StillAsLastApplied(*live, shape);
      std::erase_if(conflicts, [&](Conflict& conflict) {
        conflict.fields = Difference(conflict.fields, allowed);
        return conflict.fields.empty();
      });
    }
    if (!conflicts.empty()) return ConflictsError(conflicts);
  }
  for (ManagedEntry& entry : managed) {
    // What others have is not built again.
    for (const Json* taken : {&own, static_cast<const Json*>(&changed.removed)}) {
      if (Intersect(entry.fields, *taken)) entry.fields = Difference(entry.fields, *taken);
    }
  }
  managed.push_back(std::move(mine));
  DropEmpty(&managed);
  if (writer.manager == kKubectl && live != nullptr) SyncLastApplied(*live, config, &out.object);
  out.managed = std::move(managed);
  return out;
}

}  // namespace envicutor::standalone
