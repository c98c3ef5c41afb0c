// Static types: mistakes in a rule are found when its CRD is written, not when a user's object is.
#pragma once

#include <memory>
#include <string>

#include "standalone/apiserver/schema/cel/ast.h"

namespace envicutor::standalone::schema::cel {

struct Type {
  char letter = 'x';                    // as in functions.h; x is dyn
  const SchemaNode* node = nullptr;     // of an object, map or list of the schema
  std::shared_ptr<const Type> element;  // of a list or optional; the value of a map
};

struct CheckResult {
  Type type;
  bool uses_old_self = false;
};

// Also resolves escaped field names (`__dash__`) in *expr. False on a mistake.
[[nodiscard]] bool Check(Expr* expr, const SchemaNode* self, bool optional_old_self,
                         CheckResult* result, ParseError* error);

[[nodiscard]] std::string TypeName(const Type& type);

}  // namespace envicutor::standalone::schema::cel
