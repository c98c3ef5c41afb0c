// From a Submission's spec to the RunRequest for an agent: what the CRD's schema cannot check is
// checked here, and every mistake is listed at once. Pure, but for the ConfigMaps that `read`
// gives.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "common/api/environment.h"
#include "common/api/run.h"
#include "common/base/clock.h"
#include "common/base/json.h"
#include "common/base/status.h"
#include "operator/options.h"

namespace envicutor::op {

// The bytes of a key of a labelled ConfigMap in the submission's namespace. NotFound: not there
// yet, or not labelled; Unavailable: ask again.
using InputReader =
    std::function<Result<std::string>(const std::string& config_map, const std::string& key)>;

struct AdmissionInput {
  const Json* submission = nullptr;    // the whole object
  const Json* runtime_spec = nullptr;  // nullptr: inline environment
  std::string runtime_name;
  std::string environment_hash;
  std::string environment_store_path;  // what executors fetch; "": they have it
  std::string environment_node;        // only executors there have it; "": any
  int64_t attempt = 1;
  std::optional<WallTime> deadline;  // of activeDeadlineSeconds
  InputReader read;
};

struct Admission {
  api::RunRequest request;
  // Of the user: the submission is refused with all of them.
  std::vector<std::string> errors;
  // Inputs that are not there (yet): "ConfigMap big-input, key a.txt: ...".
  std::vector<std::string> missing;
  // Inputs that could not be read now; OK otherwise.
  Status unavailable;
};

[[nodiscard]] Admission Admit(const AdmissionInput& input, const Options& options);

// The environment that a submission brings: inline, or the runtime's with extraPackages. nullopt:
// the runtime's own. `errors` gets what the administrator forbids and what is not readable.
[[nodiscard]] std::optional<api::EnvironmentSpec> EnvironmentOf(const Json& submission,
                                                                const Json* runtime_spec,
                                                                const Options& options,
                                                                std::vector<std::string>* errors);

}  // namespace envicutor::op
