#include "standalone/apiserver/core/apply/typed.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "standalone/apiserver/core/apply/field_set.h"

namespace envicutor::standalone {
namespace {

// The system's: nobody owns them. Of the root and of its metadata.
constexpr std::array<std::string_view, 2> kTypeMeta = {"apiVersion", "kind"};
constexpr std::array<std::string_view, 9> kSystemMetadata = {
    "name",       "namespace",     "creationTimestamp", "selfLink",         "uid",
    "generation", "managedFields", "resourceVersion",   "deletionTimestamp"};

enum class Level { kRoot, kMetadata, kBelow };

bool IsSystems(Level level, std::string_view name) {
  switch (level) {
    case Level::kRoot:
      return std::find(kTypeMeta.begin(), kTypeMeta.end(), name) != kTypeMeta.end();
    case Level::kMetadata:
      return std::find(kSystemMetadata.begin(), kSystemMetadata.end(), name) !=
             kSystemMetadata.end();
    default:
      return false;
  }
}

Level LevelOf(Level parent, std::string_view name) {
  return parent == Level::kRoot && name == "metadata" ? Level::kMetadata : Level::kBelow;
}

bool IsEmpty(const Json* value) {
  return value == nullptr || value->is_null() || (value->is_structured() && value->empty());
}

// The elements of a list that is not atomic, by their paths and in order; of two with one path the
// first counts.
struct Elements {
  explicit Elements(const Json* list, const Shape& shape) {
    if (list == nullptr || !list->is_array()) return;
    for (const Json& element : *list) {
      std::optional<std::string> path = shape.ElementPath(element);
      // Without an identity it is what it says.
      if (!path) path = ValueElement(element);
      if (at.emplace(*path, &element).second) order.push_back(*path);
    }
  }
  [[nodiscard]] const Json* Find(const std::string& path) const {
    const auto it = at.find(path);
    return it == at.end() ? nullptr : it->second;
  }
  std::vector<std::string> order;
  std::map<std::string, const Json*> at;
};

class SetMaker {
 public:
  explicit SetMaker(std::string* problem) : problem_(problem) {}

  // Whether the value itself is in the set; *below gets what is below it.
  bool Make(const Json& value, const Shape& shape, Level level, const std::string& path,
            Json* below) {
    if (value.is_object()) {
      if (shape.IsAtomicMap()) return true;
      for (auto it = value.begin(); it != value.end(); ++it) {
        if (IsSystems(level, it.key())) continue;
        Json child = Json::object();
        bool in_set = Make(*it, shape.Member(it.key()), LevelOf(level, it.key()),
                           path + "." + it.key(), &child);
        in_set =
            in_set || it->is_null() || (it->is_object() && it->empty()) || !shape.IsField(it.key());
        if (level == Level::kRoot && it.key() == "metadata") in_set = false;
        AddNode(below, FieldElement(it.key()), in_set, std::move(child));
      }
      return false;
    }
    if (!value.is_array() || shape.IsAtomicList()) return true;
    std::set<std::string> seen;
    for (size_t i = 0; i < value.size(); ++i) {
      std::optional<std::string> element = shape.ElementPath(value[i]);
      if (!element) {
        Problem(path + ": element " + std::to_string(i) +
                ": associative list with keys has an element that omits a key field");
        continue;
      }
      if (!seen.insert(*element).second) {
        Problem(path + ": duplicate entries for key " + Shown(*element));
        continue;
      }
      Json child = Json::object();
      (void)Make(value[i], shape.Element(), Level::kBelow, path, &child);
      AddNode(below, std::move(*element), true, std::move(child));
    }
    return false;
  }

 private:
  void Problem(std::string text) {
    if (problem_ != nullptr && problem_->empty()) *problem_ = std::move(text);
  }
  static std::string Shown(const std::string& element) {
    std::string shown;
    ForEachPath({{element, Json::object()}}, [&](const std::string& path) { shown = path; });
    return shown;
  }

