// A sandbox without processes for the tests of what is above it: a box is a map of files, a stage
// is a function of the test's.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "executor-agent/sandbox/sandbox.h"
#include "executor-agent/store/environment_store.h"

namespace envicutor::agent {

class FakeSandbox;

class FakeBox final : public Box {
 public:
  FakeBox(FakeSandbox& sandbox, std::map<std::string, api::RunFile> files);
  ~FakeBox() override;
  Status WriteFile(const api::RunFile& file) override;
  StageOutcome Run(const StageSpec& spec, std::stop_token stop) override;
  StageOutcome Extract(const std::string& archive, const api::Limits& limits,
                       std::stop_token stop) override;
  Result<api::OutputFile> ReadFile(const std::string& path, size_t max_bytes) override;
  int64_t BoxBytes() override;
  Result<std::unique_ptr<Box>> Clone() override;

  std::map<std::string, api::RunFile> files;

 private:
  FakeSandbox& sandbox_;
};

class FakeSandbox final : public Sandbox {
 public:
  // argv[3] is "compile" or "run".
  using Program =
      std::function<StageOutcome(FakeBox& box, const StageSpec& spec, const std::stop_token& stop)>;

  [[nodiscard]] SandboxInfo Info() const override { return {"fake", false, "for tests"}; }
  Result<std::unique_ptr<Box>> NewBox(const BoxEnvironment& environment,
                                      int64_t max_disk_bytes) override;

  // Set before use. The default exits 0.
  Program program;
  std::function<StageOutcome(FakeBox& box)> extract;
  size_t max_boxes = 1000;  // more: ResourceExhausted

  // What was seen so far.
  [[nodiscard]] std::vector<StageSpec> specs() const;
  [[nodiscard]] size_t boxes() const;  // that live now
  [[nodiscard]] size_t clones() const;
  [[nodiscard]] int64_t last_max_disk() const;

 private:
  friend class FakeBox;
  Result<std::unique_ptr<Box>> Make(std::map<std::string, api::RunFile> files);

  mutable std::mutex mutex_;
  std::vector<StageSpec> specs_;
  size_t boxes_ = 0;
  size_t clones_ = 0;
  int64_t last_max_disk_ = 0;
};

class FakeStore final : public EnvironmentStore {
 public:
  Result<std::shared_ptr<const PreparedEnvironment>> Get(const std::string& hash,
                                                         const std::string&,
                                                         std::stop_token) override;
};

inline constexpr const char* kHash = "0123456789abcdef0123456789abcdef";

// An exit of a well-behaved program.
[[nodiscard]] StageOutcome Exit(int code, std::string stdout_data = "",
                                std::string stderr_data = "");
// Resolved limits that nothing in these tests comes near.
[[nodiscard]] api::Limits WideLimits();
// A request with one file, that runs "exec main".
[[nodiscard]] api::RunRequest SimpleRequest(const std::string& uid = "uid-1", int64_t attempt = 1);

// A folder that is removed with everything in it at the end.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace envicutor::agent
