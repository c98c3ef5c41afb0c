#include "standalone/apiserver/schema/cel.h"
#include "standalone/apiserver/schema/cel/ast.h"
#include "standalone/apiserver/schema/cel/checker.h"
#include "standalone/apiserver/schema/cel/evaluator.h"

namespace envicutor::standalone::schema::cel {
namespace {

constexpr size_t kMaxSourceBytes = 32U << 10U;

Result<Value> Run(const Expr& root, const SchemaNode* type, bool optional_old_self,
                  const Json& self, const Json* old_self, int64_t* budget) {
  int64_t left = std::min(*budget, kPerRuleBudget);
  const int64_t before = left;
  Evaluator evaluator(&left);
  evaluator.Bind("self", FromJson(self, type));
  if (optional_old_self) {
    evaluator.Bind("oldSelf",
                   old_self == nullptr ? OptionalNone() : OptionalValue(FromJson(*old_self, type)));
  } else if (old_self != nullptr) {
    evaluator.Bind("oldSelf", FromJson(*old_self, type));
  }
  Value value = evaluator.Eval(root);
  *budget -= before - left;
  if (left < 0) {
    return ResourceExhausted(
        "validation failed due to running out of cost budget, no further validation rules will be "
        "run");
  }
  if (value.IsError()) return InvalidArgument(std::string(value.text));
  return value;
}

}  // namespace

Result<Program> Program::Compile(std::string_view source, ResultType result,
                                 const CompileOptions& options) {
  const std::string failed = "compilation failed: ";
  if (source.size() > kMaxSourceBytes) {
    return InvalidArgument(failed + "the expression has more than 32768 bytes");
  }
  ParseError error;
  ExprPtr root = Parse(source, &error);
  if (root == nullptr) return InvalidArgument(failed + FormatError(source, error));
  CheckResult checked;
  if (!Check(root.get(), options.self, options.optional_old_self, &checked, &error)) {
    return InvalidArgument(failed + FormatError(source, error));
  }
  const char wanted = result == ResultType::kBool ? 'b' : 's';
  if (checked.type.letter != wanted && checked.type.letter != 'x') {
    return InvalidArgument(result == ResultType::kBool
                               ? "cel expression must evaluate to a bool"
                               : "messageExpression must evaluate to a string");
  }
  Program program;
  program.root_ = std::move(root);
  program.self_type_ = options.self;
  program.optional_old_self_ = options.optional_old_self;
  program.uses_old_self_ = checked.uses_old_self;
  return program;
}

Result<bool> Program::EvalBool(const Json& self, const Json* old_self, int64_t* budget) const {
  ENVICUTOR_ASSIGN(const Value value,
                   Run(*root_, self_type_, optional_old_self_, self, old_self, budget));
  if (value.kind != Kind::kBool) return InvalidArgument("no such overload");
  return value.boolean;
}

Result<std::string> Program::EvalString(const Json& self, const Json* old_self,
                                        int64_t* budget) const {
  ENVICUTOR_ASSIGN(const Value value,
                   Run(*root_, self_type_, optional_old_self_, self, old_self, budget));
  if (value.kind != Kind::kString) return InvalidArgument("no such overload");
  return std::string(value.text);
}

}  // namespace envicutor::standalone::schema::cel
