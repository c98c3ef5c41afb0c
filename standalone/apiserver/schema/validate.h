// Inside of Schema::Validate: the two passes over an object.
#pragma once

#include <string>
#include <vector>

#include "common/base/json.h"
#include "standalone/apiserver/schema/errors.h"
#include "standalone/apiserver/schema/node.h"

namespace envicutor::standalone::schema {

inline constexpr size_t kMaxErrors = 100;

// Types, bounds, enums, patterns, list types. Appends to *errors up to kMaxErrors.
void ValidateValues(const Json& object, const SchemaNode& root, std::vector<FieldError>* errors);

// CEL rules at every level. `old` may be null.
void ValidateRules(const Json& object, const Json* old, const SchemaNode& root,
                   std::vector<FieldError>* errors);

// "path.name" and "path[3]"; the root's path is "".
[[nodiscard]] std::string ChildPath(const std::string& path, std::string_view name);
[[nodiscard]] std::string IndexPath(const std::string& path, size_t index);

// "object", "array", "string", "integer", "number", "boolean", "null".
[[nodiscard]] std::string_view JsonTypeName(const Json& value);

// Whether `text` has a format of OpenAPI; formats that are not known hold for all texts.
[[nodiscard]] bool HasFormat(std::string_view format, std::string_view text);

}  // namespace envicutor::standalone::schema
