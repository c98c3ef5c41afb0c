// The isolate engine: ioi/isolate through its command line and meta file.
#include "executor-agent/sandbox/isolate/isolate_box.h"

namespace envicutor::agent {
namespace {

class IsolateSandbox final : public Sandbox {
 public:
  explicit IsolateSandbox(std::shared_ptr<isolate::Engine> engine) : engine_(std::move(engine)) {}

  SandboxInfo Info() const override { return engine_->Info(); }
  Result<std::unique_ptr<Box>> NewBox(const BoxEnvironment& environment,
                                      int64_t max_disk_bytes) override {
    ENVICUTOR_ASSIGN(std::unique_ptr<isolate::IsolateBox> box,
                     isolate::IsolateBox::Make(engine_, environment, max_disk_bytes));
    return std::unique_ptr<Box>(std::move(box));
  }

 private:
  const std::shared_ptr<isolate::Engine> engine_;
};

}  // namespace

Result<std::unique_ptr<Sandbox>> NewIsolateSandbox(const SandboxOptions& options) {
  ENVICUTOR_ASSIGN(std::shared_ptr<isolate::Engine> engine, isolate::Engine::Make(options));
  return std::unique_ptr<Sandbox>(std::make_unique<IsolateSandbox>(std::move(engine)));
}

}  // namespace envicutor::agent