  std::string* problem_;
};

class Comparer {
 public:
  explicit Comparer(Differences* out) : out_(out) {}

  // A node of each of the three sets: whether its path is in it, and what is below.
  struct Node {
    bool added = false;
    bool modified = false;
    bool removed = false;
    Differences below;
  };

  Node Look(const Json* before, const Json* after, const Shape& shape, Level level) {
    Node node;
    const bool map = IsMapOrNothing(before) && IsMapOrNothing(after) && !shape.IsAtomicMap();
    const bool list = IsListOrNothing(before) && IsListOrNothing(after) && !shape.IsAtomicList();
    if ((!map && !list) || (IsEmpty(before) && IsEmpty(after))) {
      node.added = before == nullptr;
      node.removed = after == nullptr;
      node.modified = before != nullptr && after != nullptr && *before != *after;
      return node;
    }
    if (map) {
      Maps(before, after, shape, level, &node.below);
    } else {
      Lists(before, after, shape, &node.below);
    }
    node.added = before == nullptr;
    node.removed = after == nullptr;
    return node;
  }

  void Root(const Json* before, const Json& after, const Shape& shape) {
    Maps(before, &after, shape, Level::kRoot, out_);
  }

 private:
  static bool IsMapOrNothing(const Json* value) {
    return value == nullptr || value->is_null() || value->is_object();
  }
  static bool IsListOrNothing(const Json* value) {
    return value == nullptr || value->is_null() || value->is_array();
  }
  static void Add(const std::string& element, Node node, Differences* out) {
    AddNode(&out->added, element, node.added, std::move(node.below.added));
    AddNode(&out->modified, element, node.modified, std::move(node.below.modified));
    AddNode(&out->removed, element, node.removed, std::move(node.below.removed));
  }

  void Maps(const Json* before, const Json* after, const Shape& shape, Level level,
            Differences* out) {
    static const Json kNone = Json::object();
    const Json& old = before != nullptr && before->is_object() ? *before : kNone;
    const Json& now = after != nullptr && after->is_object() ? *after : kNone;
    auto left = old.begin();
    auto right = now.begin();
    while (left != old.end() || right != now.end()) {
      const int order = left == old.end()    ? 1
                        : right == now.end() ? -1
                                             : left.key().compare(right.key());
      const std::string& key = order <= 0 ? left.key() : right.key();
      if (!IsSystems(level, key) && !(order == 0 && *left == *right)) {
        Node node = Look(order <= 0 ? &*left : nullptr, order >= 0 ? &*right : nullptr,
                         shape.Member(key), LevelOf(level, key));
        if (level == Level::kRoot && key == "metadata") node.added = node.removed = false;
        Add(FieldElement(key), std::move(node), out);
      }
      if (order <= 0) ++left;
      if (order >= 0) ++right;
    }
  }

  void Lists(const Json* before, const Json* after, const Shape& shape, Differences* out) {
    const Elements old(before, shape);
    const Elements now(after, shape);
    for (const auto& [path, element] : now.at) {
      Add(path, Look(old.Find(path), element, shape.Element(), Level::kBelow), out);
    }
    for (const auto& [path, element] : old.at) {
      if (now.Find(path) != nullptr) continue;
      Add(path, Look(element, nullptr, shape.Element(), Level::kBelow), out);
    }
  }

