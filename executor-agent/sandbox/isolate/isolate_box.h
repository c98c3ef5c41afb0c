#pragma once

#include <memory>

#include "executor-agent/sandbox/isolate/engine.h"

namespace envicutor::agent::isolate {

// A box of the isolate engine: a tmpfs with /box, /tmp and /dev/shm, bound into a freshly
// initialised isolate box for each stage, so that files need not be moved between stages.
class IsolateBox final : public Box {
 public:
  [[nodiscard]] static Result<std::unique_ptr<IsolateBox>> Make(std::shared_ptr<Engine> engine,
                                                                BoxEnvironment environment,
                                                                int64_t max_disk_bytes);
  ~IsolateBox() override;

  [[nodiscard]] Status WriteFile(const api::RunFile& file) override;
  [[nodiscard]] StageOutcome Run(const StageSpec& spec, std::stop_token stop) override;
  [[nodiscard]] StageOutcome Extract(const std::string& archive, const api::Limits& limits,
                                     std::stop_token stop) override;
  [[nodiscard]] Result<api::OutputFile> ReadFile(const std::string& path,
                                                 size_t max_bytes) override;
  [[nodiscard]] int64_t BoxBytes() override;
  [[nodiscard]] Result<std::unique_ptr<Box>> Clone() override;

 private:
  IsolateBox(std::shared_ptr<Engine> engine, BoxEnvironment environment, int64_t max_disk_bytes,
             unsigned id)
      : engine_(std::move(engine)),
        environment_(std::move(environment)),
        max_disk_bytes_(max_disk_bytes),
        id_(id) {}
  [[nodiscard]] Status EmptyUsedScratch();
  [[nodiscard]] StageOutcome RunStage(const StageSpec& spec, UniqueFd stdin_file, bool extract,
                                      const std::stop_token& stop);

  const std::shared_ptr<Engine> engine_;
  const BoxEnvironment environment_;
  const int64_t max_disk_bytes_;
  const unsigned id_;
  bool mounted_ = false;
  UniqueFd top_;
  UniqueFd files_;     // of /box
  bool used_ = false;  // a stage ran: /tmp and /dev/shm may hold something
};

}  // namespace envicutor::agent::isolate
