#include "executor-agent/sandbox/native/native_box.h"

namespace envicutor::agent {
namespace {

class NativeSandbox final : public Sandbox {
 public:
  explicit NativeSandbox(std::shared_ptr<native::Engine> engine) : engine_(std::move(engine)) {}

  SandboxInfo Info() const override { return engine_->Info(); }
  Result<std::unique_ptr<Box>> NewBox(const BoxEnvironment& environment,
                                      int64_t max_disk_bytes) override {
    ENVICUTOR_ASSIGN(std::unique_ptr<native::NativeBox> box,
                     native::NativeBox::Make(engine_, environment, max_disk_bytes));
    return std::unique_ptr<Box>(std::move(box));
  }

 private:
  const std::shared_ptr<native::Engine> engine_;
};

}  // namespace

Result<std::unique_ptr<Sandbox>> NewNativeSandbox(const SandboxOptions& options) {
  ENVICUTOR_ASSIGN(std::shared_ptr<native::Engine> engine, native::Engine::Make(options));
  return std::unique_ptr<Sandbox>(std::make_unique<NativeSandbox>(std::move(engine)));
}

}  // namespace envicutor::agent
