#include "standalone/apiserver/schema/cel/evaluator.h"

#include <cmath>

#include "standalone/apiserver/schema/cel/arithmetic.h"
#include "standalone/apiserver/schema/cel/functions.h"

namespace envicutor::standalone::schema::cel {
namespace {

Value NoOverload() { return ErrorValue("no such overload"); }

std::string Shown(const Value& key) {
  switch (key.kind) {
    case Kind::kString:
      return std::string(key.text.substr(0, 256));
    case Kind::kInt:
      return std::to_string(key.integer);
    case Kind::kUint:
      return std::to_string(key.uinteger);
    case Kind::kBool:
      return key.boolean ? "true" : "false";
    default:
      return std::string(KindName(key.kind));
  }
}

// The element of a list or map; sets *missing where there is none.
Value At(const Value& target, const Value& index, bool* missing) {
  *missing = false;
  if (target.kind == Kind::kMap) {
    Value found;
    if (Lookup(target, index, &found)) return found;
    *missing = true;
    return ErrorValue("no such key: " + Shown(index));
  }
  if (target.kind != Kind::kList) return NoOverload();
  int64_t position = 0;
  if (index.kind == Kind::kInt) {
    position = index.integer;
  } else if (index.kind == Kind::kUint && index.uinteger <= uint64_t{INT64_MAX}) {
    position = static_cast<int64_t>(index.uinteger);
  } else if (index.kind == Kind::kDouble && std::trunc(index.number) == index.number &&
             std::fabs(index.number) < 1e15) {
    position = static_cast<int64_t>(index.number);
  } else {
    return NoOverload();
  }
  if (position < 0 || static_cast<size_t>(position) >= Size(target)) {
    *missing = true;
    return ErrorValue("index out of bounds: " + std::to_string(position));
  }
  return ElementAt(target, static_cast<size_t>(position));
}

bool IsZero(const Value& value) {
  switch (value.kind) {
    case Kind::kNull:
      return true;
    case Kind::kBool:
      return !value.boolean;
    case Kind::kInt:
    case Kind::kDuration:
      return value.integer == 0;
    case Kind::kUint:
      return value.uinteger == 0;
    case Kind::kDouble:
      return value.number == 0;
    case Kind::kString:
    case Kind::kBytes:
      return value.text.empty();
    case Kind::kList:
    case Kind::kMap:
      return Size(value) == 0;
    default:
      return false;
  }
}

}  // namespace

Value Evaluator::Eval(const Expr& expr) {
  if (--*budget_ < 0) return ErrorValue("operation cancelled: actual cost limit exceeded");
  switch (expr.op) {
    case Op::kLiteral:
      return expr.literal;
    case Op::kIdent:
      return Ident(expr);
    case Op::kSelect:
    case Op::kHas:
      return Select(expr);
    case Op::kIndex:
      return Index(expr);
    case Op::kNot: {
      Value value = Eval(*expr.args[0]);
      if (value.IsError()) return value;
      return value.kind == Kind::kBool ? BoolValue(!value.boolean) : NoOverload();
    }
    case Op::kNegate: {
      const Value value = Eval(*expr.args[0]);
      return value.IsError() ? value : Negate(value);
    }
    case Op::kAnd:
    case Op::kOr:
      return Logic(expr);
    case Op::kConditional:
      return Conditional(expr);
    case Op::kBinary:
      return Binary(expr);
    case Op::kList: {
      Value::List list;
      for (const auto& argument : expr.args) {
        list.push_back(Eval(*argument));
        if (list.back().IsError()) return list.back();
      }
      return ListValue(std::move(list));
    }
    case Op::kMap:
      return Map(expr);
    case Op::kCall:
    case Op::kMethod:
      return Call(expr);
    default:
      return Macro(expr);
  }
}

Value Evaluator::Ident(const Expr& expr) {
  for (auto it = scope_.rbegin(); it != scope_.rend(); ++it) {
    if (it->first == expr.name) return it->second;
  }
  return TypeValue(expr.name);  // the checker lets nothing else through
}

Value Evaluator::Select(const Expr& expr) {
  Value target = Eval(*expr.args[0]);
  if (target.IsError()) return target;
  const bool chained = target.kind == Kind::kOptional;
  const bool has = expr.op == Op::kHas;
  if (chained) {
    if (target.inner == nullptr) return has ? BoolValue(false) : target;
    const Value inner = *target.inner;
    target = inner;
  }
  if (target.kind != Kind::kMap) return NoOverload();
  Value found;
  const bool present = Lookup(target, BorrowedString(expr.name), &found);
  if (has) return BoolValue(present);
  if (chained || expr.optional) {
    if (!present) return OptionalNone();
    return found.IsError() ? found : OptionalValue(std::move(found));
  }
  return present ? found : ErrorValue("no such key: " + expr.name);
}

Value Evaluator::Index(const Expr& expr) {
  Value target = Eval(*expr.args[0]);
  if (target.IsError()) return target;
  Value index = Eval(*expr.args[1]);
  if (index.IsError()) return index;
  const bool chained = target.kind == Kind::kOptional;
  if (chained) {
    if (target.inner == nullptr) return target;
    const Value inner = *target.inner;
    target = inner;
  }
  bool missing = false;
  Value found = At(target, index, &missing);
  if (!chained && !expr.optional) return found;
  if (missing) return OptionalNone();
  return found.IsError() ? found : OptionalValue(std::move(found));
}

// false && error is false, whichever side the error is on; likewise true || error.
Value Evaluator::Logic(const Expr& expr) {
  const bool decisive = expr.op == Op::kOr;
  Value left = Eval(*expr.args[0]);
  if (left.kind == Kind::kBool && left.boolean == decisive) return left;
  Value right = Eval(*expr.args[1]);
  if (right.kind == Kind::kBool && right.boolean == decisive) return right;
  if (left.IsError()) return left;
  if (right.IsError()) return right;
  if (left.kind != Kind::kBool || right.kind != Kind::kBool) return NoOverload();
  return BoolValue(!decisive);
}

Value Evaluator::Conditional(const Expr& expr) {
  Value condition = Eval(*expr.args[0]);
  if (condition.IsError()) return condition;
  if (condition.kind != Kind::kBool) return NoOverload();
  return Eval(*expr.args[condition.boolean ? 1 : 2]);
}

Value Evaluator::Binary(const Expr& expr) {
  Value a = Eval(*expr.args[0]);
  if (a.IsError()) return a;
  Value b = Eval(*expr.args[1]);
  if (b.IsError()) return b;
  const std::string_view op = expr.name;
  if (op == "==") return BoolValue(Equal(a, b, budget_));
  if (op == "!=") return BoolValue(!Equal(a, b, budget_));
  if (op == "in") {
    if (b.kind == Kind::kMap) {
      Value ignored;
      return BoolValue(Lookup(b, a, &ignored));
    }
    if (b.kind != Kind::kList) return NoOverload();
    for (size_t i = 0; i < Size(b); ++i) {
      if (Equal(ElementAt(b, i), a, budget_)) return BoolValue(true);
    }
    return BoolValue(false);
  }
  if (op.front() == '<' || op.front() == '>') {
    int order = 0;
    if (!Compare(a, b, &order)) {
      // NaN has no order, but it is a number.
      const bool nan = a.kind == Kind::kDouble || b.kind == Kind::kDouble;
      return nan && (a.kind == b.kind || a.kind == Kind::kInt || b.kind == Kind::kInt ||
                     a.kind == Kind::kUint || b.kind == Kind::kUint)
                 ? BoolValue(false)
                 : NoOverload();
    }
    if (op == "<") return BoolValue(order < 0);
    if (op == "<=") return BoolValue(order <= 0);
    if (op == ">") return BoolValue(order > 0);
    return BoolValue(order >= 0);
  }
  return Arithmetic(op, a, b, budget_);
}

Value Evaluator::Map(const Expr& expr) {
  Value::Map map;
  for (size_t i = 0; i + 1 < expr.args.size(); i += 2) {
    Value key = Eval(*expr.args[i]);
    if (key.IsError()) return key;
    Value value = Eval(*expr.args[i + 1]);
    if (value.IsError()) return value;
    for (const auto& [other, unused] : map) {
      if (Equal(other, key, budget_)) {
        return ErrorValue("Failed with repeated key: " + Shown(key));
      }
    }
    map.emplace_back(std::move(key), std::move(value));
  }
  return MapValue(std::move(map));
}

Value Evaluator::Call(const Expr& expr) {
  const bool method = expr.op == Op::kMethod;
  if (method && expr.args[0]->op == Op::kIdent && expr.args[0]->name == "optional") {
    if (expr.name == "none") return OptionalNone();
    Value inner = Eval(*expr.args[1]);
    if (inner.IsError()) return inner;
    if (expr.name == "ofNonZeroValue" && IsZero(inner)) return OptionalNone();
    return OptionalValue(std::move(inner));
  }
  Arguments arguments;
  arguments.reserve(expr.args.size());
  for (const auto& argument : expr.args) {
    arguments.push_back(Eval(*argument));
    if (arguments.back().IsError()) return arguments.back();
  }
  for (const Overload* overload : FindOverloads(expr.name, method)) {
    if (overload->params.size() != arguments.size()) continue;
    bool fits = true;
    for (size_t i = 0; i < arguments.size() && fits; ++i) {
      const char param = overload->params[i];
      fits = param == '*' || param == LetterOf(arguments[i].kind);
    }
    if (fits) return overload->apply(arguments, budget_);
  }
  return NoOverload();
}

Value Evaluator::WithVariable(const Expr& expr, size_t argument, Value value) {
  if (value.IsError()) return value;
  scope_.emplace_back(expr.name, std::move(value));
  Value result = Eval(*expr.args[argument]);
  scope_.pop_back();
  return result;
}

Value Evaluator::Macro(const Expr& expr) {
  Value range = Eval(*expr.args[0]);
  if (range.IsError()) return range;
  if (expr.op == Op::kOptMap || expr.op == Op::kOptFlatMap) return OptionalMacro(expr, range);
  if (range.kind == Kind::kMap) range = ListValue(Keys(range));
  if (range.kind != Kind::kList) return NoOverload();
  const bool transforms = expr.op == Op::kMapMacro || expr.op == Op::kFilter;
  return transforms ? Transform(expr, range) : Quantifier(expr, range);
}

Value Evaluator::Quantifier(const Expr& expr, const Value& range) {
  int64_t yes = 0;
  Value error;
  for (size_t i = 0; i < Size(range) && *budget_ >= 0; ++i) {
    Value result = WithVariable(expr, 1, ElementAt(range, i));
    if (!result.IsError() && result.kind != Kind::kBool) result = NoOverload();
    if (result.IsError()) {
      if (expr.op == Op::kExistsOne) return result;
      error = std::move(result);
    } else if (result.boolean) {
      if (expr.op == Op::kExists) return BoolValue(true);
      ++yes;
    } else if (expr.op == Op::kAll) {
      return BoolValue(false);
    }
  }
  if (error.IsError()) return error;
  if (expr.op == Op::kExistsOne) return BoolValue(yes == 1);
  return BoolValue(expr.op == Op::kAll);
}

Value Evaluator::Transform(const Expr& expr, const Value& range) {
  Value::List out;
  for (size_t i = 0; i < Size(range) && *budget_ >= 0; ++i) {
    Value element = ElementAt(range, i);
    const bool filters = expr.op == Op::kFilter || expr.args.size() > 2;
    if (filters) {
      Value keep = WithVariable(expr, expr.op == Op::kFilter ? 1 : 2, element);
      if (keep.IsError()) return keep;
      if (keep.kind != Kind::kBool) return NoOverload();
      if (!keep.boolean) continue;
    }
    if (expr.op == Op::kMapMacro) element = WithVariable(expr, 1, std::move(element));
    if (element.IsError()) return element;
    out.push_back(std::move(element));
  }
  return ListValue(std::move(out));
}

Value Evaluator::OptionalMacro(const Expr& expr, const Value& range) {
  if (range.kind != Kind::kOptional) return NoOverload();
  if (range.inner == nullptr) return range;
  Value result = WithVariable(expr, 1, *range.inner);
  if (result.IsError() || expr.op == Op::kOptFlatMap) return result;
  return OptionalValue(std::move(result));
}

}  // namespace envicutor::standalone::schema::cel
