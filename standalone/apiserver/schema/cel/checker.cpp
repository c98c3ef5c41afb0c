#include "standalone/apiserver/schema/cel/checker.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>
#include <vector>

#include "standalone/apiserver/schema/cel/functions.h"
#include "standalone/apiserver/schema/node.h"

namespace envicutor::standalone::schema::cel {
namespace {

Type Of(char letter) {
  Type type;
  type.letter = letter;
  return type;
}
Type Of(char letter, Type element) {
  Type type;
  type.letter = letter;
  type.element = std::make_shared<const Type>(std::move(element));
  return type;
}

Type OfNode(const SchemaNode* node) {
  if (node == nullptr || node->int_or_string) return Of('x');
  Type type;
  type.node = node;
  switch (node->type) {
    case NodeType::kUnset:
      return Of('x');
    case NodeType::kObject:
      type.letter = 'm';
      return type;
    case NodeType::kArray:
      type.letter = 'l';
      return type;
    case NodeType::kInteger:
      return Of('i');
    case NodeType::kNumber:
      return Of('d');
    case NodeType::kBoolean:
      return Of('b');
    case NodeType::kString:
      break;
  }
  if (node->format == "date-time") return Of('T');
  if (node->format == "duration") return Of('D');
  return Of(node->format == "byte" ? 'y' : 's');
}

Type Element(const Type& type) {
  if (type.element != nullptr) return *type.element;
  if (type.letter == 'l' && type.node != nullptr) return OfNode(type.node->items.get());
  return Of('x');
}

// Of a map as a whole: what its keys' values are.
Type MapValueType(const Type& type) {
  if (type.node == nullptr) return Element(type);
  return OfNode(type.node->properties.empty() ? type.node->additional.get() : nullptr);
}

bool Compatible(const Type& a, const Type& b) {
  if (a.letter == 'x' || b.letter == 'x' || a.letter == 'n' || b.letter == 'n') return true;
  if (a.letter != b.letter) return false;
  return (a.letter != 'l' && a.letter != 'o') || Compatible(Element(a), Element(b));
}

Type Join(const Type& a, const Type& b) {
  return a.letter == b.letter && Compatible(a, b) ? a : Of('x');
}

// `__dash__`, `__namespace__` and so on, as Kubernetes escapes names that CEL cannot spell.
std::string Unescape(const std::string& name) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 4> kEscapes = {
      {{"__underscores__", "__"}, {"__dot__", "."}, {"__dash__", "-"}, {"__slash__", "/"}}};
  std::string out;
  for (size_t i = 0; i < name.size();) {
    const std::string_view rest = std::string_view(name).substr(i);
    const auto* const escape = std::find_if(
        kEscapes.begin(), kEscapes.end(), [&](const auto& e) { return rest.starts_with(e.first); });
    if (escape != kEscapes.end()) {
      out += escape->second;
      i += escape->first.size();
    } else {
      out += name[i++];
    }
  }
  const std::string_view view = out;
  if (view.size() > 4 && view.starts_with("__") && view.ends_with("__")) {
    return out.substr(2, out.size() - 4);
  }
  return out;
}

constexpr std::array<std::string_view, 10> kTypeNames = {
    "bool", "int", "uint", "double", "string", "bytes", "list", "map", "null_type", "type"};

class Checker {
 public:
  Checker(const SchemaNode* self, bool optional_old_self, ParseError* error) : error_(error) {
    scope_.emplace_back("self", OfNode(self));
    scope_.emplace_back("oldSelf", optional_old_self ? Of('o', OfNode(self)) : OfNode(self));
  }

  Type Run(Expr* expr) {
    switch (expr->op) {
      case Op::kLiteral:
        return Of(LetterOf(expr->literal.kind));
      case Op::kIdent:
        return Ident(*expr);
      case Op::kSelect:
      case Op::kHas:
        return Select(expr);
      case Op::kIndex:
        return Index(expr);
      case Op::kNot:
        return Unary(expr, "!_", "b");
      case Op::kNegate:
        return Unary(expr, "-_", "id");
      case Op::kAnd:
      case Op::kOr:
        return Logic(expr);
      case Op::kConditional:
        return Conditional(expr);
      case Op::kBinary:
        return Binary(expr);
      case Op::kList:
        return List(expr);
      case Op::kMap:
        return Map(expr);
      case Op::kCall:
      case Op::kMethod:
        return Call(expr);
      default:
        return Macro(expr);
    }
  }

