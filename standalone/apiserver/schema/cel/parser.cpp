// Recursive descent over CEL's grammar. Depth and size are bounded: rules come with CRDs, which
// anybody with that right may write, and must not overflow the stack.
#include <algorithm>
#include <array>

#include "standalone/apiserver/schema/cel/ast.h"
#include "standalone/apiserver/schema/cel/lexer.h"

namespace envicutor::standalone::schema::cel {
namespace {

constexpr int kMaxDepth = 250;
constexpr size_t kMaxNodes = 20'000;

constexpr std::array<std::string_view, 17> kReserved = {
    "as",  "break", "const",   "continue",  "else",   "for", "function", "if",   "import",
    "let", "loop",  "package", "namespace", "return", "var", "void",     "while"};

struct Macro {
  std::string_view name;
  size_t arguments;
  Op op;
};
constexpr std::array<Macro, 8> kMacros = {{{"all", 2, Op::kAll},
                                           {"exists", 2, Op::kExists},
                                           {"exists_one", 2, Op::kExistsOne},
                                           {"map", 2, Op::kMapMacro},
                                           {"map", 3, Op::kMapMacro},
                                           {"filter", 2, Op::kFilter},
                                           {"optMap", 2, Op::kOptMap},
                                           {"optFlatMap", 2, Op::kOptFlatMap}}};

class Parser {
 public:
  Parser(std::string_view source, ParseError* error) : lexer_(source), error_(error) {}

  ExprPtr Run() {
    Advance();
    ExprPtr expr = Expression();
    if (!failed_ && token_.type != Token::Type::kEnd) Unexpected();
    return failed_ ? nullptr : std::move(expr);
  }

 private:
  // Counts the levels of the descent; false when there are too many.
  class Depth {
   public:
    explicit Depth(Parser* parser) : parser_(parser) {
      if (++parser_->depth_ > kMaxDepth) parser_->Fail("expression recursion limit exceeded: 250");
    }
    ~Depth() { --parser_->depth_; }
    Depth(const Depth&) = delete;
    Depth& operator=(const Depth&) = delete;

   private:
    Parser* parser_;
  };

  void Fail(std::string message) { FailAt(token_.offset, std::move(message)); }
  void FailAt(size_t offset, std::string message) {
    if (failed_) return;
    failed_ = true;
    error_->offset = offset;
    error_->message = std::move(message);
    token_ = Token();
  }
  void Unexpected() {
    const std::string shown = token_.type == Token::Type::kEnd ? "<EOF>" : token_.text;
    Fail("Syntax error: mismatched input '" + shown + "'");
  }
  void Advance() {
    if (failed_) return;
    if (ParseError error; !lexer_.Next(&token_, &error)) FailAt(error.offset, error.message);
  }
  [[nodiscard]] bool Is(std::string_view symbol) const {
    return token_.type == Token::Type::kSymbol && token_.text == symbol;
  }
  bool Take(std::string_view symbol) {
    if (!Is(symbol)) return false;
    Advance();
    return true;
  }
  void Expect(std::string_view symbol) {
    if (!Take(symbol)) Unexpected();
  }

  ExprPtr Make(Op op, size_t offset) {
    if (++nodes_ > kMaxNodes) Fail("expression is too large");
    auto expr = std::make_unique<Expr>();
    expr->op = op;
    expr->offset = offset;
    return expr;
  }
  // Placeholder where parsing failed: callers go on and never see null.
  ExprPtr Broken() { return std::make_unique<Expr>(); }

  ExprPtr Binary(Op op, std::string name, size_t offset, ExprPtr left, ExprPtr right) {
    ExprPtr expr = Make(op, offset);
    expr->name = std::move(name);
    expr->args.push_back(std::move(left));
    expr->args.push_back(std::move(right));
    return expr;
  }

  ExprPtr Expression() {
    const Depth depth(this);
    if (failed_) return Broken();
    ExprPtr condition = Or();
    const size_t offset = token_.offset;
    if (!Take("?")) return condition;
    ExprPtr expr = Make(Op::kConditional, offset);
    expr->args.push_back(std::move(condition));
    expr->args.push_back(Or());
    Expect(":");
    expr->args.push_back(Expression());
    return expr;
  }

  // Long chains of && and || become trees of logarithmic depth, as the evaluator recurses.
  ExprPtr Balance(Op op, std::vector<ExprPtr>* terms, const std::vector<size_t>& offsets,
                  size_t begin, size_t end) {
    if (end - begin == 1) return std::move((*terms)[begin]);
    const size_t middle = begin + (end - begin) / 2;
    ExprPtr left = Balance(op, terms, offsets, begin, middle);
    ExprPtr right = Balance(op, terms, offsets, middle, end);
    return Binary(op, op == Op::kAnd ? "&&" : "||", offsets[middle - 1], std::move(left),
                  std::move(right));
  }

