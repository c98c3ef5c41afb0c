// Syntax trees of CEL, macros already expanded.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"
#include "standalone/apiserver/schema/cel/value.h"

namespace envicutor::standalone::schema::cel {

enum class Op {
  kLiteral,  // literal
  kIdent,    // name
  kSelect,   // args[0].name; `optional`: args[0].?name
  kHas,      // has(args[0].name)
  kIndex,    // args[0][args[1]]; `optional`: args[0][?args[1]]
  kNot,      // !args[0]
  kNegate,   // -args[0]
  kAnd,
  kOr,
  kConditional,  // args[0] ? args[1] : args[2]
  kBinary,       // args[0] name args[1]: == != < <= > >= in + - * / %
  kList,         // args
  kMap,          // args: key, value, key, value, ...
  kCall,         // name(args)
  kMethod,       // args[0].name(args[1], ...)
  kAll,          // args[0].all(name, args[1])
  kExists,
  kExistsOne,
  kMapMacro,  // args[0].map(name, [filter args[2],] args[1])
  kFilter,
  kOptMap,  // args[0].optMap(name, args[1])
  kOptFlatMap,
};

struct Expr {
  Op op = Op::kLiteral;
  size_t offset = 0;  // in the source
  std::string name;
  bool optional = false;
  Value literal;
  std::vector<std::unique_ptr<Expr>> args;
};
using ExprPtr = std::unique_ptr<Expr>;

struct ParseError {
  size_t offset = 0;
  std::string message;
};

// "ERROR: <input>:LINE:COLUMN: MESSAGE", then the line and a ^ below the place.
[[nodiscard]] std::string FormatError(std::string_view source, const ParseError& error);

// Null on a mistake, which is then in *error.
[[nodiscard]] ExprPtr Parse(std::string_view source, ParseError* error);

}  // namespace envicutor::standalone::schema::cel
