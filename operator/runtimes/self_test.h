// Self-tests of a Runtime: each is a submission of its own making, admitted by the same code as a
// user's, so that what passes here works there.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "common/api/run.h"
#include "common/base/clock.h"
#include "common/base/json.h"
#include "common/base/status.h"
#include "operator/options.h"

namespace envicutor::op {

struct SelfTestResult {
  std::string name;
  bool passed = false;
  std::string message;  // why not, with what the program wrote
};

struct TestReport {
  std::vector<SelfTestResult> results;
  int64_t cpu_time_millis = 0;  // of an empty program
  int64_t memory_bytes = 0;
  [[nodiscard]] bool AllPassed() const;
  // "self-test hello: expected ..."; of the first that failed.
  [[nodiscard]] std::string FirstFailure() const;
};

// The runs of one generation's self-tests, and a last one of an empty program, which measures. The
// controller's mutex guards it, as results come on the runner's threads.
struct TestRun {
  int64_t generation = 0;
  std::string hash;
  std::string pool;
  struct Item {
    api::RunRequest request;
    std::optional<Result<api::RunResult>> result;
    bool submitted = false;
    int failures = 0;         // the executor's, not the program's
    SteadyTime not_before;    // its environment could not be had: of the next attempt
    std::string unavailable;  // and why
  };
  std::vector<Item> items;  // self-tests in order, then the measurement
};

// The requests of all self-tests and the measurement. `errors` gets what is wrong with the spec, as
// "selfTests[0].files[1].path: ..." and "run.limits.memory: ...": this is also how limits, scripts,
// variables and the source file are checked.
[[nodiscard]] std::vector<api::RunRequest> SelfTestRequests(const Json& runtime,
                                                            const std::string& hash,
                                                            const Options& options,
                                                            std::vector<std::string>* errors);

// `test` is an item of spec.selfTests.
[[nodiscard]] SelfTestResult JudgeSelfTest(const Json& test, size_t index,
                                           const api::RunResult& result);

// True: the result says nothing about the program (the sandbox failed, the environment is not
// there).
[[nodiscard]] bool IsInfrastructure(const Result<api::RunResult>& result);

}  // namespace envicutor::op
