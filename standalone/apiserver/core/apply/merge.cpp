// Merging a configuration into an object, and taking away what it no longer says.
#include <set>

#include "standalone/apiserver/core/apply/elements.h"
#include "standalone/apiserver/core/apply/typed.h"

namespace envicutor::standalone {
namespace {

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
      // Owned itself, as what is applied empty is: what was in it goes all the same.
      if (value->is_structured()) (void)PruneBelow(value, *was, *owner, below);
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
