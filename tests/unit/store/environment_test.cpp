// common/api/environment: specs as JSON and their identity.
#include "common/api/environment.h"

#include <gtest/gtest.h>

namespace envicutor::api {
namespace {

EnvironmentSpec Packages(std::vector<std::string> packages) {
  EnvironmentSpec spec;
  spec.packages = std::move(packages);
  return spec;
}

TEST(EnvironmentSpec, ComesBackFromJson) {
  EnvironmentSpec spec;
  spec.shell = "{ pkgs ? import <nixpkgs> {} }: pkgs.mkShell {}";
  spec.nixpkgs_url = "https://example.org/nixpkgs.tar.gz";
  spec.nixpkgs_sha256 = "0000";
  spec.extra_packages = {"python3Packages.numpy"};
  spec.salt = "uid-1";
  spec.build_timeout_millis = 90'000;
  spec.build_memory_bytes = 1LL << 30;
  const auto read = EnvironmentSpecFromJson(EnvironmentSpecToJson(spec), "environment");
  ASSERT_TRUE(read.ok()) << read.status().ToString();
  EXPECT_EQ(read->shell, spec.shell);
  EXPECT_EQ(read->nixpkgs_url, spec.nixpkgs_url);
  EXPECT_EQ(read->nixpkgs_sha256, spec.nixpkgs_sha256);
  EXPECT_EQ(read->extra_packages, spec.extra_packages);
  EXPECT_EQ(read->salt, spec.salt);
  EXPECT_EQ(read->build_timeout_millis, spec.build_timeout_millis);
  EXPECT_EQ(read->build_memory_bytes, spec.build_memory_bytes);
}

TEST(EnvironmentSpec, TakesQuantitiesAsTextOrNumber) {
  const auto read = EnvironmentSpecFromJson(
      {{"packages", {"bash"}}, {"buildTimeout", 90}, {"buildMemory", "1Gi"}}, "environment");
  ASSERT_TRUE(read.ok()) << read.status().ToString();
  EXPECT_EQ(read->build_timeout_millis, 90'000);
  EXPECT_EQ(read->build_memory_bytes, 1LL << 30);
}

TEST(EnvironmentSpec, RefusesWhatIsNotOne) {
  const std::pair<Json, const char*> cases[] = {
      {Json::object(), "exactly one of shell and packages"},
      {{{"shell", "x"}, {"packages", {"bash"}}}, "exactly one of shell and packages"},
      {{{"shell", "  \n"}}, "spec.environment.shell is empty"},
      {{{"shell", std::string("a\0b", 3)}}, "NUL"},
      {{{"shell", std::string(300 << 10, 'x')}}, "more than the maximum"},
      {{{"packages", "bash"}}, "must be a list"},
      {{{"packages", {"bash", "../x"}}}, "spec.environment.packages[1]"},
      {{{"packages", {"a..b"}}}, "packages[0]"},
      {{{"packages", {"${x}"}}}, "packages[0]"},
      {{{"packages", {"x\" + y"}}}, "packages[0]"},
      {{{"packages", {1}}}, "packages[0]"},
      {{{"packages", {"bash"}}, {"extraPackages", {"a b"}}}, "extraPackages[0]"},
      {{{"packages", {"bash"}}, {"nixpkgs", {{"url", "http://x"}, {"sha256", "1"}}}}, "https://"},
      {{{"packages", {"bash"}}, {"nixpkgs", {{"url", "https://x"}}}}, "sha256 is required"},
      {{{"packages", {"bash"}}, {"buildTimeout", "soon"}}, "buildTimeout"},
      {{{"packages", {"bash"}}, {"buildTimeout", "0"}}, "more than 0"},
      {{{"packages", {"bash"}}, {"buildMemory", "12Qi"}}, "buildMemory"},
      {"text", "must be an object"},
  };
  for (const auto& [json, part] : cases) {
    const auto read = EnvironmentSpecFromJson(json, "spec.environment");
    ASSERT_FALSE(read.ok()) << json;
    EXPECT_EQ(read.status().code(), Code::kInvalidArgument);
    EXPECT_NE(read.status().message().find(part), std::string::npos) << read.status().message();
  }
}

TEST(EnvironmentHash, IsOfWhatDecidesTheResult) {
  const EnvironmentSpec spec = Packages({"bash", "python3"});
  const std::string hash = EnvironmentHash(spec, "pin");
  EXPECT_EQ(hash.size(), 32U);
  EXPECT_EQ(hash.find_first_not_of("0123456789abcdef"), std::string::npos);

  EnvironmentSpec patient = spec;
  patient.build_timeout_millis = 1;
  patient.build_memory_bytes = 1;
  EXPECT_EQ(EnvironmentHash(patient, "pin"), hash);
  EXPECT_NE(EnvironmentHash(spec, "another pin"), hash);

  EnvironmentSpec pinned = spec;
  pinned.nixpkgs_url = "https://x";
  pinned.nixpkgs_sha256 = "1";
  EXPECT_EQ(EnvironmentHash(pinned, "pin"), EnvironmentHash(pinned, "another pin"));
  EnvironmentSpec salted = spec;
  salted.salt = "uid";
  EnvironmentSpec extra = Packages({"bash"});
  extra.extra_packages = {"python3"};
  EnvironmentSpec shell;
  shell.shell = "bash";
  for (const EnvironmentSpec& other :
       {Packages({"python3", "bash"}), Packages({"bash", "python", "3"}), Packages({"bashpython3"}),
        pinned, salted, extra, shell}) {
    EXPECT_NE(EnvironmentHash(other, "pin"), hash);
  }
}

TEST(BuiltEnvironment, KeepsAnyBytesOfVariables) {
  BuiltEnvironment built;
  built.hash = std::string(32, 'a');
  built.variables = {{"A", "line\nnext=1"}, {"B", "\xff\xfe"}, {"C", ""}};
  built.closure = {"/nix/store/x"};
  built.closure_size_bytes = 5;
  const auto read = BuiltEnvironmentFromJson(BuiltEnvironmentToJson(built));
  ASSERT_TRUE(read.ok()) << read.status().ToString();
  EXPECT_EQ(read->variables, built.variables);
  EXPECT_EQ(read->closure, built.closure);
  EXPECT_EQ(read->closure_size_bytes, 5);
}

}  // namespace
}  // namespace envicutor::api
