// Objects against their shape: which fields they have, what differs, and the merge of an applied
// configuration. Pure. What is the system's (apiVersion, kind, the name, the uid, ...) is in no
// set.
#pragma once

#include "standalone/apiserver/core/api_error.h"
#include "standalone/apiserver/core/apply/shape.h"

namespace envicutor::standalone {

// The fields that a configuration sets. *problem (may be null) says where a list has two elements
// of one identity, or one without any; it stays as it is when all is well.
[[nodiscard]] Json FieldsOf(const Json& object, const Shape& shape, std::string* problem);

struct Differences {
  Json added = Json::object();
  Json modified = Json::object();
  Json removed = Json::object();
};
// `before` may be null: a create.
[[nodiscard]] Differences Compare(const Json* before, const Json& after, const Shape& shape);

// `live` with what `config` says.
[[nodiscard]] Json Merge(const Json& live, const Json& config, const Shape& shape);

// Takes away what is in `last` (the applier's fields before) and not in `owned` (all managers'
// now), unless something is below it that is in neither.
void Prune(Json* object, const Json& last, const Json& owned, const Shape& shape);

}  // namespace envicutor::standalone
