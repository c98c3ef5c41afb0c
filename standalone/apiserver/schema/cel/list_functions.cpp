// Kubernetes' list library: isSorted, sum, min, max, indexOf, lastIndexOf.
#include "standalone/apiserver/schema/cel/arithmetic.h"
#include "standalone/apiserver/schema/cel/functions.h"

namespace envicutor::standalone::schema::cel {
namespace {

Value IsSorted(const Arguments& args, int64_t* budget) {
  const size_t size = Size(args[0]);
  *budget -= static_cast<int64_t>(size);
  for (size_t i = 1; i < size; ++i) {
    int order = 0;
    if (!Compare(ElementAt(args[0], i - 1), ElementAt(args[0], i), &order)) {
      return ErrorValue("no such overload");
    }
    if (order > 0) return BoolValue(false);
  }
  return BoolValue(true);
}

Value Sum(const Arguments& args, int64_t* budget) {
  const size_t size = Size(args[0]);
  *budget -= static_cast<int64_t>(size);
  if (size == 0) return IntValue(0);
  Value sum = ElementAt(args[0], 0);
  if (sum.kind == Kind::kString || sum.kind == Kind::kList) return ErrorValue("no such overload");
  for (size_t i = 1; i < size && !sum.IsError(); ++i) {
    sum = Arithmetic("+", sum, ElementAt(args[0], i), budget);
  }
  return sum;
}

Value Extreme(const Value& list, int wanted, const char* name, int64_t* budget) {
  const size_t size = Size(list);
  *budget -= static_cast<int64_t>(size);
  if (size == 0) return ErrorValue(std::string(name) + " called on empty list");
  Value best = ElementAt(list, 0);
  for (size_t i = 1; i < size; ++i) {
    Value element = ElementAt(list, i);
    int order = 0;
    if (!Compare(element, best, &order)) return ErrorValue("no such overload");
    if (order == wanted) best = std::move(element);
  }
  return best;
}
Value Min(const Arguments& args, int64_t* budget) { return Extreme(args[0], -1, "min", budget); }
Value Max(const Arguments& args, int64_t* budget) { return Extreme(args[0], 1, "max", budget); }

Value IndexOf(const Arguments& args, int64_t* budget) {
  for (size_t i = 0; i < Size(args[0]); ++i) {
    if (Equal(ElementAt(args[0], i), args[1], budget)) return IntValue(static_cast<int64_t>(i));
  }
  return IntValue(-1);
}
Value LastIndexOf(const Arguments& args, int64_t* budget) {
  for (size_t i = Size(args[0]); i-- > 0;) {
    if (Equal(ElementAt(args[0], i), args[1], budget)) return IntValue(static_cast<int64_t>(i));
  }
  return IntValue(-1);
}

constexpr Overload kTable[] = {
    {"isSorted", true, "l", 'b', IsSorted}, {"sum", true, "l", 'e', Sum},
    {"min", true, "l", 'e', Min},           {"max", true, "l", 'e', Max},
    {"indexOf", true, "l*", 'i', IndexOf},  {"lastIndexOf", true, "l*", 'i', LastIndexOf},
};

}  // namespace

std::span<const Overload> ListFunctions() { return kTable; }

}  // namespace envicutor::standalone::schema::cel
