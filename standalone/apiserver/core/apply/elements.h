// Inside of typed.h: a list whose elements have identities.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "standalone/apiserver/core/apply/field_set.h"
#include "standalone/apiserver/core/apply/shape.h"

namespace envicutor::standalone {

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

}  // namespace envicutor::standalone
