// The parts of the builder that need no Nix.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "common/base/encoding.h"
#include "executor-agent/builder/expression.h"
#include "executor-agent/builder/log_tail.h"
#include "executor-agent/builder/report.h"
#include "executor-agent/builder/request.h"
#include "executor-agent/store/captured.h"
#include "executor-agent/store/view.h"

namespace envicutor::agent {
namespace {

const std::string kBash = "/nix/store/11wz730xcah4kx0pj7smyd7z8pdx85k1-bash-5.2";
const std::string kEnvironment = "/nix/store/8nsd5xf92s1b2dyi44nzig65ay0s37zg-environment";

TEST(TerminationMessage, FitsWhateverIsInIt) {
  BuildReport report;
  report.outcome = BuildOutcome::kBuildFailed;
  for (const std::string& text :
       {std::string(100'000, 'x'), std::string(100'000, '"'), std::string(100'000, '\x01'),
        std::string(100'000, '\xff'), std::string("short")}) {
    report.message = text;
    report.stage.emplace();
    report.stage->stderr_data = text;
    const std::string message = TerminationMessage(report);
    EXPECT_LE(message.size(), kMaxTerminationMessageBytes);
    const auto json = ParseJson(message);
    ASSERT_TRUE(json.ok());
    EXPECT_EQ(GetString(*json, "outcome"), "BuildFailed");
    EXPECT_FALSE(GetString(*json, "message").empty());
    EXPECT_EQ(GetBool(At(*json, {"stage"}), "stderrTruncated"), text.size() > 5);
  }
}

TEST(TerminationMessage, KeepsTheEndOfTheLogByLines) {
  BuildReport report;
  report.stage.emplace();
  for (int i = 0; i < 1000; ++i) report.stage->stderr_data += "line " + std::to_string(i) + "\n";
  const auto json = ParseJson(TerminationMessage(report));
  const std::string log = GetString(At(*json, {"stage"}), "stderr");
  EXPECT_EQ(log.rfind("line 999\n"), log.size() - 9);
  EXPECT_EQ(log.rfind("line ", 0), 0U);
}

TEST(TerminationMessage, NamesTheEnvironmentWhenBuilt) {
  BuildReport report;
  report.outcome = BuildOutcome::kBuilt;
  report.environment.hash = "h";
  report.environment.store_path = kEnvironment;
  report.environment.closure = {kBash, kEnvironment};
  report.closure_paths = 2;
  report.environment.closure_size_bytes = 7;
  const auto json = ParseJson(TerminationMessage(report));
  EXPECT_EQ(GetString(At(*json, {"environment"}), "storePath"), kEnvironment);
  EXPECT_EQ(GetInt(At(*json, {"environment"}), "closurePaths"), 2);
  EXPECT_EQ(GetInt(At(*json, {"environment"}), "closureSizeBytes"), 7);
}

TEST(UsefulError, IsTheLastErrorWithoutOurFoldersAndHints) {
  EXPECT_EQ(UsefulError("building x\nerror: syntax error, unexpected end of file\n\n"
                        "       at /mnt/request/shell.nix:1:5:\n(use '--show-trace' to show "
                        "detailed location information)\n"),
            "syntax error, unexpected end of file\n       at shell.nix:1:5:");
  EXPECT_EQ(UsefulError("error: builder for 'a.drv' failed with exit code 1\n"
                        "error: 1 dependencies of derivation 'b.drv' failed to build\n"),
            "builder for 'a.drv' failed with exit code 1");
  EXPECT_EQ(UsefulError("all is well\n"), "");
  EXPECT_EQ(UsefulError(""), "");
}

TEST(ParseVariables, TakesAnyValueAndDropsWhatIsNoVariable) {
  std::string bytes;
  for (const char* entry : {"A=1", "B=x=y\nz", "BASH_FUNC_f%%=() { :; }", "_=/bin/env", "C="}) {
    bytes += entry;
    bytes += '\0';
  }
  const auto read = ParseVariables(bytes);
  ASSERT_TRUE(read.ok()) << read.status().ToString();
  EXPECT_EQ(*read, (std::map<std::string, std::string>{{"A", "1"}, {"B", "x=y\nz"}, {"C", ""}}));
  EXPECT_FALSE(ParseVariables("A=1").ok());
  EXPECT_FALSE(ParseVariables(std::string("A\0", 2)).ok());
  EXPECT_FALSE(ParseVariables("A=" + std::string(200'000, 'x') + std::string(1, '\0')).ok());
}

TEST(BuildRequest, NeedsAHashAndAnEnvironment) {
  const std::string hash(32, 'a');
  EXPECT_TRUE(
      ParseBuildRequest(R"({"hash":")" + hash + R"(","environment":{"packages":["bash"]}})").ok());
  EXPECT_FALSE(ParseBuildRequest(R"({"hash":"../x","environment":{"packages":["bash"]}})").ok());
  EXPECT_FALSE(ParseBuildRequest(R"({"hash":")" + hash + R"("})").ok());
  EXPECT_FALSE(ParseBuildRequest("nonsense").ok());
  BuildRequest request{hash, {}};
  request.environment.packages = {"x"};
  EXPECT_EQ(ParseBuildRequest(BuildRequestToJson(request))->environment.packages,
            request.environment.packages);
}

TEST(Expression, HoldsUserTextOnlyAsData) {
  api::EnvironmentSpec spec;
  spec.shell = "evil";
  const auto files = ExpressionFiles(spec);
  EXPECT_EQ(files.at("shell.nix"), "evil");
  EXPECT_EQ(files.at("default.nix").find("evil"), std::string::npos);
  api::EnvironmentSpec packages;
  packages.packages = {"bash"};
  EXPECT_EQ(ExpressionFiles(packages).count("shell.nix"), 0U);
  EXPECT_EQ(ExpressionFiles(packages).at("default.nix"), files.at("default.nix"));
}

TEST(LogTail, KeepsTheEndAndCountsAll) {
  LogTail log(-1, 10);
  log.Append("0123456789");
  log.Append("abc");
  EXPECT_EQ(log.Kept(), "3456789abc");
  EXPECT_EQ(log.total_bytes(), 13);
  EXPECT_TRUE(log.truncated());
}

TEST(LogTail, LeavesOutNixsOwnNoiseAcrossReads) {
  LogTail log(-1, 1000);
  log.AppendLines("accepted connec");
  log.AppendLines("tion from pid 3, user x\nbuil");
  log.AppendLines("ding\nlast");
  EXPECT_EQ(log.Kept(), "building\n");
  log.Flush();
  EXPECT_EQ(log.Kept(), "building\nlast");
}

class StoreFiles : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "/builder-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
    layout_ = std::make_unique<StoreLayout>(root_);
    Write(kBash + "/bin/bash", "program", 0555);
    std::filesystem::create_symlink("bash", layout_->RealPath(kBash + "/bin/sh"));
    Write(kEnvironment + "/variables", std::string("A=1\0", 4));
    Write(kEnvironment + "/shell", kBash + "/bin/bash");
    Write(kEnvironment + "/env", kBash + "/bin/sh");
  }
  void TearDown() override { EXPECT_TRUE(RemoveTree(root_).ok()); }

  void Write(const std::string& path, const std::string& content, mode_t mode = 0444) const {
    const std::string real = layout_->RealPath(path);
    std::filesystem::create_directories(std::filesystem::path(real).parent_path());
    std::filesystem::remove(real);
    std::ofstream(real) << content;
    ::chmod(real.c_str(), mode);
  }

  std::string root_;
  std::unique_ptr<StoreLayout> layout_;
};

TEST_F(StoreFiles, ReadsWhatTheScriptWrote) {
  const auto captured = ReadCaptured(*layout_, kEnvironment);
  ASSERT_TRUE(captured.ok()) << captured.status().ToString();
  EXPECT_EQ(captured->variables.at("A"), "1");
  EXPECT_EQ(captured->shell, kBash + "/bin/bash");
  EXPECT_EQ(captured->env_binary, kBash + "/bin/sh");
}

TEST_F(StoreFiles, FollowsNoLinkOutOfTheStore) {
  const std::string variables = layout_->RealPath(kEnvironment + "/variables");
  std::filesystem::remove(variables);
  std::filesystem::create_symlink("/etc/passwd", variables);
  EXPECT_EQ(ReadCaptured(*layout_, kEnvironment).status().code(), Code::kInvalidArgument);
  std::filesystem::remove(variables);
  ASSERT_EQ(::mkfifo(variables.c_str(), 0600), 0);
  EXPECT_EQ(ReadCaptured(*layout_, kEnvironment).status().code(), Code::kInvalidArgument);
}

TEST_F(StoreFiles, RefusesAShellThatIsNoProgramOfTheStore) {
  for (const std::string& path :
       {std::string("/bin/sh"), kBash + "/bin/../../../../../bin/sh", kBash + "/bin",
        kBash + "/bin/none", kEnvironment + "/shell", std::string()}) {
    Write(kEnvironment + "/shell", path);
    EXPECT_EQ(ReadCaptured(*layout_, kEnvironment).status().code(), Code::kInvalidArgument) << path;
  }
  std::filesystem::create_symlink("/bin/sh", layout_->RealPath(kBash + "/bin/out"));
  EXPECT_FALSE(IsProgram(*layout_, kBash + "/bin/out"));
}

TEST_F(StoreFiles, TheViewHasTheClosureOnlyAsHardLinks) {
  const std::string other = "/nix/store/00000000000000000000000000000000-other";
  Write(other + "/secret", "x");
  const std::string hash(32, 'a');
  ASSERT_TRUE(MakeView(*layout_, hash, {kBash, kEnvironment}).ok());
  // A second time: what was there is replaced.
  ASSERT_TRUE(MakeView(*layout_, hash, {kBash, kEnvironment}).ok());
  const std::string view = layout_->ViewDir(hash);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(view), {}), 2);
  const std::string bash = view + kBash.substr(kStorePrefix.size() - 1) + "/bin/bash";
  EXPECT_EQ(std::filesystem::hard_link_count(bash), 2U);
  EXPECT_TRUE(
      std::filesystem::is_symlink(view + kBash.substr(kStorePrefix.size() - 1) + "/bin/sh"));
  struct stat info {};
  ASSERT_EQ(::stat(view.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0555U);
  ASSERT_TRUE(RemoveTree(view).ok());
  EXPECT_TRUE(std::filesystem::exists(layout_->RealPath(kBash + "/bin/bash")));
  EXPECT_TRUE(RemoveTree(view).ok()) << "removing what is not there is fine";
}

TEST_F(StoreFiles, AViewOfWhatIsNotThereFails) {
  EXPECT_FALSE(MakeView(*layout_, std::string(32, 'b'), {kBash + "x"}).ok());
  EXPECT_FALSE(std::filesystem::exists(layout_->ViewDir(std::string(32, 'b'))));
  EXPECT_FALSE(MakeView(*layout_, std::string(32, 'b'), {"/nix/store/../../etc"}).ok());
}

TEST_F(StoreFiles, RemovingFollowsNoLinks) {
  const std::string kept = root_ + "/kept";
  std::filesystem::create_directories(kept + "/folder");
  const std::string victim = root_ + "/victim";
  std::filesystem::create_directories(victim + "/deep");
  std::filesystem::create_directory_symlink(kept, victim + "/deep/link");
  ASSERT_TRUE(RemoveTree(victim).ok());
  EXPECT_TRUE(std::filesystem::exists(kept + "/folder"));
}

}  // namespace
}  // namespace envicutor::agent