  [[nodiscard]] bool failed() const { return failed_; }
  [[nodiscard]] bool uses_old_self() const { return uses_old_self_; }

 private:
  Type Fail(const Expr& expr, std::string message) {
    if (!failed_) {
      failed_ = true;
      error_->offset = expr.offset;
      error_->message = std::move(message);
    }
    return Of('x');
  }
  Type NoOverload(const Expr& expr, std::string_view name, const std::vector<Type>& types,
                  bool method = false) {
    std::string shown = method ? TypeName(types.front()) + ".(" : "(";
    for (size_t i = method ? 1 : 0; i < types.size(); ++i) {
      if (i > (method ? 1U : 0U)) shown += ", ";
      shown += TypeName(types[i]);
    }
    return Fail(expr, "found no matching overload for '" + std::string(name) + "' applied to '" +
                          shown + ")'");
  }

  Type Ident(const Expr& expr) {
    if (expr.name == "oldSelf") uses_old_self_ = true;
    for (auto it = scope_.rbegin(); it != scope_.rend(); ++it) {
      if (it->first == expr.name) return it->second;
    }
    if (std::find(kTypeNames.begin(), kTypeNames.end(), expr.name) != kTypeNames.end()) {
      return Of('t');
    }
    return Fail(expr, "undeclared reference to '" + expr.name + "' (in container '')");
  }

  Type Field(Expr* expr, const Type& target) {
    if (target.letter == 'x') return Of('x');
    if (target.letter != 'm') {
      return Fail(*expr, "type '" + TypeName(target) + "' does not support field selection");
    }
    if (target.node == nullptr) return Element(target);
    if (!target.node->properties.empty()) expr->name = Unescape(expr->name);
    if (const SchemaNode* member = target.node->Member(expr->name)) return OfNode(member);
    if (target.node->additional_allowed) return Of('x');
    return Fail(*expr, "undefined field '" + expr->name + "'");
  }

  Type Select(Expr* expr) {
    const Type target = Run(expr->args[0].get());
    const bool chained = target.letter == 'o';
    const Type field = Field(expr, chained ? Element(target) : target);
    if (expr->op == Op::kHas) return Of('b');
    return chained || expr->optional ? Of('o', field) : field;
  }

  Type Index(Expr* expr) {
    Type target = Run(expr->args[0].get());
    const Type index = Run(expr->args[1].get());
    const bool chained = target.letter == 'o';
    if (chained) target = Element(target);
    Type result = Of('x');
    if (target.letter == 'l' && std::string_view("iudx").find(index.letter) != std::string::npos) {
      result = Element(target);
    } else if (target.letter == 'm' &&
               (target.node == nullptr || index.letter == 's' || index.letter == 'x')) {
      result = MapValueType(target);
    } else if (target.letter != 'x') {
      return NoOverload(*expr, "_[_]", {target, index});
    }
    return chained || expr->optional ? Of('o', result) : result;
  }

  Type Unary(Expr* expr, std::string_view name, std::string_view letters) {
    const Type type = Run(expr->args[0].get());
    if (type.letter != 'x' && letters.find(type.letter) == std::string_view::npos) {
      return NoOverload(*expr, name, {type});
    }
    return type.letter == 'x' && letters == "b" ? Of('b') : type;
  }

  Type Logic(Expr* expr) {
    for (const auto& argument : expr->args) {
      const Type type = Run(argument.get());
      if (type.letter != 'b' && type.letter != 'x') {
        return Fail(*argument, "expected type 'bool' but found '" + TypeName(type) + "'");
      }
    }
    return Of('b');
  }

