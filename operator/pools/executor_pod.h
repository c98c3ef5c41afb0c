// The executor pod of docs/architecture.md ("An executor pod"), as JSON.
#pragma once

#include <string>

#include "common/base/json.h"
#include "operator/options.h"
#include "operator/pools/pool_plan.h"

namespace envicutor::op {

// `pool` is the ExecutorPool object, `spec` what PoolSpecFromJson made of it.
[[nodiscard]] Json ExecutorPod(const Json& pool, const PoolSpec& spec, const std::string& name,
                               const Options& options);

// Of all that its executors are made from, the operator's own part (image, flags) included: pods
// with another hash are replaced, also after an upgrade of the operator.
[[nodiscard]] std::string TemplateHash(const Json& pool, const PoolSpec& spec,
                                       const Options& options);

}  // namespace envicutor::op