  ExprPtr Or() {
    std::vector<ExprPtr> terms;
    std::vector<size_t> offsets;
    terms.push_back(And());
    while (Is("||")) {
      offsets.push_back(token_.offset);
      Advance();
      terms.push_back(And());
    }
    return Balance(Op::kOr, &terms, offsets, 0, terms.size());
  }

  ExprPtr And() {
    std::vector<ExprPtr> terms;
    std::vector<size_t> offsets;
    terms.push_back(Relation());
    while (Is("&&")) {
      offsets.push_back(token_.offset);
      Advance();
      terms.push_back(Relation());
    }
    return Balance(Op::kAnd, &terms, offsets, 0, terms.size());
  }

  // Left-associative operators make left-deep trees: their length counts as depth.
  ExprPtr LeftChain(ExprPtr left, bool (Parser::*at_operator)() const,
                    ExprPtr (Parser::*operand)()) {
    int length = 0;
    while (!failed_ && (this->*at_operator)()) {
      if (++length > kMaxDepth) Fail("expression recursion limit exceeded: 250");
      const Token op = token_;
      Advance();
      ExprPtr right = (this->*operand)();
      left = Binary(Op::kBinary, op.text, op.offset, std::move(left), std::move(right));
    }
    return left;
  }

  [[nodiscard]] bool AtRelation() const {
    if (token_.type == Token::Type::kIdent) return token_.text == "in";
    return Is("==") || Is("!=") || Is("<") || Is("<=") || Is(">") || Is(">=");
  }
  [[nodiscard]] bool AtAddition() const { return Is("+") || Is("-"); }
  [[nodiscard]] bool AtMultiplication() const { return Is("*") || Is("/") || Is("%"); }

  ExprPtr Relation() { return LeftChain(Addition(), &Parser::AtRelation, &Parser::Addition); }
  ExprPtr Addition() {
    return LeftChain(Multiplication(), &Parser::AtAddition, &Parser::Multiplication);
  }
  ExprPtr Multiplication() { return LeftChain(Unary(), &Parser::AtMultiplication, &Parser::Unary); }

  ExprPtr Unary() {
    const size_t offset = token_.offset;
    if (!Is("!") && !Is("-")) return Member();
    const bool negate = Is("-");
    size_t count = 0;
    while (Is(negate ? "-" : "!")) {
      Advance();
      ++count;
    }
    if (negate && count == 1 &&
        (token_.type == Token::Type::kInt || token_.type == Token::Type::kDouble)) {
      return NegativeLiteral(offset);
    }
    ExprPtr inner = Member();
    // Pairs cancel out; one pair stays, so that its type is still checked.
    for (size_t left = count % 2 == 0 ? 2 : 1; left > 0; --left) {
      ExprPtr expr = Make(negate ? Op::kNegate : Op::kNot, offset);
      expr->args.push_back(std::move(inner));
      inner = std::move(expr);
    }
    return inner;
  }

  // -9223372036854775808 is a literal although its magnitude is not.
  ExprPtr NegativeLiteral(size_t offset) {
    ExprPtr expr = Make(Op::kLiteral, offset);
    if (token_.type == Token::Type::kDouble) {
      expr->literal = DoubleValue(-token_.number);
    } else if (token_.magnitude > (uint64_t{1} << 63U)) {
      FailAt(offset, "invalid int literal");
    } else {
      expr->literal = IntValue(static_cast<int64_t>(0 - token_.magnitude));
    }
    Advance();
    return Suffixes(std::move(expr));
  }

  ExprPtr Member() { return Suffixes(Primary()); }

  ExprPtr Suffixes(ExprPtr expr) {
    int length = 0;
    while (!failed_) {
      if (++length > kMaxDepth) Fail("expression recursion limit exceeded: 250");
      const size_t offset = token_.offset;
      if (Is(".") || Is(".?")) {
        const bool optional = Is(".?");
        Advance();
        if (token_.type != Token::Type::kIdent) {
          Unexpected();
          break;
        }
        std::string name = token_.text;
        Advance();
        if (!optional && Take("(")) {
          expr = Method(std::move(expr), std::move(name), offset);
          continue;
        }
        ExprPtr select = Make(Op::kSelect, offset);
        select->name = std::move(name);
        select->optional = optional;
        select->args.push_back(std::move(expr));
        expr = std::move(select);
      } else if (Is("[") || Is("[?")) {
        ExprPtr index = Make(Op::kIndex, offset);
        index->optional = Is("[?");
        Advance();
        index->args.push_back(std::move(expr));
        index->args.push_back(Expression());
        Expect("]");
        expr = std::move(index);
      } else {
        break;
      }
    }
    return expr;
  }

  std::vector<ExprPtr> Arguments(std::string_view close) {
    std::vector<ExprPtr> arguments;
    if (Take(close)) return arguments;
    do {
      if (!arguments.empty() && close == "]" && Is(close)) break;  // a trailing comma
      arguments.push_back(Expression());
    } while (!failed_ && Take(","));
    Expect(close);
    return arguments;
  }