  Differences* out_;
};

Json MergeLists(const Json& live, const Json& config, const Shape& shape) {
  const Elements left(&live, shape);
  const Elements right(&config, shape);
  Json out = Json::array();
  std::set<std::string> done;
  // The next of the elements that both have, in the order of the configuration.
  std::vector<std::string> shared;
  for (const std::string& path : right.order) {
    if (left.Find(path) != nullptr) shared.push_back(path);
  }
  size_t next = 0;
  const auto take = [&](const std::string& path) {
    const Json* old = left.Find(path);
    const Json& now = *right.Find(path);
    out.push_back(old == nullptr ? now : Merge(*old, now, shape.Element()));
    done.insert(path);
    if (next < shared.size() && shared[next] == path) ++next;
  };
  size_t l = 0;
  size_t r = 0;
  while (l < left.order.size() || r < right.order.size()) {
    if (l < left.order.size() && r < right.order.size()) {
      const std::string& path = left.order[l];
      if (path == right.order[r]) {
        take(path);
        ++l;
        ++r;
        continue;
      }
      if (right.Find(path) != nullptr && next < shared.size() && shared[next] != path) {
        ++l;  // shared, but not its turn
        continue;
      }
    }
    if (l < left.order.size()) {
      const std::string& path = left.order[l];
      if (right.Find(path) == nullptr) {
        out.push_back(*left.Find(path));
        ++l;
        continue;
      }
      if (done.contains(path)) ++l;
    }
    if (r < right.order.size()) take(right.order[r++]);
  }
  return out;
}

// What is left of a value whose own path is pruned: what nobody applied. Nothing: it goes.
bool PruneBelow(Json* value, const Json& last, const Json& owned, const Shape& shape) {
  if (value->is_object() ? shape.IsAtomicMap() : !value->is_array() || shape.IsAtomicList()) {
    return false;
  }
  Prune(value, last, owned, shape);
  return !value->empty();
}

}  // namespace

Json FieldsOf(const Json& object, const Shape& shape, std::string* problem) {
  Json fields = Json::object();
  (void)SetMaker(problem).Make(object, shape, Level::kRoot, "", &fields);
  return fields;
}

Differences Compare(const Json* before, const Json& after, const Shape& shape) {
  Differences out;
  Comparer(&out).Root(before, after, shape);
  return out;
}

Json Merge(const Json& live, const Json& config, const Shape& shape) {
  if (live.is_object() && config.is_object() && !shape.IsAtomicMap()) {
    Json out = live;
    for (auto it = config.begin(); it != config.end(); ++it) {
      const auto old = out.find(it.key());
      if (old == out.end()) {
        out[it.key()] = *it;
      } else {
        *old = Merge(*old, *it, shape.Member(it.key()));
      }
    }
    return out;
  }
  if (live.is_array() && config.is_array() && !shape.IsAtomicList()) {
    return MergeLists(live, config, shape);
  }
  return config;
}

void Prune(Json* object, const Json& last, const Json& owned, const Shape& shape) {
  static const Json kNone = Json::object();
  const auto child = [](const Json& set, const std::string& element) -> const Json* {
    const auto it = set.find(element);
    return it == set.end() ? nullptr : &*it;
  };
  // Whether what is there at `element` stays.
  const auto keep = [&](Json* value, const std::string& element, const Shape& below, bool field) {
    const Json* was = child(last, element);
    if (was == nullptr) return true;
    const Json* owner = child(owned, element);
    if (owner != nullptr) {
      // Atoms have nothing below them.
      if (value->is_structured() && !owner->empty()) (void)PruneBelow(value, *was, *owner, below);
      return true;
    }
    // A field above others that were applied is taken for applied itself.
    if (!IsInSet(*was) && !field) {
      (void)PruneBelow(value, *was, kNone, below);
      return true;
    }
    return PruneBelow(value, *was, kNone, below);
  };
  if (object->is_object()) {
    for (auto it = object->begin(); it != object->end();) {
      const bool stays = keep(&*it, FieldElement(it.key()), shape.Member(it.key()), true);
      it = stays ? std::next(it) : object->erase(it);
    }
  } else if (object->is_array()) {
    Json kept = Json::array();
    for (Json& element : *object) {
      const std::optional<std::string> path = shape.ElementPath(element);
      if (!path || keep(&element, *path, shape.Element(), false)) {
        kept.push_back(std::move(element));
      }
    }
    *object = std::move(kept);
  }
}

}  // namespace envicutor::standalone
