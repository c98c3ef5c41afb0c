#include "executor-agent/store/nix_command.h"

#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>

namespace envicutor::agent {
namespace {

NixCommand Shell(const std::string& script) {
  NixCommand command;
  command.argv = {"sh", "-c", script};
  command.env = {"PATH=/usr/bin:/bin"};
  command.timeout = std::chrono::seconds(60);
  return command;
}

TEST(RunNix, GivesOutputErrorsAndCode) {
  const NixExit exit = RunNix(Shell("echo out; echo err >&2; exit 3"));
  EXPECT_EQ(exit.output, "out\n");
  EXPECT_EQ(exit.errors, "err\n");
  EXPECT_EQ(exit.code, 3);
  EXPECT_FALSE(exit.ok());
  EXPECT_TRUE(RunNix(Shell("true")).ok());
}

TEST(RunNix, SaysWhatIsNotThere) {
  NixCommand command = Shell("");
  command.argv = {"no-such-program-of-nix"};
  const NixExit exit = RunNix(command);
  EXPECT_EQ(exit.code, 127);
  EXPECT_NE(exit.errors.find("cannot be started"), std::string::npos) << exit.errors;
}

TEST(RunNix, EndsWithItsTimeAndWhateverItStarted) {
  NixCommand command = Shell("sleep 1000 & sleep 1000");
  command.timeout = std::chrono::milliseconds(300);
  const NixExit exit = RunNix(command);
  EXPECT_NE(exit.stopped.find("took longer"), std::string::npos);
  EXPECT_EQ(exit.signal, SIGKILL);
}

TEST(RunNix, EndsWhenThereIsAReason) {
  NixCommand command = Shell("sleep 1000");
  command.stop_reason = [] { return std::string("the disk is full"); };
  EXPECT_EQ(RunNix(command).stopped, "the disk is full");
}

TEST(RunNix, OutputAndFilesAreBounded) {
  NixCommand command = Shell("yes");
  command.max_output_bytes = 100'000;
  EXPECT_EQ(RunNix(command).stopped, "it wrote too much");
  const NixExit flood = RunNix(Shell("yes 0123456789 | head -c 1000000 >&2; echo the end >&2"));
  EXPECT_TRUE(flood.ok());
  EXPECT_LT(flood.errors.size(), 200'000U);
  EXPECT_NE(flood.errors.find("the end"), std::string::npos);
  command = Shell("f=$(mktemp); head -c 100000 /dev/zero > $f; stat -c %s $f; rm $f");
  command.max_file_bytes = 4096;
  EXPECT_EQ(RunNix(command).output, "4096\n");
}

TEST(RunNix, NothingOfOursIsInherited) {
  ::setenv("ENVICUTOR_SECRET", "x", 1);
  EXPECT_EQ(RunNix(Shell("echo \"[$ENVICUTOR_SECRET]\"")).output, "[]\n");
}

TEST(NixErrorOf, TakesWhatSaysMost) {
  EXPECT_EQ(NixErrorOf("these 5 paths will be fetched (5 MiB):\n  /nix/store/x\n"
                       "error: hash mismatch importing path '/nix/store/x';\n"
                       "         specified: a\n         got:       b\n"
                       "error: build of '/nix/store/y' failed\n"),
            "hash mismatch importing path '/nix/store/x'; specified: a got:       b");
  EXPECT_EQ(NixErrorOf("warning: the substitute for 'x' is not signed\n"
                       "error: build of 'x' failed\n"),
            "the substitute for 'x' is not signed");
  EXPECT_EQ(NixErrorOf("don't know how to build these paths:\nerror: build of 'x' failed\n"), "");
  EXPECT_EQ(NixErrorOf(""), "");
  EXPECT_LE(NixErrorOf("error: " + std::string(10'000, 'x') + "\n").size(), 600U);
}

}  // namespace
}  // namespace envicutor::agent
