// Strategic merge patch: k8s.io/apimachinery/pkg/util/strategicpatch, for the built-in kinds.
#include <algorithm>
#include <map>
#include <optional>

#include "standalone/apiserver/core/patch.h"

namespace envicutor::standalone {
namespace {

// The merge key of a list of objects, "" for a list of scalars that merges as a set; absent for
// lists that are replaced. Keyed by the last field names of the path, the longest match wins: the
// API types' patchMergeKey tags.
std::optional<std::string> MergeKey(const std::string& path) {
  static const std::map<std::string, std::string> keys = {
      {"metadata.finalizers", ""},
      {"metadata.ownerReferences", "uid"},
      {"spec.containers", "name"},
      {"spec.initContainers", "name"},
      {"spec.ephemeralContainers", "name"},
      {"spec.volumes", "name"},
      {"spec.imagePullSecrets", "name"},
      {"imagePullSecrets", "name"},
      {"secrets", "name"},
      {"spec.topologySpreadConstraints", "topologyKey"},
      {"spec.hostAliases", "ip"},
      {"containers.env", "name"},
      {"initContainers.env", "name"},
      {"containers.ports", "containerPort"},
      {"initContainers.ports", "containerPort"},
      {"containers.volumeMounts", "mountPath"},
      {"initContainers.volumeMounts", "mountPath"},
      {"containers.volumeDevices", "devicePath"},
      {"status.conditions", "type"},
      {"status.podIPs", "ip"},
      {"status.hostIPs", "ip"},
      {"status.addresses", "type"},
      {"spec.taints", "key"},
      {"spec.podCIDRs", ""},
  };
  const size_t last = path.rfind('.');
  const size_t before = last == std::string::npos ? last : path.rfind('.', last - 1);
  const std::string tail = before == std::string::npos ? path : path.substr(before + 1);
  const auto it = keys.find(tail);
  if (it == keys.end()) return std::nullopt;
  return it->second;
}

// Items are found by looking through their lists: lists of many thousands, patched by as many,
// would keep a processor busy for minutes. So would fewer that are large and differ at their ends.
constexpr size_t kMaxLookedAt = 5'000'000;
constexpr size_t kBytesOfALook = 64;

// How many looks it takes to compare `value` with another.
size_t Looks(const Json& value) {
  if (value.is_string()) return 1 + value.get_ref<const std::string&>().size() / kBytesOfALook;
  size_t looks = 1;
  for (auto it = value.begin(); value.is_structured() && it != value.end(); ++it) {
    looks += Looks(*it);
    if (value.is_object()) looks += 1 + it.key().size() / kBytesOfALook;
  }
  return looks;
}

// The same for the items of a list, as `merge_key` tells them apart: by all they are where it is
// "".
size_t LooksAtItems(const Json& list, const std::string& merge_key) {
  size_t looks = 0;
  for (const Json& item : list) {
    looks += Looks(merge_key.empty() ? item : At(item, {merge_key}));
  }
  return looks;
}

bool IsDirective(const std::string& key) { return key.rfind('$', 0) == 0; }

class Merger {
 public:
  ApiResult<bool> Object(Json* target, const Json& patch, const std::string& path, int depth) {
    if (depth > 64) return BadRequestError("the patch is nested more than 64 levels deep");
    if (!target->is_object()) *target = Json::object();
    const std::string directive = GetString(patch, "$patch");
    if (directive == "replace") {
      *target = patch;
      target->erase("$patch");
      return true;
    }
    if (directive == "delete") {
      *target = Json::object();
      return true;
    }
    if (!directive.empty() && directive != "merge") {
      return BadRequestError("Unknown patch type found: " + directive);
    }
    RetainKeys(target, patch);
    for (const auto& [key, value] : patch.items()) {
      if (key.rfind("$deleteFromPrimitiveList/", 0) == 0) {
        const std::string field = key.substr(key.find('/') + 1);
        if (!Affords(At(*target, {field}), value, "")) return TooMuch();
        RemoveScalars(target, field, value);
      }
    }
    for (const auto& [key, value] : patch.items()) {
      if (IsDirective(key)) continue;
      const std::string field = path.empty() ? key : path + "." + key;
      if (value.is_null()) {
        target->erase(key);
      } else if (value.is_object()) {
        API_ASSIGN(const bool ok, Object(&(*target)[key], value, field, depth + 1));
        (void)ok;
      } else if (value.is_array() && MergeKey(field)) {
        const Json& order = At(patch, {"$setElementOrder/" + key});
        API_ASSIGN(const bool ok, List(&(*target)[key], value, order, field, depth + 1));
        (void)ok;
      } else {
        (*target)[key] = value;
      }
    }
    // An order alone (without the list) reorders.
    for (const auto& [key, order] : patch.items()) {
      if (key.rfind("$setElementOrder/", 0) != 0) continue;
      const std::string field = key.substr(key.find('/') + 1);
      if (patch.contains(field) || !At(*target, {field}).is_array()) continue;
      const auto merge_key = MergeKey(path.empty() ? field : path + "." + field);
      if (!merge_key) continue;
      if (!Affords((*target)[field], order, *merge_key)) return TooMuch();
      Reorder(&(*target)[field], order, *merge_key);
    }
    return true;
  }

