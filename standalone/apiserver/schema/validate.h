// Inside of Schema::Validate: the two passes over an object.
#pragma once

#include <string>
#include <vector>

#include "common/base/json.h"
#include "standalone/apiserver/schema/errors.h"
#include "standalone/apiserver/schema/node.h"

namespace envicutor::standalone::schema {

inline constexpr size_t kMaxErrors = 100;

// Types, bounds, enums, patterns, list types. Appends to *errors up to kMaxErrors. Members of the
// root that are as in `old` (may be null) have been through this and are not looked at again, which
// is kube-apiserver's ratcheting, too: an update of the status is not held up by a stricter schema
// of the spec.
void ValidateValues(const Json& object, const Json* old, const SchemaNode& root,
                    std::vector<FieldError>* errors);

// CEL rules at every level. `old` may be null. In members of the root that are as in `old`, only
// the rules that name oldSelf.
void ValidateRules(const Json& object, const Json* old, const SchemaNode& root,
                   std::vector<FieldError>* errors);

// Whether the member `name` of *old (may be null) is `value`.
[[nodiscard]] bool IsUnchanged(const std::string& name, const Json& value, const Json* old);

// "path.name" and "path[3]"; the root's path is "".
[[nodiscard]] std::string ChildPath(const std::string& path, std::string_view name);
[[nodiscard]] std::string IndexPath(const std::string& path, size_t index);

// "object", "array", "string", "integer", "number", "boolean", "null".
[[nodiscard]] std::string_view JsonTypeName(const Json& value);

// Whether `text` has a format of OpenAPI; formats that are not known hold for all texts.
[[nodiscard]] bool HasFormat(std::string_view format, std::string_view text);

}  // namespace envicutor::standalone::schema
