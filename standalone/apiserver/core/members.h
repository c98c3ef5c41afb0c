// Many members at once for a FlatMap (the members of a JSON object): in a few steps each, whatever
// order they come in. Inserted one by one in the worst of orders, each moves a whole leaf of
// others.
#pragma once

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <string_view>
#include <utility>
#include <vector>

namespace envicutor::standalone {

// Moves the members from `first` on into `*map`, which is empty, and takes them off `*members`; of
// those with the same key the last one. Calls repeated(index) for every member whose key has come
// before. n of them take n log n comparisons, and each is moved once.
template <class Map, class Repeated>
void TakeMembers(std::vector<typename Map::value_type>* members, size_t first, Map* map,
                 const Repeated& repeated) {
  const size_t count = members->size() - first;
  const auto key = [&](size_t index) { return std::string_view((*members)[index].first); };
  std::vector<size_t> order(count);
  std::iota(order.begin(), order.end(), first);
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return key(a) < key(b); });
  map->Reserve(count);
  for (size_t i = 0; i < count; ++i) {
    auto& member = (*members)[order[i]];
    if (i + 1 < count && key(order[i + 1]) == std::string_view(member.first)) {
      repeated(order[i + 1]);
    } else {
      map->AppendSorted(std::move(member.first), std::move(member.second));
    }
  }
  members->erase(members->begin() + static_cast<ptrdiff_t>(first), members->end());
}

// Changes `*map` by all of `changes` in one pass over both: change(member, value) writes to the
// member of that key (a new one if there is none) and tells whether it stays.
template <class Map, class Change>
void ChangeMembers(Map* map, const Map& changes, const Change& change) {
  Map changed;
  changed.Reserve(map->size() + changes.size());
  auto old = map->begin();
  for (const auto& [key, value] : changes) {
    int order = -1;
    for (; old != map->end(); ++old) {
      order = std::string_view(old->first).compare(std::string_view(key));
      if (order >= 0) break;
      changed.AppendSorted(std::move(old->first), std::move(old->second));
    }
    typename Map::mapped_type member{};
    if (old != map->end() && order == 0) {
      member = std::move(old->second);
      ++old;
    }
    if (change(&member, value)) {
      changed.AppendSorted(typename Map::key_type(key), std::move(member));
    }
  }
  for (; old != map->end(); ++old) {
    changed.AppendSorted(std::move(old->first), std::move(old->second));
  }
  *map = std::move(changed);
}

}  // namespace envicutor::standalone
