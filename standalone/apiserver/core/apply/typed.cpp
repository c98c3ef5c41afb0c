#include "standalone/apiserver/core/apply/typed.h"

#include <algorithm>
#include <array>
#include <set>

#include "standalone/apiserver/core/apply/elements.h"
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

}  // namespace envicutor::standalone
