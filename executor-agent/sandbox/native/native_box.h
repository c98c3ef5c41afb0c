#pragma once

#include <memory>

#include "executor-agent/sandbox/native/engine.h"
#include "executor-agent/sandbox/native/stage.h"

namespace envicutor::agent::native {

// A box of the native engine: a tmpfs with /box, /tmp and /dev/shm, a user id, and the stages run
// in it.
class NativeBox final : public Box {
 public:
  [[nodiscard]] static Result<std::unique_ptr<NativeBox>> Make(std::shared_ptr<Engine> engine,
                                                               BoxEnvironment environment,
                                                               int64_t max_disk_bytes);
  ~NativeBox() override;

  [[nodiscard]] Status WriteFile(const api::RunFile& file) override;
  [[nodiscard]] StageOutcome Run(const StageSpec& spec, std::stop_token stop) override;
  [[nodiscard]] StageOutcome Extract(const std::string& archive, const api::Limits& limits,
                                     std::stop_token stop) override;
  [[nodiscard]] Result<api::OutputFile> ReadFile(const std::string& path,
                                                 size_t max_bytes) override;
  [[nodiscard]] int64_t BoxBytes() override;
  [[nodiscard]] Result<std::unique_ptr<Box>> Clone() override;

 private:
  NativeBox(std::shared_ptr<Engine> engine, BoxEnvironment environment, int64_t max_disk_bytes,
            unsigned uid)
      : engine_(std::move(engine)),
        environment_(std::move(environment)),
        max_disk_bytes_(max_disk_bytes),
        uid_(uid) {}
  [[nodiscard]] Status Attach(uint64_t generation);
  [[nodiscard]] Status Adopt(uint64_t generation, uint64_t id, UniqueFd top);
  // A tmpfs in the spawner that runs now, with the files of this box if it was in another one.
  [[nodiscard]] Result<uint64_t> EnsureAttached();
  [[nodiscard]] Status EmptyUsedScratch();
  [[nodiscard]] Result<StageBox> Prepare();  // all of the above, before a stage
  [[nodiscard]] StageOutcome RunStage(const StageSpec& spec, int program_fd, UniqueFd stdin_file,
                                      const std::stop_token& stop);

  const std::shared_ptr<Engine> engine_;
  const BoxEnvironment environment_;
  const int64_t max_disk_bytes_;
  const unsigned uid_;
  uint64_t id_ = 0;
  uint64_t generation_ = 0;
  UniqueFd top_;
  UniqueFd files_;     // of /box
  bool used_ = false;  // a stage ran: /tmp and /dev/shm may hold something
};

}  // namespace envicutor::agent::native
