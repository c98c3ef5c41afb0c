// Evaluates a checked tree. Errors are values (Kind::kError), as CEL's && and || can absorb them.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "standalone/apiserver/schema/cel/ast.h"

namespace envicutor::standalone::schema::cel {

class Evaluator {
 public:
  explicit Evaluator(int64_t* budget) : budget_(budget) {}
  void Bind(std::string_view name, Value value) { scope_.emplace_back(name, std::move(value)); }
  // When *budget is below 0 afterwards the value means nothing.
  [[nodiscard]] Value Eval(const Expr& expr);

 private:
  Value Ident(const Expr& expr);
  Value Select(const Expr& expr);
  Value Index(const Expr& expr);
  Value Logic(const Expr& expr);
  Value Conditional(const Expr& expr);
  Value Binary(const Expr& expr);
  Value Map(const Expr& expr);
  Value Call(const Expr& expr);
  Value Quantifier(const Expr& expr, const Value& range);
  Value Macro(const Expr& expr);
  Value Transform(const Expr& expr, const Value& range);
  Value OptionalMacro(const Expr& expr, const Value& range);
  Value WithVariable(const Expr& expr, size_t argument, Value value);

  int64_t* budget_;
  std::vector<std::pair<std::string_view, Value>> scope_;
};

}  // namespace envicutor::standalone::schema::cel
