// The functions of CEL and of Kubernetes' libraries: one table of overloads that the checker and
// the evaluator share.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "standalone/apiserver/schema/cel/value.h"

namespace envicutor::standalone::schema::cel {

using Arguments = std::vector<Value>;

// Kinds by letter: s string, i int, u uint, d double, b bool, y bytes, l list, m map, D duration,
// T timestamp, q quantity, o optional, t type, n null, * any. Results also: e an element of the
// first argument (a list), S a list of strings, x dyn, v what the first argument (an optional)
// holds, O an optional.
struct Overload {
  std::string_view name;
  bool method;  // the first argument is the receiver
  std::string_view params;
  char result;
  // Gets as many arguments as `params`, of those kinds; takes work beyond a constant from *budget.
  Value (*apply)(const Arguments& args, int64_t* budget);
};

[[nodiscard]] std::span<const Overload> ConversionFunctions();
[[nodiscard]] std::span<const Overload> StringFunctions();
[[nodiscard]] std::span<const Overload> ListFunctions();
[[nodiscard]] std::span<const Overload> TimeFunctions();
[[nodiscard]] std::span<const Overload> QuantityFunctions();

// The letter of a kind; '*' for kError.
[[nodiscard]] char LetterOf(Kind kind);
// All overloads of a name.
[[nodiscard]] std::vector<const Overload*> FindOverloads(std::string_view name, bool method);

}  // namespace envicutor::standalone::schema::cel
