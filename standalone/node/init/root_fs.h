// The pod's root file system: a tmpfs skeleton with the host's programs bound read-only into it, a
// few harmless files of the host's /etc, /proc /sys /dev, and the pod's volumes. The caller is
// alone in a new mount namespace; everything vanishes with it.
#pragma once

#include "common/base/status.h"
#include "standalone/node/plan.h"

namespace envicutor::standalone {

// Builds it on plan.root_dir, then makes it the root of this process; nothing of the host's tree
// stays reachable but what was bound.
[[nodiscard]] Status EnterPodRoot(const LaunchPlan& plan);

// mkdir -p that, with `as_file`, makes an empty regular file of the last part.
[[nodiscard]] Status MakeMountPoint(const std::string& path, bool as_file);

}  // namespace envicutor::standalone