  Type Conditional(Expr* expr) {
    const Type condition = Run(expr->args[0].get());
    const Type yes = Run(expr->args[1].get());
    const Type no = Run(expr->args[2].get());
    if ((condition.letter != 'b' && condition.letter != 'x') || !Compatible(yes, no)) {
      return NoOverload(*expr, "_?_:_", {condition, yes, no});
    }
    return Join(yes, no);
  }

  Type Binary(Expr* expr) {
    const Type a = Run(expr->args[0].get());
    const Type b = Run(expr->args[1].get());
    const std::string& op = expr->name;
    const std::string shown = op == "in" ? "@in" : "_" + op + "_";
    if (op == "==" || op == "!=") {
      return Compatible(a, b) ? Of('b') : NoOverload(*expr, shown, {a, b});
    }
    if (op == "in") {
      const bool fits =
          b.letter == 'x' || (b.letter == 'l' && Compatible(a, Element(b))) ||
          (b.letter == 'm' && (b.node == nullptr || a.letter == 's' || a.letter == 'x'));
      return fits ? Of('b') : NoOverload(*expr, shown, {a, b});
    }
    constexpr std::string_view kNumbers = "iud";
    const bool any_dyn = a.letter == 'x' || b.letter == 'x';
    if (op.front() == '<' || op.front() == '>') {
      const bool numbers = kNumbers.find(a.letter) != std::string_view::npos &&
                           kNumbers.find(b.letter) != std::string_view::npos;
      const bool ordered = a.letter == b.letter &&
                           std::string_view("sybDTq").find(a.letter) != std::string_view::npos;
      return any_dyn || numbers || ordered ? Of('b') : NoOverload(*expr, shown, {a, b});
    }
    return ArithmeticType(*expr, shown, a, b);
  }

  Type ArithmeticType(const Expr& expr, const std::string& shown, const Type& a, const Type& b) {
    const char op = expr.name.front();
    if (a.letter == 'x' || b.letter == 'x') return Of('x');
    if (a.letter == b.letter) {
      const std::string_view fitting = op == '+'   ? "iudsylD"
                                       : op == '-' ? "iudD"
                                       : op == '%' ? "iu"
                                                   : "iud";
      if (fitting.find(a.letter) != std::string_view::npos) {
        return a.letter == 'l' ? Of('l', Join(Element(a), Element(b))) : a;
      }
      if (op == '-' && a.letter == 'T') return Of('D');
    } else if ((op == '+' &&
                ((a.letter == 'T' && b.letter == 'D') || (a.letter == 'D' && b.letter == 'T'))) ||
               (op == '-' && a.letter == 'T' && b.letter == 'D')) {
      return Of('T');
    }
    return NoOverload(expr, shown, {a, b});
  }

  Type List(Expr* expr) {
    Type element = Of('x');
    for (size_t i = 0; i < expr->args.size(); ++i) {
      const Type type = Run(expr->args[i].get());
      element = i == 0 ? type : Join(element, type);
    }
    return Of('l', element);
  }

  Type Map(Expr* expr) {
    Type value = Of('x');
    for (size_t i = 0; i < expr->args.size(); ++i) {
      const Type type = Run(expr->args[i].get());
      if (i % 2 == 1) value = i == 1 ? type : Join(value, type);
    }
    return Of('m', value);
  }

  // optional.of(x), optional.ofNonZeroValue(x), optional.none(): a name with a dot, not a receiver.
  bool OptionalFunction(Expr* expr, Type* type) {
    if (expr->op != Op::kMethod || expr->args[0]->op != Op::kIdent ||
        expr->args[0]->name != "optional") {
      return false;
    }
    const size_t arguments = expr->args.size() - 1;
    if (expr->name == "none" && arguments == 0) {
      *type = Of('o', Of('x'));
    } else if ((expr->name == "of" || expr->name == "ofNonZeroValue") && arguments == 1) {
      *type = Of('o', Run(expr->args[1].get()));
    } else {
      return false;
    }
    return true;
  }

