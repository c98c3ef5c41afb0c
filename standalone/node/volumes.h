// A pod's volumes on disk, below its own folder of the node's data.
#pragma once

#include <string>
#include <vector>

#include "common/base/status.h"
#include "standalone/node/plan.h"
#include "standalone/node/pod_spec.h"

namespace envicutor::standalone {

// Makes what is missing below `pod_dir`/volumes (an emptyDir stays over restarts of the container;
// Secrets and ConfigMaps are written anew) and gives the mounts. The order is outer before inner.
[[nodiscard]] Result<std::vector<PodMount>> PrepareVolumes(const PodSpec& pod,
                                                           const std::string& pod_dir,
                                                           const DataLookup& lookup);

}  // namespace envicutor::standalone
