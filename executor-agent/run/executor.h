// Executor: one RunRequest from its files to its RunResult: extract, compile, then run or each of
// tests[].
//
//   RunResult result = executor.Execute(request, control, [](std::string_view stage) { ... });
//
// Every end is a RunResult: a failure of ours has the verdict InternalError and says what failed;
// nothing is thrown. Thread-safe: each Execute works on boxes of its own.
#pragma once

#include <functional>
#include <string_view>

#include "common/api/run.h"
#include "common/base/clock.h"
#include "executor-agent/run/compile_cache.h"
#include "executor-agent/run/control.h"
#include "executor-agent/sandbox/sandbox.h"
#include "executor-agent/store/environment_store.h"

namespace envicutor::agent {

class Executor {
 public:
  // "environment" (it is fetched first), "extract", "compile", "run" or "tests", as the stage
  // begins. Must not block.
  using OnStage = std::function<void(std::string_view stage)>;
  // A stage of the program's own ended (not taken from the cache): for metrics. May be empty.
  using OnStageDone = std::function<void(std::string_view stage, const api::StageResult& result)>;

  // All must outlive the executor.
  Executor(Sandbox& sandbox, EnvironmentStore& store, CompileCache& cache, const Clock& clock,
           OnStageDone on_stage_done = nullptr)
      : sandbox_(sandbox),
        store_(store),
        cache_(cache),
        clock_(clock),
        on_stage_done_(std::move(on_stage_done)) {}

  [[nodiscard]] api::RunResult Execute(const api::RunRequest& request, const RunControl& control,
                                       const OnStage& on_stage);

 private:
  Result<std::shared_ptr<const PreparedEnvironment>> GetEnvironment(const api::RunRequest& request,
                                                                    const RunControl& control,
                                                                    const OnStage& on_stage,
                                                                    api::RunResult* result);

  Sandbox& sandbox_;
  EnvironmentStore& store_;
  CompileCache& cache_;
  const Clock& clock_;
  const OnStageDone on_stage_done_;
};

// What a run may take of the executor's memory: the largest memory limit of its stages.
[[nodiscard]] int64_t LargestMemoryLimit(const api::RunRequest& request);

}  // namespace envicutor::agent
