// What the built-in kinds do beside storing: defaults, validation, what an update may change. Pure.
#pragma once

#include "common/base/clock.h"
#include "standalone/apiserver/core/api_error.h"
#include "standalone/apiserver/core/resource.h"

namespace envicutor::standalone {

// Before validation of a create / an update of the main resource: defaults, members that only the
// system sets. Wrong types are BadRequest in the decoder's words.
[[nodiscard]] std::optional<ApiError> PrepareBuiltin(const ResourceInfo& resource, const Json* old,
                                                     Json* object, WallTime now);
[[nodiscard]] Causes ValidateBuiltin(const ResourceInfo& resource, const Json& object,
                                     const Json* old);

// Parts of the above, each in its file.
void DefaultPod(Json* pod);
// Pending, with the QoS class.
void InitPodStatus(Json* pod);
[[nodiscard]] Causes ValidatePod(const Json& pod, const Json* old);

// Names, conditions and stored versions of a CRD's status; `taken` says why its names are not
// acceptable, or is "".
void PrepareCrd(const Json* old, Json* crd, const std::string& taken, WallTime now);
[[nodiscard]] bool NamesAccepted(const Json& crd);
// A group that is Kubernetes' own without the annotation that says who approved it; and what an
// update may not change: as `old` is established, its kind and its scope.
[[nodiscard]] Causes ValidateCrd(const Json& crd, const Json* old);
// A status that a client sends, where typed clients could not read what it makes of the definition.
[[nodiscard]] Causes ValidateCrdStatus(const Json& crd);
// Whoever writes the status: whether the names are accepted stays as the server has it.
void KeepEstablished(const Json& old, Json* crd);

// Sets the condition of that type, keeping lastTransitionTime while its status stays.
void SetCondition(Json* conditions, const std::string& type, bool status, const std::string& reason,
                  const std::string& message, WallTime now);

}  // namespace envicutor::standalone