  Type Call(Expr* expr) {
    Type type;
    if (OptionalFunction(expr, &type)) return type;
    const bool method = expr->op == Op::kMethod;
    std::vector<Type> types;
    for (const auto& argument : expr->args) types.push_back(Run(argument.get()));
    if (failed_) return Of('x');
    const std::vector<const Overload*> overloads = FindOverloads(expr->name, method);
    if (overloads.empty()) {
      return Fail(*expr, "undeclared reference to '" + expr->name + "' (in container '')");
    }
    std::vector<Type> results;
    for (const Overload* overload : overloads) {
      if (Fits(*overload, types)) results.push_back(ResultOf(*overload, types));
    }
    if (results.empty()) return NoOverload(*expr, expr->name, types, method);
    Type result = results.front();
    for (const Type& other : results) result = Join(result, other);
    return result;
  }

  static bool Fits(const Overload& overload, const std::vector<Type>& types) {
    if (overload.params.size() != types.size()) return false;
    for (size_t i = 0; i < types.size(); ++i) {
      const char param = overload.params[i];
      if (param != '*' && types[i].letter != 'x' && param != types[i].letter) return false;
    }
    return true;
  }

  static Type ResultOf(const Overload& overload, const std::vector<Type>& types) {
    switch (overload.result) {
      case 'e':
      case 'v':
        return types[0].letter == 'x' ? Of('x') : Element(types[0]);
      case 'S':
        return Of('l', Of('s'));
      case 'O':
        return types[0].letter == 'x' ? Of('o', Of('x')) : types[0];
      default:
        return Of(overload.result);
    }
  }

  Type Macro(Expr* expr) {
    const Type range = Run(expr->args[0].get());
    const bool optional = expr->op == Op::kOptMap || expr->op == Op::kOptFlatMap;
    const std::string_view fitting = optional ? "ox" : "lmx";
    if (fitting.find(range.letter) == std::string_view::npos) {
      return Fail(*expr,
                  "expression of type '" + TypeName(range) +
                      "' cannot be range of a comprehension (must be list, map, or dynamic)");
    }
    scope_.emplace_back(
        expr->name, range.letter == 'm' ? Of(range.node != nullptr ? 's' : 'x') : Element(range));
    Type body = Run(expr->args[1].get());
    const Type filter = expr->args.size() > 2 ? Run(expr->args[2].get()) : Of('b');
    scope_.pop_back();
    const Type& condition = expr->op == Op::kMapMacro ? filter : body;
    if (!optional && condition.letter != 'b' && condition.letter != 'x') {
      return Fail(*expr->args.back(),
                  "expected type 'bool' but found '" + TypeName(condition) + "'");
    }
    switch (expr->op) {
      case Op::kMapMacro:
        return Of('l', body);
      case Op::kFilter:
        return range.letter == 'm' ? Of('l', Of('s')) : Of('l', Element(range));
      case Op::kOptMap:
        return Of('o', body);
      case Op::kOptFlatMap:
        return body;
      default:
        return Of('b');
    }
  }

  ParseError* error_;
  std::vector<std::pair<std::string, Type>> scope_;
  bool failed_ = false;
  bool uses_old_self_ = false;
};

}  // namespace

std::string TypeName(const Type& type) {
  switch (type.letter) {
    case 'n':
      return "null";
    case 'b':
      return "bool";
    case 'i':
      return "int";
    case 'u':
      return "uint";
    case 'd':
      return "double";
    case 's':
      return "string";
    case 'y':
      return "bytes";
    case 'l':
      return "list(" + TypeName(Element(type)) + ")";
    case 'm':
      if (type.node != nullptr && !type.node->properties.empty()) return "object";
      return "map(string, " + TypeName(MapValueType(type)) + ")";
    case 'D':
      return "google.protobuf.Duration";
    case 'T':
      return "google.protobuf.Timestamp";
    case 'q':
      return "kubernetes.Quantity";
    case 'o':
      return "optional_type(" + TypeName(Element(type)) + ")";
    case 't':
      return "type";
    default:
      return "dyn";
  }
}

bool Check(Expr* expr, const SchemaNode* self, bool optional_old_self, CheckResult* result,
           ParseError* error) {
  Checker checker(self, optional_old_self, error);
  result->type = checker.Run(expr);
  result->uses_old_self = checker.uses_old_self();
  return !checker.failed();
}

}  // namespace envicutor::standalone::schema::cel
