#include "executor-agent/sandbox/isolate/isolate_box.h"

#include "executor-agent/sandbox/box_files.h"
#include "executor-agent/sandbox/isolate/stage.h"
#include "executor-agent/sandbox/shared.h"

namespace envicutor::agent::isolate {

Result<std::unique_ptr<IsolateBox>> IsolateBox::Make(std::shared_ptr<Engine> engine,
                                                     BoxEnvironment environment,
                                                     int64_t max_disk_bytes) {
  if (environment.view_dir.find_first_of(":=") != std::string::npos || environment.view_dir.empty())
    return InvalidArgument("isolate cannot bind \"" + environment.view_dir + "\"");
  ENVICUTOR_ASSIGN(const unsigned id, engine->TakeId());
  std::unique_ptr<IsolateBox> box(
      new IsolateBox(std::move(engine), std::move(environment), max_disk_bytes, id));
  ENVICUTOR_RETURN_IF_ERROR(box->engine_->LinkTools(id, box->environment_));
  ENVICUTOR_ASSIGN(box->top_, box->engine_->MountDisk(id, max_disk_bytes));
  box->mounted_ = true;
  ENVICUTOR_ASSIGN(box->files_, OpenFolder(box->top_.get(), "box"));
  return box;
}

IsolateBox::~IsolateBox() {
  files_.reset();
  top_.reset();
  if (mounted_) engine_->UnmountDisk(id_);
  engine_->GiveBackId(id_);
}

Status IsolateBox::WriteFile(const api::RunFile& file) {
  return WriteBoxFile(files_.get(), file, engine_->Uid(id_));
}

Result<api::OutputFile> IsolateBox::ReadFile(const std::string& path, size_t max_bytes) {
  return ReadBoxFile(files_.get(), path, max_bytes);
}

Result<std::unique_ptr<Box>> IsolateBox::Clone() {
  ENVICUTOR_ASSIGN(std::unique_ptr<IsolateBox> box, Make(engine_, environment_, max_disk_bytes_));
  ENVICUTOR_RETURN_IF_ERROR(CopyTree(files_.get(), box->files_.get(), box->engine_->Uid(box->id_)));
  return std::unique_ptr<Box>(std::move(box));
}

Status IsolateBox::EmptyUsedScratch() {
  if (!used_) return OkStatus();
  ENVICUTOR_RETURN_IF_ERROR(EmptyScratch(top_.get()));
  used_ = false;
  return OkStatus();
}

int64_t IsolateBox::BoxBytes() { return EmptyUsedScratch().ok() ? UsedBytes(top_.get()) : -1; }

StageOutcome IsolateBox::Run(const StageSpec& spec, std::stop_token stop) {
  return RunStage(spec, UniqueFd(), false, stop);
}

StageOutcome IsolateBox::Extract(const std::string& archive, const api::Limits& limits,
                                 std::stop_token stop) {
  if (!engine_->has_extractor())
    return SandboxError("the extractor " + engine_->extractor_path() + " is missing");
  Result<UniqueFd> file = MemoryFile(archive);
  if (!file.ok()) return SandboxError(file.status().ToString());
  StageSpec spec;
  spec.argv = {kExtractor};
  spec.limits = limits;
  return RunStage(spec, std::move(*file), true, stop);
}

StageOutcome IsolateBox::RunStage(const StageSpec& spec, UniqueFd stdin_file, bool extract,
                                  const std::stop_token& stop) {
  if (stop.stop_requested()) {
    StageOutcome outcome;
    outcome.killed = StageOutcome::Killed::kCancelled;
    return outcome;
  }
  const Status emptied = EmptyUsedScratch();
  if (!emptied.ok()) return SandboxError(emptied.ToString());
  Result<cgroup::Group> group = engine_->Ready(id_);
  if (!group.ok()) return SandboxError(group.status().ToString());
  used_ = true;
  Stage stage({engine_.get(), id_, top_.get(), environment_.view_dir, extract}, spec,
              std::move(*group), std::move(stdin_file));
  const Status started = stage.Start();
  StageOutcome outcome;
  if (started.ok()) {
    outcome = stage.Supervise(stop);
  } else if (started.code() == Code::kInvalidArgument) {
    outcome = NotExecutable(started);
  } else {
    outcome = SandboxError(started.ToString());
  }
  engine_->Used(id_);
  return outcome;
}

}  // namespace envicutor::agent::isolate
