#include "executor-agent/sandbox/native/native_box.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <optional>

#include "executor-agent/sandbox/box_files.h"
#include "executor-agent/sandbox/native/stage.h"
#include "executor-agent/sandbox/shared.h"

namespace envicutor::agent::native {
namespace {

constexpr int64_t kMinDisk = 64 << 10;
constexpr uint64_t kMinInodes = 4096;
constexpr uint64_t kMaxInodes = 262'144;
constexpr uint64_t kBytesAnInode = 4096;
// That the spawner is dead is noticed by talking to it; then a new one is started.
constexpr int kAttempts = 3;

// What asks the spawner for a box of that size, but for its id and user.
Request SizeOf(int64_t max_disk_bytes) {
  Request request;
  request.op = Op::kMakeBox;
  request.disk_bytes = static_cast<uint64_t>(std::max(max_disk_bytes, kMinDisk));
  request.inodes = std::clamp(request.disk_bytes / kBytesAnInode, kMinInodes, kMaxInodes);
  return request;
}

}  // namespace

StageOutcome SandboxError(std::string error) {
  StageOutcome outcome;
  outcome.killed = StageOutcome::Killed::kSandboxError;
  outcome.error = std::move(error);
  return outcome;
}

Result<std::unique_ptr<NativeBox>> NativeBox::Make(std::shared_ptr<Engine> engine,
                                                   BoxEnvironment environment,
                                                   int64_t max_disk_bytes) {
  std::optional<SpareBox> spare;
  const Result<uint64_t> generation = engine->spawner().EnsureRunning();
  if (generation.ok()) spare = engine->spares().Take(*generation, SizeOf(max_disk_bytes));
  if (spare) {
    std::unique_ptr<NativeBox> box(
        new NativeBox(std::move(engine), std::move(environment), max_disk_bytes, spare->uid));
    ENVICUTOR_RETURN_IF_ERROR(box->Adopt(*generation, spare->id, std::move(spare->top)));
    return box;
  }
  Result<unsigned> uid = engine->TakeUid();
  if (!uid.ok() && engine->spares().DropOne()) uid = engine->TakeUid();
  if (!uid.ok()) return uid.status();
  std::unique_ptr<NativeBox> box(
      new NativeBox(std::move(engine), std::move(environment), max_disk_bytes, *uid));
  Status attached;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    attached = box->EnsureAttached().status();
    if (attached.code() != Code::kUnavailable) break;
  }
  if (!attached.ok()) return attached;
  return box;
}

NativeBox::~NativeBox() {
  files_.reset();
  top_.reset();
  if (generation_ != 0) {
    Request request;
    request.op = Op::kDropBox;
    request.id = id_;
    // Fails only when that spawner ended, and its mounts with it.
    (void)engine_->spawner().Send(generation_, request, {}, {});
  }
  engine_->GiveBackUid(uid_);
}

Status NativeBox::Attach(uint64_t generation) {
  Request request = SizeOf(max_disk_bytes_);
  request.id = engine_->NextBoxId();
  request.uid = uid_;
  ENVICUTOR_ASSIGN(UniqueFd top, engine_->spawner().Call(generation, request, {}, {}));
  return Adopt(generation, request.id, std::move(top));
}

Status NativeBox::Adopt(uint64_t generation, uint64_t id, UniqueFd top) {
  id_ = id;
  generation_ = generation;
  ENVICUTOR_ASSIGN(UniqueFd files, OpenFolder(top.get(), kBoxDir));
  if (files_.valid()) ENVICUTOR_RETURN_IF_ERROR(CopyTree(files_.get(), files.get(), uid_));
  top_ = std::move(top);
  files_ = std::move(files);
  used_ = false;
  return OkStatus();
}

Result<uint64_t> NativeBox::EnsureAttached() {
  ENVICUTOR_ASSIGN(const uint64_t generation, engine_->spawner().EnsureRunning());
  if (generation != generation_) ENVICUTOR_RETURN_IF_ERROR(Attach(generation));
  return generation;
}

Status NativeBox::EmptyUsedScratch() {
  if (!used_) return OkStatus();
  ENVICUTOR_RETURN_IF_ERROR(EmptyScratch(top_.get()));
  used_ = false;
  return OkStatus();
}

int64_t NativeBox::BoxBytes() { return EmptyUsedScratch().ok() ? UsedBytes(top_.get()) : -1; }

Status NativeBox::WriteFile(const api::RunFile& file) {
  return WriteBoxFile(files_.get(), file, uid_);
}

Result<api::OutputFile> NativeBox::ReadFile(const std::string& path, size_t max_bytes) {
  return ReadBoxFile(files_.get(), path, max_bytes);
}

Result<std::unique_ptr<Box>> NativeBox::Clone() {
  ENVICUTOR_ASSIGN(std::unique_ptr<NativeBox> box, Make(engine_, environment_, max_disk_bytes_));
  ENVICUTOR_RETURN_IF_ERROR(CopyTree(files_.get(), box->files_.get(), box->uid_));
  return std::unique_ptr<Box>(std::move(box));
}

StageOutcome NativeBox::Run(const StageSpec& spec, std::stop_token stop) {
  return RunStage(spec, -1, UniqueFd(), stop);
}

StageOutcome NativeBox::Extract(const std::string& archive, const api::Limits& limits,
                                std::stop_token stop) {
  if (engine_->extractor() < 0) {
    return SandboxError("the extractor " + engine_->extractor_path() + " is missing");
  }
  Result<UniqueFd> file = MemoryFile(archive);
  if (!file.ok()) return SandboxError(file.status().ToString());
  StageSpec spec;
  spec.argv = {"envicutor-extract"};
  spec.limits = limits;
  return RunStage(spec, engine_->extractor(), std::move(*file), stop);
}

StageOutcome NativeBox::RunStage(const StageSpec& spec, int program_fd, UniqueFd stdin_file,
                                 const std::stop_token& stop) {
  if (stop.stop_requested()) {
    StageOutcome outcome;
    outcome.killed = StageOutcome::Killed::kCancelled;
    return outcome;
  }
  for (int attempt = 1;; ++attempt) {
    Status failure;
    Result<StageBox> box = Prepare();
    if (box.ok()) {
      used_ = true;
      Stage stage(*box, spec, program_fd, std::move(stdin_file));
      failure = stage.Start();
      if (failure.ok()) {
        // Now the spawner is busy with this stage: the next box is made behind it.
        engine_->spares().Refill(box->generation, SizeOf(max_disk_bytes_));
        return stage.Supervise(stop);
      }
      if (failure.code() == Code::kInvalidArgument) return stage.NotExecutable(failure);
      stdin_file = stage.TakeStdinFile();
    } else {
      failure = box.status();
    }
    if (failure.code() != Code::kUnavailable || attempt == kAttempts)
      return SandboxError(failure.ToString());
  }
}

Result<StageBox> NativeBox::Prepare() {
  ENVICUTOR_ASSIGN(const uint64_t generation, EnsureAttached());
  ENVICUTOR_RETURN_IF_ERROR(EmptyUsedScratch());
  ENVICUTOR_ASSIGN(const uint64_t environment,
                   engine_->PrepareEnvironment(generation, environment_));
  return StageBox{engine_.get(), generation, id_, environment, uid_, top_.get()};
}

}  // namespace envicutor::agent::native
