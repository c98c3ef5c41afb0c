// Which scripts are one command whose start needs no shell, and what that command is. That bash
// does the same is asked of bash itself: tests/conformance/direct_test.cpp in boxes, and here for
// the words and variables.
#include "executor-agent/run/simple_command.h"

#include <gtest/gtest.h>

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace envicutor::agent {
namespace {

using Strings = std::vector<std::string>;

const Strings kEnv = {"HOME=/tmp", "LANG=C.UTF-8", "PATH=/a/bin:/b/bin", "PWD=/box", "x.y=1"};

std::optional<DirectStart> With(const Strings& more, std::string_view script = "exec ./main") {
  Strings env = kEnv;
  env.insert(env.end(), more.begin(), more.end());
  return SimpleCommand(script, env);
}

TEST(SimpleCommandTest, ExecOfAFileInTheBox) {
  const auto direct = SimpleCommand("exec ./main \"$@\"", kEnv);
  ASSERT_TRUE(direct);
  EXPECT_EQ(direct->paths, Strings({"/box/main"}));  // as bash passes it to the kernel
  EXPECT_EQ(direct->words, Strings({"./main"}));
  EXPECT_TRUE(direct->with_arguments);
  EXPECT_EQ(direct->env, Strings({"SHLVL=0"}));
}

TEST(SimpleCommandTest, WithoutAllArgumentsTheyAreNotGiven) {
  const auto direct = SimpleCommand("\n  exec  ./main -O2\tA=b --x=/y,z:1@2%3+4 \n\n", kEnv);
  ASSERT_TRUE(direct);
  EXPECT_EQ(direct->words, Strings({"./main", "-O2", "A=b", "--x=/y,z:1@2%3+4"}));
  EXPECT_FALSE(direct->with_arguments);
}

TEST(SimpleCommandTest, ANameIsLookedForInPath) {
  const auto direct = SimpleCommand("exec python3 main.py \"$@\"", kEnv);
  ASSERT_TRUE(direct);
  EXPECT_EQ(direct->paths, Strings({"/a/bin/python3", "/b/bin/python3"}));
  EXPECT_EQ(direct->words, Strings({"python3", "main.py"}));
}

TEST(SimpleCommandTest, PathsAreWhatBashMakesOfThem) {
  EXPECT_EQ(SimpleCommand("exec bin/main", kEnv)->paths, Strings({"/box/bin/main"}));
  EXPECT_EQ(SimpleCommand("exec /usr/bin/env", kEnv)->paths, Strings({"/usr/bin/env"}));
  EXPECT_EQ(SimpleCommand("./main", kEnv)->paths, Strings({"./main"}));
  EXPECT_EQ(SimpleCommand("exec x", {"PATH=/a/:/b"})->paths, Strings({"/a/x", "/b/x"}));
  EXPECT_EQ(SimpleCommand("exec x", {"PATH=/"})->paths, Strings({"/x"}));
  EXPECT_FALSE(SimpleCommand("exec x", {"PATH=/a//"}));
}

TEST(SimpleCommandTest, WithoutExecOnlyPathsAreSurelyNoBuiltin) {
  const auto direct = SimpleCommand("bin/main \"$@\"", kEnv);
  ASSERT_TRUE(direct);
  EXPECT_EQ(direct->paths, Strings({"bin/main"}));
  EXPECT_EQ(direct->env, Strings({"SHLVL=0", "_=bin/main"}));
  EXPECT_FALSE(SimpleCommand("true", kEnv));
  EXPECT_FALSE(SimpleCommand("python3 main.py", kEnv));
}

TEST(SimpleCommandTest, WhateverElseAShellKnowsIsLeftToIt) {
  for (const char* script : {"",
                             " \n",
                             "exec",
                             "exec \"$@\"",
                             "exec -a name ./main",
                             "exec ./main; true",
                             "exec ./main\nfalse",
                             "exec ./main $1",
                             "exec ./main \"$@\" x",
                             "exec ./main $@",
                             "exec ./main '$@'",
                             "exec ./main &",
                             "exec ./main <in",
                             "exec ./main 2>&1",
                             "exec ./main|cat",
                             "exec ./ma*n",
                             "exec ./ma?n",
                             "exec ./[m]ain",
                             "exec ./{a,b}",
                             "exec ~/main",
                             "exec ./main a=~",
                             "exec ./main \\\n",
                             "exec ./main #x",
                             "exec ./main !x",
                             "exec ./main `x`",
                             "exec 'a b'/main",
                             "A=b ./main",
                             "A=./main",
                             "exec A=b/c",
                             "! ./main",
                             "( ./main )",
                             "./main\r",
                             "exec ./m\xc3\xa4in",
                             "-x/y",
                             "+x/y",
                             "%/x",
                             "time ./main",
                             "set -e; exec ./main",
                             "exec ./main $((1))",
                             "exec .//main",
                             "exec ././main",
                             "exec ../main",
                             "exec ./../main"}) {
    EXPECT_FALSE(SimpleCommand(script, kEnv)) << script;
  }
  EXPECT_FALSE(SimpleCommand(std::string("exec ./ma\0in", 12), kEnv));
}

TEST(SimpleCommandTest, VariablesThatBashActsUponAreLeftToIt) {
  ASSERT_TRUE(With({}));
  for (const char* variable :
       {"BASH_ENV=x", "BASH_FUNC_exec%%=() { :; }", "SHELLOPTS=xtrace", "BASHOPTS=", "LANG=xx_YY",
        "LC_ALL=de_DE.UTF-8", "SHLVL=3", "_=x", "OLDPWD=/tmp",
        "IFS=:", "POSIXLY_CORRECT=", "RANDOM=1", "UID=0", "EXECIGNORE=*", "PS1=$", "PS2=>", "PS4=+",
        "SSH_CLIENT=1 2 3", "without"}) {
    EXPECT_FALSE(With({variable})) << variable;
  }
  for (const char* variable : {"LC_ALL=C", "PS3=x", "TERM=vt100", "TZ=UTC", "A="}) {
    EXPECT_TRUE(With({variable})) << variable;
  }
}

TEST(SimpleCommandTest, APathThatDependsOnWhereOneStandsIsLeftToTheShell) {
  for (const char* path :
       {"PATH=", "PATH=/a::/b", "PATH=/a:", "PATH=:/a", "PATH=bin", "PATH=/a:.", "NOPATH=/a"}) {
    EXPECT_FALSE(SimpleCommand("exec main", {path})) << path;
  }
  EXPECT_TRUE(SimpleCommand("exec main", {"PATH=/a"}));
}

TEST(SimpleCommandTest, WordsAndPathsAreBounded) {
  std::string script = "exec ./main";
  for (int i = 0; i < 62; ++i) script += " x";
  EXPECT_TRUE(SimpleCommand(script, kEnv));
  EXPECT_FALSE(SimpleCommand(script + " x", kEnv));
  std::string path = "PATH=/a";
  for (int i = 0; i < 63; ++i) path += ":/a";
  EXPECT_TRUE(SimpleCommand("exec main", {path}));
  EXPECT_FALSE(SimpleCommand("exec main", {path + ":/a"}));
}

// What bash of this machine prints to its stdout.
std::string BashPrints(const std::string& folder, const Strings& env, const std::string& script) {
  std::string command = "cd " + folder + " && env -i";
  for (const std::string& variable : env) command += " '" + variable + "'";
  command += " /bin/bash -c '" + script + "'";
  FILE* const bash = ::popen(command.c_str(), "r");
  if (bash == nullptr) return "no bash";
  std::array<char, 4096> text{};
  const size_t size = ::fread(text.data(), 1, text.size(), bash);
  EXPECT_EQ(::pclose(bash), 0) << script;
  return std::string(text.data(), size);
}

TEST(SimpleCommandTest, BashGivesTheSameVariables) {
  for (const char* script : {"exec /usr/bin/env", "/usr/bin/env", "exec env"}) {
    const Strings env = {"HOME=/tmp", "LANG=C.UTF-8", "PATH=/nowhere:/usr/bin", "PWD=/", "x.y=1"};
    const auto direct = SimpleCommand(script, env);
    ASSERT_TRUE(direct);
    std::istringstream printed(BashPrints("/", env, script));
    Strings lines;
    for (std::string line; std::getline(printed, line);) lines.push_back(line);
    std::sort(lines.begin(), lines.end());
    Strings expected = env;
    expected.insert(expected.end(), direct->env.begin(), direct->env.end());
    std::sort(expected.begin(), expected.end());
    EXPECT_EQ(lines, expected) << script;
  }
}

// A script with an interpreter finds in $0 what was executed.
TEST(SimpleCommandTest, BashExecutesTheSamePath) {
  std::string box = testing::TempDir() + "simple-command-XXXXXX";
  ASSERT_NE(::mkdtemp(box.data()), nullptr);
  std::filesystem::create_directory(box + "/bin");
  for (const char* name : {"/name", "/bin/name"}) {
    std::ofstream(box + name) << "#!/bin/sh\necho \"$0\"\n";
    ASSERT_EQ(::chmod((box + name).c_str(), 0755), 0);
  }
  const Strings env = {"PATH=" + box + "/bin/"};
  for (const char* script :
       {"exec ./name", "exec bin/name", "exec ./bin/name", "exec name", "./name", "bin/name"}) {
    const auto direct = SimpleCommand(script, env);
    ASSERT_TRUE(direct) << script;
    std::string path = direct->paths.front();
    if (path.starts_with("/box/")) path.replace(0, 4, box);
    EXPECT_EQ(BashPrints(box, env, script), path + '\n') << script;
  }
  std::filesystem::remove_all(box);
}

}  // namespace
}  // namespace envicutor::agent
