// A Runtime's status from what is known about it. Pure.
#pragma once

#include <optional>
#include <string>

#include "common/base/json.h"
#include "operator/environments/builds.h"
#include "operator/runtimes/catalog.h"
#include "operator/runtimes/self_test.h"

namespace envicutor::op {

// One of the ways in which a Runtime stands; conditions and phase follow from it.
struct RuntimeView {
  enum class State {
    kPending,
    kInvalid,
    kBuilding,
    kBuildFailed,
    kPublishing,  // built, and the cache does not have it yet: build->unpublished says why
    kTesting,
    kTestsFailed,
    kReady
  };
  State state = State::kPending;
  std::string message;                    // what is being waited for, or why not
  std::string hash;                       // of the environment of this spec
  std::optional<BuildState> build;        // as far as it is known
  std::optional<TestReport> tests;        // kTestsFailed, kReady
  const ServedRuntime* served = nullptr;  // what serves after this status is written, or nullptr
};

[[nodiscard]] std::string PhaseOf(RuntimeView::State state);

// The status that follows on `runtime`'s current one: conditions keep their transition times, and
// what this view does not know (self-test results while the same generation is only looked at
// again) is kept.
[[nodiscard]] Json RuntimeStatus(const Json& runtime, const RuntimeView& view,
                                 const std::string& now_rfc3339);

// The JSON merge patch (RFC 7386) that makes `to` of `from`: empty when they are the same.
[[nodiscard]] Json MergePatchBetween(const Json& from, const Json& to);

// What status.served says; nullopt when there is none or it is not readable.
[[nodiscard]] std::optional<ServedRuntime> ServedFromStatus(const Json& runtime);

}  // namespace envicutor::op
