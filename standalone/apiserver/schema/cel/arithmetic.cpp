#include "standalone/apiserver/schema/cel/arithmetic.h"

#include <cmath>
#include <limits>

namespace envicutor::standalone::schema::cel {
namespace {

constexpr size_t kMaxResultBytes = 4U << 20U;
constexpr size_t kMaxResultElements = 1'000'000;

Value Ints(char op, int64_t a, int64_t b) {
  int64_t out = 0;
  switch (op) {
    case '+':
      return __builtin_add_overflow(a, b, &out) ? ErrorValue("integer overflow") : IntValue(out);
    case '-':
      return __builtin_sub_overflow(a, b, &out) ? ErrorValue("integer overflow") : IntValue(out);
    case '*':
      return __builtin_mul_overflow(a, b, &out) ? ErrorValue("integer overflow") : IntValue(out);
    default:
      break;
  }
  if (b == 0) return ErrorValue(op == '/' ? "division by zero" : "modulus by zero");
  if (a == std::numeric_limits<int64_t>::min() && b == -1) return ErrorValue("integer overflow");
  return IntValue(op == '/' ? a / b : a % b);
}

Value Uints(char op, uint64_t a, uint64_t b) {
  uint64_t out = 0;
  constexpr const char* kOverflow = "unsigned integer overflow";
  switch (op) {
    case '+':
      return __builtin_add_overflow(a, b, &out) ? ErrorValue(kOverflow) : UintValue(out);
    case '-':
      return __builtin_sub_overflow(a, b, &out) ? ErrorValue(kOverflow) : UintValue(out);
    case '*':
      return __builtin_mul_overflow(a, b, &out) ? ErrorValue(kOverflow) : UintValue(out);
    default:
      break;
  }
  if (b == 0) return ErrorValue(op == '/' ? "division by zero" : "modulus by zero");
  return UintValue(op == '/' ? a / b : a % b);
}

Value Doubles(char op, double a, double b) {
  switch (op) {
    case '+':
      return DoubleValue(a + b);
    case '-':
      return DoubleValue(a - b);
    case '*':
      return DoubleValue(a * b);
    case '/':
      return DoubleValue(a / b);
    default:
      return ErrorValue("no such overload");
  }
}

Value Concatenate(const Value& a, const Value& b, int64_t* budget) {
  if (a.kind == Kind::kList) {
    const size_t total = Size(a) + Size(b);
    if (total > kMaxResultElements) return ErrorValue("list is too long");
    *budget -= static_cast<int64_t>(total);
    Value::List list;
    list.reserve(total);
    for (size_t i = 0; i < Size(a); ++i) list.push_back(ElementAt(a, i));
    for (size_t i = 0; i < Size(b); ++i) list.push_back(ElementAt(b, i));
    return ListValue(std::move(list));
  }
  if (a.text.size() + b.text.size() > kMaxResultBytes) return ErrorValue("string is too long");
  std::string text(a.text);
  text += b.text;
  *budget -= static_cast<int64_t>(text.size() / 10);
  return a.kind == Kind::kString ? StringValue(std::move(text)) : BytesValue(std::move(text));
}

// Duration and timestamp arithmetic; kNull where the kinds do not go together.
Value Times(char op, const Value& a, const Value& b) {
  int64_t out = 0;
  const bool a_time = a.kind == Kind::kTimestamp;
  const bool b_time = b.kind == Kind::kTimestamp;
  if (op == '+' && !(a_time && b_time)) {
    if (__builtin_add_overflow(a.integer, b.integer, &out)) return ErrorValue("duration overflow");
    return a_time || b_time ? TimestampValue(out) : DurationValue(out);
  }
  if (op == '-' && (a_time || !b_time)) {
    if (__builtin_sub_overflow(a.integer, b.integer, &out)) return ErrorValue("duration overflow");
    return a_time && !b_time ? TimestampValue(out) : DurationValue(out);
  }
  return ErrorValue("no such overload");
}

bool IsTime(Kind kind) { return kind == Kind::kDuration || kind == Kind::kTimestamp; }

}  // namespace

Value Arithmetic(std::string_view op, const Value& a, const Value& b, int64_t* budget) {
  const char c = op.front();
  if (IsTime(a.kind) && IsTime(b.kind)) return Times(c, a, b);
  if (a.kind != b.kind) return ErrorValue("no such overload");
  switch (a.kind) {
    case Kind::kInt:
      return Ints(c, a.integer, b.integer);
    case Kind::kUint:
      return Uints(c, a.uinteger, b.uinteger);
    case Kind::kDouble:
      return Doubles(c, a.number, b.number);
    case Kind::kString:
    case Kind::kBytes:
    case Kind::kList:
      if (c == '+') return Concatenate(a, b, budget);
      break;
    default:
      break;
  }
  return ErrorValue("no such overload");
}

Value Negate(const Value& value) {
  if (value.kind == Kind::kDouble) return DoubleValue(-value.number);
  if (value.kind != Kind::kInt) return ErrorValue("no such overload");
  if (value.integer == std::numeric_limits<int64_t>::min()) return ErrorValue("integer overflow");
  return IntValue(-value.integer);
}

}  // namespace envicutor::standalone::schema::cel
