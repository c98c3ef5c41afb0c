// A program that is started without the shell of its script is started as the shell would.
#include "executor-agent/run/simple_command.h"
#include "tests/conformance/fixture.h"

namespace envicutor::agent {
namespace {

// In the box of a Submission; `script` must be one that is told apart.
class Direct : public Conformance {
 protected:
  StageOutcome Run(Box& box, const std::string& script, const std::vector<std::string>& arguments,
                   bool direct) {
    StageSpec spec = Spec({kShell, "-c", script, "run"});
    spec.argv.insert(spec.argv.end(), arguments.begin(), arguments.end());
    spec.env = {"PATH=/nix/store/nowhere:/nix/store/tools", "PWD=/box"};
    if (direct) {
      spec.direct = SimpleCommand(script, spec.env);
      EXPECT_TRUE(spec.direct) << script;
    }
    return box.Run(spec, {});
  }
};

TEST_P(Direct, ArgumentsArriveAsTheyAre) {
  const auto box = NewBox();
  const StageOutcome all =
      Run(*box, "exec /nix/store/tools/printf %s, a=b \"$@\"", {"c d", "", "\xff\n*"}, true);
  EXPECT_TRUE(Exited(all, 0));
  EXPECT_EQ(all.stdout_data, "a=b,c d,,\xff\n*,");
  const StageOutcome none = Run(*box, "exec printf %s, x", {"c", "d"}, true);
  EXPECT_EQ(none.stdout_data, "x,");
}

// The shell would be seen: it is busybox here, as large as it is.
TEST_P(Direct, NoShellIsStarted) {
  NOT_WITH_ISOLATE("it cannot fall back, so it always starts the shell");
  const auto box = NewBox();
  StageSpec spec = Spec({"/nix/store/tools/nothing", "-c", "exec probe exit 3", "run"});
  spec.env = {"PATH=/nix/store/tools"};
  spec.direct = SimpleCommand(spec.argv[2], spec.env);
  EXPECT_TRUE(Exited(box->Run(spec, {}), 3));
}

TEST_P(Direct, WhatCannotBeExecutedIsTheShellsToSay) {
  const auto box = NewBox();
  ASSERT_TRUE(box->WriteFile({"plain", "echo plain\n", false}).ok());
  ASSERT_TRUE(box->WriteFile({"lines", "echo \"lines $1\"\n", true}).ok());
  ASSERT_TRUE(box->WriteFile({"lost", "#!/no/such/interpreter\n", true}).ok());
  ASSERT_TRUE(box->WriteFile({"folder/file", "", false}).ok());
  for (const char* script :
       {"exec ./missing", "exec ./plain \"$@\"", "exec ./lines \"$@\"", "exec ./folder",
        "exec nothing", "./missing", "exec ./lost", "./plain/x"}) {
    const StageOutcome direct = Run(*box, script, {"x"}, true);
    const StageOutcome shell = Run(*box, script, {"x"}, false);
    EXPECT_EQ(direct.exit_code, shell.exit_code) << script;
    EXPECT_EQ(direct.stdout_data, shell.stdout_data) << script;
    EXPECT_EQ(direct.stderr_data, shell.stderr_data) << script;
  }
  EXPECT_EQ(Run(*box, "exec ./lines \"$@\"", {"x"}, true).stdout_data, "lines x\n");
}

TEST_P(Direct, AFolderOfThatNameInPathIsPassedOver) {
  const auto box = NewBox();
  ASSERT_TRUE(box->WriteFile({"probe/file", "", false}).ok());
  StageSpec spec = Spec({kShell, "-c", "exec probe exit 4", "run"});
  spec.env = {"PATH=/box:/nix/store/tools"};
  spec.direct = SimpleCommand(spec.argv[2], spec.env);
  EXPECT_TRUE(Exited(box->Run(spec, {}), 4));
}

TEST_P(Direct, EndingsAreTheProgramsOwn) {
  const auto box = NewBox();
  EXPECT_TRUE(Exited(Run(*box, "exec probe exit \"$@\"", {"7"}, true), 7));
  EXPECT_TRUE(Signaled(Run(*box, "exec probe signal \"$@\"", {"11"}, true), 11));
}

TEST_P(Direct, AsManyArgumentsAsAnybodyElseMayHave) {
  const auto box = NewBox();
  std::vector<std::string> arguments(4000, std::string(100, 'a'));
  const StageOutcome many = Run(*box, "exec /nix/store/tools/sh -c \"$@\"", {"echo $#"}, true);
  EXPECT_EQ(many.stdout_data, "0\n");
  arguments.insert(arguments.begin(), {"echo $#", "name"});
  EXPECT_EQ(Run(*box, "exec /nix/store/tools/sh -c \"$@\"", arguments, true).stdout_data, "4000\n");
}

INSTANTIATE_TEST_SUITE_P(Engines, Direct, testing::Values("native", "isolate"),
                         [](const auto& engine) { return engine.param; });

}  // namespace
}  // namespace envicutor::agent
