#include "tests/conformance/fixture.h"

#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <cstdlib>
#include <filesystem>
#include <iostream>

namespace envicutor::agent {
namespace {

using api::Limit;
namespace fs = std::filesystem;

fs::path OwnFolder() {
  std::array<char, PATH_MAX> path{};
  const ssize_t length = ::readlink("/proc/self/exe", path.data(), path.size() - 1);
  return fs::path(std::string(path.data(), length > 0 ? static_cast<size_t>(length) : 0))
      .parent_path();
}

// Made once a process; removed at its end.
struct Scratch {
  fs::path folder;
  Scratch() {
    std::string made = fs::temp_directory_path() / "envicutor-conformance-XXXXXX";
    if (::mkdtemp(made.data()) == nullptr) std::abort();
    folder = made;
    const fs::path tools = folder / "view" / "tools";
    fs::create_directories(tools);
    fs::permissions(folder, fs::perms(0755));
    fs::copy_file(OwnFolder() / "conformance-probe", tools / "probe");
    fs::copy_file("/bin/busybox", tools / "busybox");
    for (const char* name :
         {"sh",       "env",  "cat",    "ls",       "ln",    "mkdir", "mkfifo", "rm",
          "id",       "stat", "find",   "head",     "dd",    "chmod", "sleep",  "grep",
          "df",       "wc",   "printf", "readlink", "touch", "mount", "ps",     "hostname",
          "truncate", "du",   "true",   "kill",     "sort",  "tr"}) {
      fs::create_symlink("busybox", tools / name);
    }
  }
  ~Scratch() {
    std::error_code ignored;
    fs::remove_all(folder, ignored);
  }
};

const Scratch& TheScratch() {
  static const Scratch scratch;
  return scratch;
}

const char* KilledName(Killed killed) {
  switch (killed) {
    case Killed::kNo:
      return "no";
    case Killed::kCpuTime:
      return "cpuTime";
    case Killed::kWallTime:
      return "wallTime";
    case Killed::kOutput:
      return "output";
    case Killed::kMemory:
      return "memory";
    case Killed::kCancelled:
      return "cancelled";
    case Killed::kSandboxError:
      return "sandbox error";
  }
  return "?";
}

}  // namespace

std::unique_ptr<Sandbox> Conformance::sandbox_;
std::string Conformance::engine_;
std::string Conformance::unavailable_;

Result<std::unique_ptr<Sandbox>> Conformance::MakeSandbox(const std::string& engine,
                                                          const std::string& state_dir) {
  SandboxOptions options;
  options.state_dir = state_dir;
  options.slots = 2;
  options.extractor_binary = OwnFolder() / "envicutor-extract";
  options.allow_degraded = std::getenv("ENVICUTOR_ALLOW_DEGRADED") != nullptr;
  options.pin_cpus = PinCpus::kOn;
  if (const char* isolate = std::getenv("ISOLATE")) options.isolate_binary = isolate;
  return engine == "native" ? NewNativeSandbox(options) : NewIsolateSandbox(options);
}

void Conformance::SetUp() {
  if (engine_ != GetParam()) {
    sandbox_.reset();
    engine_ = GetParam();
    unavailable_.clear();
    if (engine_ == "isolate" && std::getenv("ISOLATE") == nullptr) {
      unavailable_ = "ISOLATE=/path/of/isolate is not set: the isolate engine was not tested";
    } else {
      Result<std::unique_ptr<Sandbox>> made =
          MakeSandbox(engine_, TheScratch().folder / ("state-" + engine_));
      if (made.ok()) {
        sandbox_ = std::move(*made);
      } else {
        unavailable_ = made.status().ToString();
      }
    }
  }
  if (sandbox_ == nullptr) GTEST_SKIP() << unavailable_;
}

void Conformance::TearDownTestSuite() {
  sandbox_.reset();
  engine_.clear();
}

api::Limits Conformance::DefaultLimits() {
  api::Limits limits;
  limits.Set(Limit::kCpuTime, 30'000);  // a test machine on a busy host is slow
  limits.Set(Limit::kExtraTime, 0);
  limits.Set(Limit::kWallTime, 60'000);
  limits.Set(Limit::kMemory, 32 * kMiB);
  limits.Set(Limit::kMaxProcesses, 16);
  limits.Set(Limit::kMaxOpenFiles, 64);
  limits.Set(Limit::kMaxFileSize, 64 * kMiB);
  limits.Set(Limit::kMaxDisk, 64 * kMiB);
  limits.Set(Limit::kStack, 8 * kMiB);
  limits.Set(Limit::kMaxStdout, 64 << 10);
  limits.Set(Limit::kMaxStderr, 64 << 10);
  return limits;
}

BoxEnvironment Conformance::Environment() {
  return {TheScratch().folder / "view", kShell, "/nix/store/tools/env"};
}

std::unique_ptr<Box> Conformance::NewBox(int64_t disk) {
  Result<std::unique_ptr<Box>> box = sandbox_->NewBox(Environment(), disk);
  if (!box.ok()) {
    ADD_FAILURE() << box.status().ToString();
    std::abort();
  }
  return std::move(*box);
}

StageSpec Conformance::Spec(std::vector<std::string> argv) const {
  StageSpec spec;
  spec.argv = std::move(argv);
  spec.env = {"PATH=/nix/store/tools", "HOME=/tmp"};
  spec.stdin_data = input;
  spec.merge_stderr = merge;
  spec.limits = limits;
  return spec;
}

StageOutcome Conformance::ProbeIn(Box& box, std::vector<std::string> args, std::stop_token stop) {
  args.insert(args.begin(), kProbe);
  return box.Run(Spec(std::move(args)), std::move(stop));
}

StageOutcome Conformance::Probe(std::vector<std::string> args) {
  const std::unique_ptr<Box> box = NewBox();
  return ProbeIn(*box, std::move(args));
}

StageOutcome Conformance::ShellIn(Box& box, const std::string& script) {
  return box.Run(Spec({kShell, "-c", script}), {});
}

StageOutcome Conformance::Shell(const std::string& script) {
  const std::unique_ptr<Box> box = NewBox();
  return ShellIn(*box, script);
}

void PrintTo(const StageOutcome& outcome, std::ostream* out) {
  *out << "killed: " << KilledName(outcome.killed) << " " << outcome.killed_limit << ", code "
       << outcome.exit_code << ", signal " << outcome.exit_signal << ", oom " << outcome.oom_killed
       << ", cpu " << outcome.cpu_time_micros << " us, wall " << outcome.wall_time_micros
       << " us, memory " << outcome.memory_bytes << ", error \"" << outcome.error << "\"\nstdout ("
       << outcome.stdout_bytes << "): " << outcome.stdout_data.substr(0, 2000) << "\nstderr ("
       << outcome.stderr_bytes << "): " << outcome.stderr_data.substr(0, 2000) << "\n";
}

namespace {
testing::AssertionResult Check(bool good, const StageOutcome& outcome) {
  if (good) return testing::AssertionSuccess();
  return testing::AssertionFailure() << testing::PrintToString(outcome);
}
}  // namespace

testing::AssertionResult Exited(const StageOutcome& outcome, int code) {
  return Check(
      outcome.killed == Killed::kNo && outcome.exit_signal == 0 && outcome.exit_code == code,
      outcome);
}

testing::AssertionResult Signaled(const StageOutcome& outcome, int signal) {
  return Check(outcome.killed == Killed::kNo && outcome.exit_signal == signal, outcome);
}

testing::AssertionResult KilledBy(const StageOutcome& outcome, Killed why,
                                  const std::string& limit) {
  return Check(outcome.killed == why && outcome.killed_limit == limit, outcome);
}

INSTANTIATE_TEST_SUITE_P(Engines, Conformance, testing::Values("native", "isolate"),
                         [](const auto& engine) { return engine.param; });

}  // namespace envicutor::agent