  ExprPtr Method(ExprPtr target, std::string name, size_t offset) {
    std::vector<ExprPtr> arguments = Arguments(")");
    if (failed_) return Broken();
    for (const Macro& macro : kMacros) {
      if (macro.name != name || macro.arguments != arguments.size()) continue;
      if (arguments[0]->op != Op::kIdent) {
        FailAt(arguments[0]->offset, "argument must be a simple name");
        return Broken();
      }
      ExprPtr expr = Make(macro.op, offset);
      expr->name = arguments[0]->name;
      expr->args.push_back(std::move(target));
      expr->args.push_back(std::move(arguments.back()));
      if (arguments.size() == 3) expr->args.push_back(std::move(arguments[1]));
      return expr;
    }
    ExprPtr expr = Make(Op::kMethod, offset);
    expr->name = std::move(name);
    expr->args.push_back(std::move(target));
    for (ExprPtr& argument : arguments) expr->args.push_back(std::move(argument));
    return expr;
  }

  ExprPtr Primary() {
    const Depth depth(this);
    const size_t offset = token_.offset;
    switch (token_.type) {
      case Token::Type::kIdent:
        return Identifier();
      case Token::Type::kInt:
        if (token_.magnitude > uint64_t{INT64_MAX}) Fail("invalid int literal");
        return Literal(IntValue(static_cast<int64_t>(token_.magnitude)));
      case Token::Type::kUint:
        return Literal(UintValue(token_.magnitude));
      case Token::Type::kDouble:
        return Literal(DoubleValue(token_.number));
      case Token::Type::kString:
        return Literal(StringValue(token_.text));
      case Token::Type::kBytes:
        return Literal(BytesValue(token_.text));
      default:
        break;
    }
    if (Take("(")) {
      ExprPtr inner = Expression();
      Expect(")");
      return inner;
    }
    if (Take("[")) {
      ExprPtr list = Make(Op::kList, offset);
      list->args = Arguments("]");
      return list;
    }
    if (Take("{")) return MapLiteral(offset);
    if (Take(".")) return Primary();  // a name from the root: there is only one scope
    Unexpected();
    return Broken();
  }

  ExprPtr Literal(Value value) {
    ExprPtr expr = Make(Op::kLiteral, token_.offset);
    expr->literal = std::move(value);
    Advance();
    return expr;
  }

  ExprPtr MapLiteral(size_t offset) {
    ExprPtr map = Make(Op::kMap, offset);
    while (!failed_ && !Take("}")) {
      map->args.push_back(Expression());
      Expect(":");
      map->args.push_back(Expression());
      if (Take("}")) break;
      Expect(",");
    }
    return map;
  }

  ExprPtr Identifier() {
    const size_t offset = token_.offset;
    const std::string name = token_.text;
    Advance();
    if (name == "true" || name == "false" || name == "null") {
      ExprPtr expr = Make(Op::kLiteral, offset);
      expr->literal = name == "null" ? NullValue() : BoolValue(name == "true");
      return expr;
    }
    if (name == "in" || std::find(kReserved.begin(), kReserved.end(), name) != kReserved.end()) {
      FailAt(offset, "reserved identifier: " + name);
      return Broken();
    }
    if (!Take("(")) {
      ExprPtr expr = Make(Op::kIdent, offset);
      expr->name = name;
      return expr;
    }
    std::vector<ExprPtr> arguments = Arguments(")");
    if (failed_) return Broken();
    if (name == "has") return Has(offset, std::move(arguments));
    ExprPtr call = Make(Op::kCall, offset);
    call->name = name;
    call->args = std::move(arguments);
    return call;
  }

  ExprPtr Has(size_t offset, std::vector<ExprPtr> arguments) {
    if (arguments.size() != 1 || arguments[0]->op != Op::kSelect || arguments[0]->optional) {
      FailAt(offset, "invalid argument to has() macro");
      return Broken();
    }
    ExprPtr expr = std::move(arguments[0]);
    expr->op = Op::kHas;
    return expr;
  }

  Lexer lexer_;
  ParseError* error_;
  Token token_;
  bool failed_ = false;
  int depth_ = 0;
  size_t nodes_ = 0;
};

}  // namespace

std::string FormatError(std::string_view source, const ParseError& error) {
  const size_t offset = std::min(error.offset, source.size());
  const std::string_view before = source.substr(0, offset);
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const size_t newline = before.rfind('\n');
  const size_t line_begin = newline == std::string_view::npos ? 0 : newline + 1;
  const size_t column = offset - line_begin;
  std::string_view shown = source.substr(line_begin);
  shown = shown.substr(0, shown.find('\n'));
  return "ERROR: <input>:" + std::to_string(line) + ":" + std::to_string(column + 1) + ": " +
         error.message + "\n | " + std::string(shown) + "\n | " + std::string(column, '.') + "^";
}

ExprPtr Parse(std::string_view source, ParseError* error) { return Parser(source, error).Run(); }

}  // namespace envicutor::standalone::schema::cel