 private:
  static void RetainKeys(Json* target, const Json& patch) {
    const Json& retain = At(patch, {"$retainKeys"});
    if (!retain.is_array()) return;
    Json kept = Json::object();
    for (const Json& key : retain) {
      if (!key.is_string()) continue;
      const auto& name = key.get_ref<const std::string&>();
      // Moved, and so once: a key may be said as often as a body has room.
      if (target->contains(name) && !kept.contains(name)) kept[name] = std::move((*target)[name]);
    }
    *target = std::move(kept);
  }

  // Before a list of `items` is looked through for each of `wanted`: whether the patch may do so.
  bool Affords(const Json& items, const Json& wanted, const std::string& merge_key) {
    if (!wanted.is_array()) return true;
    const size_t looks = LooksAtItems(items, merge_key) + LooksAtItems(wanted, merge_key);
    looked_at_ += looks * std::max<size_t>(wanted.size(), 1);
    return looked_at_ <= kMaxLookedAt;
  }
  static ApiError TooMuch() {
    return TooLargeError("a strategic merge patch looks at more than " +
                         std::to_string(kMaxLookedAt) +
                         " values in lists: make it several, or replace the list");
  }

  static void RemoveScalars(Json* target, const std::string& field, const Json& values) {
    if (!values.is_array() || !At(*target, {field}).is_array()) return;
    Json kept = Json::array();
    for (Json& item : (*target)[field]) {
      if (std::find(values.begin(), values.end(), item) == values.end()) {
        kept.push_back(std::move(item));
      }
    }
    (*target)[field] = std::move(kept);
  }

  static Json::iterator FindItem(Json* list, const std::string& merge_key, const Json& value) {
    return std::find_if(list->begin(), list->end(),
                        [&](const Json& item) { return At(item, {merge_key}) == value; });
  }

  ApiResult<bool> List(Json* target, const Json& patch, const Json& order, const std::string& path,
                       int depth) {
    const std::string merge_key = *MergeKey(path);
    if (!target->is_array()) *target = Json::array();
    if (!Affords(*target, patch, merge_key)) return TooMuch();
    if (merge_key.empty()) {
      for (const Json& item : patch) {
        if (std::find(target->begin(), target->end(), item) == target->end()) {
          target->push_back(item);
        }
      }
    } else {
      const bool replace = std::any_of(patch.begin(), patch.end(), [](const Json& item) {
        return GetString(item, "$patch") == "replace";
      });
      if (replace) *target = Json::array();
      for (const Json& item : patch) {
        if (!item.is_object()) return BadRequestError("expected objects in the list " + path);
        const std::string directive = GetString(item, "$patch");
        if (directive == "replace") continue;
        const Json& value = At(item, {merge_key});
        if (value.is_null()) {
          return BadRequestError("map: " + DumpJson(item).substr(0, 256) +
                                 " does not contain declared merge key: " + merge_key);
        }
        const auto found = FindItem(target, merge_key, value);
        if (directive == "delete") {
          if (found != target->end()) target->erase(found);
        } else if (found == target->end()) {
          Json added = Json::object();
          API_ASSIGN(const bool ok, Object(&added, item, path, depth));
          (void)ok;
          target->push_back(std::move(added));
        } else {
          API_ASSIGN(const bool ok, Object(&*found, item, path, depth));
          (void)ok;
        }
      }
    }
    if (!Affords(*target, order, merge_key)) return TooMuch();
    if (order.is_array()) Reorder(target, order, merge_key);
    return true;
  }

  // Items named in `order` come in that order; the others keep their place after their predecessor.
  static void Reorder(Json* list, const Json& order, const std::string& merge_key) {
    if (!order.is_array()) return;
    const auto rank = [&](const Json& item) -> std::optional<size_t> {
      for (size_t i = 0; i < order.size(); ++i) {
        if (merge_key.empty() ? order[i] == item
                              : At(order[i], {merge_key}) == At(item, {merge_key})) {
          return i;
        }
      }
      return std::nullopt;
    };
    std::vector<std::pair<size_t, Json>> ranked;
    size_t last = 0;
    for (Json& item : *list) {
      last = rank(item).value_or(last);
      ranked.emplace_back(last, std::move(item));
    }
    std::stable_sort(ranked.begin(), ranked.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    *list = Json::array();
    for (auto& [position, item] : ranked) list->push_back(std::move(item));
  }

  size_t looked_at_ = 0;
};

}  // namespace

ApiResult<Json> ApplyStrategicMergePatch(const Json& target, const Json& patch) {
  if (!patch.is_object()) return BadRequestError("a strategic merge patch must be an object");
  Json result = target;
  API_ASSIGN(const bool ok, Merger().Object(&result, patch, "", 0));
  (void)ok;
  return result;
}

}  // namespace envicutor::standalone
