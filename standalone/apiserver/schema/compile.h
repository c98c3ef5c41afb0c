// Inside of Schema::Compile: openAPIV3Schema -> SchemaNode.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "standalone/apiserver/schema/errors.h"
#include "standalone/apiserver/schema/node.h"

namespace envicutor::standalone::schema {

// Appends every mistake to *errors; what it returns is of use only where there was none.
[[nodiscard]] std::unique_ptr<SchemaNode> CompileNode(const Json& schema, const std::string& path,
                                                      std::vector<FieldError>* errors);
// The second pass, over a whole tree: rules see the types of all nodes below them.
void CompileRules(const Json& schema, const std::string& path, SchemaNode* node,
                  std::vector<FieldError>* errors);

}  // namespace envicutor::standalone::schema
