// The load: Submissions through the API, and what each cost.
#pragma once

#include <string>

#include "common/base/json.h"
#include "tests/load/options.h"

namespace envicutor::load {

// envicutor-load submissions
[[nodiscard]] Result<Json> RunSubmissions(const Flags& flags);
extern const std::vector<std::string> kSubmissionFlags;

// envicutor-load bare: the same objects created and given the same status by a plain client.
[[nodiscard]] Result<Json> RunBare(const Flags& flags);
extern const std::vector<std::string> kBareFlags;

}  // namespace envicutor::load
