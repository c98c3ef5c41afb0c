// The conformance suite: one set of tests that every sandbox engine must pass. Needs root and
// cgroup v2 with memory and pids (tests/node/run makes such a machine); elsewhere its tests are
// skipped and say why.
//
// Programs in boxes come from an environment that the fixture makes: a static busybox and the probe
// (programs/), so that no Nix is needed.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "executor-agent/sandbox/sandbox.h"

namespace envicutor::agent {

inline constexpr char kProbe[] = "/nix/store/tools/probe";
inline constexpr char kShell[] = "/nix/store/tools/sh";
inline constexpr int64_t kMiB = 1 << 20;

// Degraded, who is killed for memory and what is measured is approximate: see the test of that.
#define NEEDS_MEMORY_CONTROLLER() \
  if (sandbox().Info().degraded) GTEST_SKIP() << "there is no memory controller"

// What isolate, being a program of others with a filter and limits of its own, does in another way.
#define NOT_WITH_ISOLATE(reason) \
  if (GetParam() == "isolate") GTEST_SKIP() << "isolate: " << (reason)

using Killed = StageOutcome::Killed;

class Conformance : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override;
  static void TearDownTestSuite();

  [[nodiscard]] static api::Limits DefaultLimits();
  [[nodiscard]] static BoxEnvironment Environment();
  [[nodiscard]] Sandbox& sandbox() { return *sandbox_; }
  [[nodiscard]] std::unique_ptr<Box> NewBox(int64_t disk = 64 * kMiB);

  // `probe ARGS...` in a fresh box; `limits` and `input` as they are then.
  [[nodiscard]] StageOutcome Probe(std::vector<std::string> args);
  [[nodiscard]] StageOutcome ProbeIn(Box& box, std::vector<std::string> args,
                                     std::stop_token stop = {});
  [[nodiscard]] StageOutcome Shell(const std::string& script);
  [[nodiscard]] StageOutcome ShellIn(Box& box, const std::string& script);
  [[nodiscard]] StageSpec Spec(std::vector<std::string> argv) const;
  void Limit(api::Limit limit, int64_t value) { limits.Set(limit, value); }

  // Starts a sandbox like the shared one, with a state folder of its own.
  [[nodiscard]] static Result<std::unique_ptr<Sandbox>> MakeSandbox(const std::string& engine,
                                                                    const std::string& state_dir);

  api::Limits limits = DefaultLimits();
  std::string input;
  bool merge = false;

 private:
  static std::unique_ptr<Sandbox> sandbox_;
  static std::string engine_;
  static std::string unavailable_;
};

// What a StageOutcome says, for a failing test's reader.
void PrintTo(const StageOutcome& outcome, std::ostream* out);

// Exited by itself with this code.
[[nodiscard]] testing::AssertionResult Exited(const StageOutcome& outcome, int code);
[[nodiscard]] testing::AssertionResult Signaled(const StageOutcome& outcome, int signal);
[[nodiscard]] testing::AssertionResult KilledBy(const StageOutcome& outcome, Killed why,
                                                const std::string& limit);

}  // namespace envicutor::agent
