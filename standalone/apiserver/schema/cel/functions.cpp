#include "standalone/apiserver/schema/cel/functions.h"

#include <unordered_map>

namespace envicutor::standalone::schema::cel {
namespace {

using Index = std::unordered_multimap<std::string_view, const Overload*>;

const Index& AllOverloads() {
  static const Index index = [] {
    Index built;
    for (const auto table : {ConversionFunctions(), StringFunctions(), ListFunctions(),
                             TimeFunctions(), QuantityFunctions()}) {
      for (const Overload& overload : table) built.emplace(overload.name, &overload);
    }
    return built;
  }();
  return index;
}

}  // namespace

char LetterOf(Kind kind) {
  switch (kind) {
    case Kind::kError:
      return '*';
    case Kind::kNull:
      return 'n';
    case Kind::kBool:
      return 'b';
    case Kind::kInt:
      return 'i';
    case Kind::kUint:
      return 'u';
    case Kind::kDouble:
      return 'd';
    case Kind::kString:
      return 's';
    case Kind::kBytes:
      return 'y';
    case Kind::kList:
      return 'l';
    case Kind::kMap:
      return 'm';
    case Kind::kDuration:
      return 'D';
    case Kind::kTimestamp:
      return 'T';
    case Kind::kQuantity:
      return 'q';
    case Kind::kOptional:
      return 'o';
    case Kind::kType:
      return 't';
  }
  return '*';
}

std::vector<const Overload*> FindOverloads(std::string_view name, bool method) {
  std::vector<const Overload*> found;
  const auto [begin, end] = AllOverloads().equal_range(name);
  for (auto it = begin; it != end; ++it) {
    if (it->second->method == method) found.push_back(it->second);
  }
  return found;
}

}  // namespace envicutor::standalone::schema::cel
