// The Common Expression Language as CRD validation rules use it: own parser, a type checker against
// the structural schema, an evaluator with bounded cost.
//
// Language: all operators with CEL's short-circuit and error semantics; list, map, string, bytes,
// number literals; has(), all(), exists(), exists_one(), map(), filter(), optional `.?field`,
// `[?i]`, orValue(), hasValue(), value(), optional.of/none; size, string, int, uint, double, bool,
// bytes, type, dyn, duration, timestamp; startsWith, endsWith, contains, matches; Kubernetes' list
// functions (isSorted, sum, min, max, indexOf, lastIndexOf, flatten?), strings extension (charAt,
// indexOf, lastIndexOf, join, lowerAscii, upperAscii, replace, split, substring, trim), find,
// findAll, quantity() and isQuantity() with their methods, isURL/url are not there.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "common/base/json.h"
#include "common/base/status.h"

namespace envicutor::standalone::schema {
struct SchemaNode;
}

namespace envicutor::standalone::schema::cel {

struct Expr;

struct CompileOptions {
  const SchemaNode* self = nullptr;  // declared type of self and oldSelf; null: dyn
  bool optional_old_self = false;    // oldSelf is an optional
};

enum class ResultType { kBool, kString };

// Immutable; thread-safe.
class Program {
 public:
  // InvalidArgument: "compilation failed: ERROR: <input>:1:6: undefined field 'foo'". The source
  // has at most 32 KiB, 250 levels of nesting and 20,000 nodes.
  [[nodiscard]] static Result<Program> Compile(std::string_view source, ResultType result,
                                               const CompileOptions& options);
  // True when the program names oldSelf: a transition rule.
  [[nodiscard]] bool UsesOldSelf() const { return uses_old_self_; }

  // Takes `cost` units of *budget away, one about an operation; ResourceExhausted when it is used
  // up. InvalidArgument for an evaluation error ("no such key: foo"). `old_self` null: there is
  // none.
  [[nodiscard]] Result<bool> EvalBool(const Json& self, const Json* old_self,
                                      int64_t* budget) const;
  [[nodiscard]] Result<std::string> EvalString(const Json& self, const Json* old_self,
                                               int64_t* budget) const;

 private:
  std::shared_ptr<const Expr> root_;
  const SchemaNode* self_type_ = nullptr;
  bool optional_old_self_ = false;
  bool uses_old_self_ = false;
};

// What one rule may cost, and all rules of one object, as in Kubernetes.
inline constexpr int64_t kPerRuleBudget = 1'000'000;
inline constexpr int64_t kPerObjectBudget = 10'000'000;

}  // namespace envicutor::standalone::schema::cel
