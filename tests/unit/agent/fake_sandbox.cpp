#include "tests/unit/agent/fake_sandbox.h"

#include <cstdlib>
#include <filesystem>
#include <utility>

namespace envicutor::agent {

FakeBox::FakeBox(FakeSandbox& sandbox, std::map<std::string, api::RunFile> initial)
    : files(std::move(initial)), sandbox_(sandbox) {}

FakeBox::~FakeBox() {
  const std::lock_guard lock(sandbox_.mutex_);
  --sandbox_.boxes_;
}

Status FakeBox::WriteFile(const api::RunFile& file) {
  if (file.content == "too large") return ResourceExhausted("no space left in the box");
  files[file.path] = file;
  return OkStatus();
}

StageOutcome FakeBox::Run(const StageSpec& spec, std::stop_token stop) {
  {
    const std::lock_guard lock(sandbox_.mutex_);
    sandbox_.specs_.push_back(spec);
  }
  return sandbox_.program ? sandbox_.program(*this, spec, stop) : Exit(0);
}

StageOutcome FakeBox::Extract(const std::string&, const api::Limits&, std::stop_token) {
  return sandbox_.extract ? sandbox_.extract(*this) : Exit(0);
}

Result<api::OutputFile> FakeBox::ReadFile(const std::string& path, size_t max_bytes) {
  const auto found = files.find(path);
  if (found == files.end()) return NotFound("there is no such file");
  api::OutputFile file{path, found->second.content, false};
  if (file.content.size() > max_bytes) {
    file.content.resize(max_bytes);
    file.truncated = true;
  }
  return file;
}

int64_t FakeBox::BoxBytes() {
  int64_t bytes = 0;
  for (const auto& [path, file] : files) bytes += static_cast<int64_t>(file.content.size());
  return bytes;
}

Result<std::unique_ptr<Box>> FakeBox::Clone() {
  {
    const std::lock_guard lock(sandbox_.mutex_);
    ++sandbox_.clones_;
  }
  return sandbox_.Make(files);
}

Result<std::unique_ptr<Box>> FakeSandbox::NewBox(const BoxEnvironment&, int64_t max_disk_bytes) {
  {
    const std::lock_guard lock(mutex_);
    last_max_disk_ = max_disk_bytes;
  }
  return Make({});
}

Result<std::unique_ptr<Box>> FakeSandbox::Make(std::map<std::string, api::RunFile> files) {
  const std::lock_guard lock(mutex_);
  if (boxes_ >= max_boxes) return ResourceExhausted("no box is free");
  ++boxes_;
  return std::unique_ptr<Box>(std::make_unique<FakeBox>(*this, std::move(files)));
}

std::vector<StageSpec> FakeSandbox::specs() const {
  const std::lock_guard lock(mutex_);
  return specs_;
}

size_t FakeSandbox::boxes() const {
  const std::lock_guard lock(mutex_);
  return boxes_;
}

size_t FakeSandbox::clones() const {
  const std::lock_guard lock(mutex_);
  return clones_;
}

int64_t FakeSandbox::last_max_disk() const {
  const std::lock_guard lock(mutex_);
  return last_max_disk_;
}

Result<std::shared_ptr<const PreparedEnvironment>> FakeStore::Get(const std::string& hash,
                                                                  const std::string&,
                                                                  std::stop_token) {
  if (hash != kHash) return NotFound("environment " + hash + " is not on this node");
  auto environment = std::make_shared<PreparedEnvironment>();
  environment->box = {"/view", "/nix/store/x-bash/bin/bash", "/nix/store/x-coreutils/bin/env"};
  environment->built.hash = hash;
  environment->built.variables = {{"PATH", "/nix/store/x-coreutils/bin"}, {"HOME", "/homeless"}};
  return std::shared_ptr<const PreparedEnvironment>(std::move(environment));
}

StageOutcome Exit(int code, std::string stdout_data, std::string stderr_data) {
  StageOutcome outcome;
  outcome.exit_code = code;
  outcome.stdout_bytes = static_cast<int64_t>(stdout_data.size());
  outcome.stderr_bytes = static_cast<int64_t>(stderr_data.size());
  outcome.stdout_data = std::move(stdout_data);
  outcome.stderr_data = std::move(stderr_data);
  return outcome;
}

api::Limits WideLimits() {
  api::Limits limits;
  for (size_t i = 0; i < api::kLimitCount; ++i) limits.Set(static_cast<api::Limit>(i), 1 << 20);
  return limits;
}

api::RunRequest SimpleRequest(const std::string& uid, int64_t attempt) {
  api::RunRequest request;
  request.uid = uid;
  request.attempt = attempt;
  request.ns = "default";
  request.name = "hello";
  request.runtime = "bash";
  request.environment_hash = kHash;
  request.files = {{"main", "content", false}};
  request.run.script = "exec main";
  request.run.limits = WideLimits();
  return request;
}

TempDir::TempDir() {
  std::string pattern = (std::filesystem::temp_directory_path() / "agent_test-XXXXXX").string();
  CHECK(::mkdtemp(pattern.data()) != nullptr, "no folder for the test");
  path_ = pattern;
}

TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace envicutor::agent
