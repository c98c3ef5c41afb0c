// Kubernetes' quantity library.
#include "standalone/apiserver/schema/cel/functions.h"
#include "standalone/apiserver/schema/cel/quantity.h"

namespace envicutor::standalone::schema::cel {
namespace {

constexpr Quantity::Nanos kNanosPerUnit = 1'000'000'000;

Value OfQuantity(Quantity quantity) {
  Value value;
  value.kind = Kind::kQuantity;
  value.quantity = std::make_shared<const Quantity>(quantity);
  return value;
}

Value FromString(const Arguments& args, int64_t* /*budget*/) {
  const Result<Quantity> quantity = ParseQuantity(args[0].text);
  return quantity.ok() ? OfQuantity(*quantity) : ErrorValue(quantity.status().message());
}
Value IsQuantity(const Arguments& args, int64_t* /*budget*/) {
  return BoolValue(ParseQuantity(args[0].text).ok());
}

Value Sign(const Arguments& args, int64_t* /*budget*/) {
  return IntValue(Compare(*args[0].quantity, Quantity{}));
}
Value IsGreaterThan(const Arguments& args, int64_t* /*budget*/) {
  return BoolValue(Compare(*args[0].quantity, *args[1].quantity) > 0);
}
Value IsLessThan(const Arguments& args, int64_t* /*budget*/) {
  return BoolValue(Compare(*args[0].quantity, *args[1].quantity) < 0);
}
Value CompareTo(const Arguments& args, int64_t* /*budget*/) {
  return IntValue(Compare(*args[0].quantity, *args[1].quantity));
}

Value AsInteger(const Arguments& args, int64_t* /*budget*/) {
  const Quantity::Nanos nanos = args[0].quantity->nanos;
  if (nanos % kNanosPerUnit != 0) return ErrorValue("cannot convert value to integer");
  return IntValue(static_cast<int64_t>(nanos / kNanosPerUnit));
}
Value IsInteger(const Arguments& args, int64_t* /*budget*/) {
  return BoolValue(args[0].quantity->nanos % kNanosPerUnit == 0);
}
Value AsApproximateFloat(const Arguments& args, int64_t* /*budget*/) {
  return DoubleValue(static_cast<double>(static_cast<long double>(args[0].quantity->nanos) / 1e9L));
}

Value Sum(const Value& a, Quantity::Nanos other) {
  constexpr Quantity::Nanos kMax = Quantity::Nanos{INT64_MAX} * kNanosPerUnit;
  Quantity::Nanos sum = a.quantity->nanos + other;
  if (sum > kMax) sum = kMax;
  if (sum < -kMax) sum = -kMax;
  return OfQuantity(Quantity{sum});
}
Value Add(const Arguments& args, int64_t* /*budget*/) {
  return Sum(args[0], args[1].quantity->nanos);
}
Value AddInt(const Arguments& args, int64_t* /*budget*/) {
  return Sum(args[0], Quantity::Nanos{args[1].integer} * kNanosPerUnit);
}
Value Sub(const Arguments& args, int64_t* /*budget*/) {
  return Sum(args[0], -args[1].quantity->nanos);
}
Value SubInt(const Arguments& args, int64_t* /*budget*/) {
  return Sum(args[0], -Quantity::Nanos{args[1].integer} * kNanosPerUnit);
}

constexpr Overload kTable[] = {
    {"quantity", false, "s", 'q', FromString},
    {"isQuantity", false, "s", 'b', IsQuantity},
    {"sign", false, "q", 'i', Sign},
    {"isGreaterThan", true, "qq", 'b', IsGreaterThan},
    {"isLessThan", true, "qq", 'b', IsLessThan},
    {"compareTo", true, "qq", 'i', CompareTo},
    {"asInteger", true, "q", 'i', AsInteger},
    {"isInteger", true, "q", 'b', IsInteger},
    {"asApproximateFloat", true, "q", 'd', AsApproximateFloat},
    {"add", true, "qq", 'q', Add},
    {"add", true, "qi", 'q', AddInt},
    {"sub", true, "qq", 'q', Sub},
    {"sub", true, "qi", 'q', SubInt},
};

}  // namespace

std::span<const Overload> QuantityFunctions() { return kTable; }

}  // namespace envicutor::standalone::schema::cel
