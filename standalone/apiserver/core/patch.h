// JSON Patch (RFC 6902), JSON Merge Patch (RFC 7386) and Kubernetes' strategic merge patch. Pure.
#pragma once

#include "standalone/apiserver/core/api_error.h"

namespace envicutor::standalone {

// At most 10,000 operations. A failed `test`, a missing path: 422 Invalid, as kube-apiserver
// answers.
[[nodiscard]] ApiResult<Json> ApplyJsonPatch(const Json& target, const Json& operations);

void ApplyMergePatch(Json* target, const Json& patch);

// Merges lists of objects by the merge key that the built-in types have at that place (containers
// by name, conditions by type, ...), with the directives $patch: replace|delete|merge, $retainKeys,
// $setElementOrder/FIELD and $deleteFromPrimitiveList/FIELD.
[[nodiscard]] ApiResult<Json> ApplyStrategicMergePatch(const Json& target, const Json& patch);

}  // namespace envicutor::standalone
