#include <gtest/gtest.h>

#include "executor-agent/sandbox/isolate/meta.h"

namespace envicutor::agent::isolate {
namespace {

TEST(IsolateMeta, ReadsAnOrdinaryEnd) {
  const auto meta = ParseMeta(
      "time:0.004\ntime-wall:1.013\nmax-rss:1200\ncsw-voluntary:3\ncsw-forced:1\ncg-mem:456\n"
      "exitcode:0\n");
  ASSERT_TRUE(meta.ok()) << meta.status().ToString();
  EXPECT_EQ(meta->exit_code, 0);
  EXPECT_FALSE(meta->exit_signal.has_value());
  EXPECT_EQ(meta->cpu_micros, 4000);
  EXPECT_EQ(meta->wall_micros, 1'013'000);
  EXPECT_EQ(meta->memory_bytes, 456 << 10);
  EXPECT_FALSE(meta->oom_killed);
  EXPECT_EQ(meta->others.size(), 3U);
  EXPECT_EQ(meta->others[0].second, "1200");
}

TEST(IsolateMeta, SplitsAtTheFirstColonOnly) {
  const auto meta = ParseMeta("status:XX\nmessage:Cannot open /a:b: No such file\n");
  ASSERT_TRUE(meta.ok());
  EXPECT_EQ(meta->status, "XX");
  EXPECT_EQ(meta->message, "Cannot open /a:b: No such file");
}

TEST(IsolateMeta, KnowsKillsAndTimeOuts) {
  const auto meta = ParseMeta(
      "cg-oom-killed:1\nstatus:TO\nmessage:Time limit exceeded (wall clock)\nkilled:1\n"
      "message:later\n");
  ASSERT_TRUE(meta.ok());
  EXPECT_TRUE(meta->killed);
  EXPECT_TRUE(meta->oom_killed);
  EXPECT_TRUE(meta->wall_time_over());
  EXPECT_FALSE(meta->exit_code.has_value());
  EXPECT_FALSE(ParseMeta("status:TO\nmessage:Time limit exceeded\n")->wall_time_over());
}

TEST(IsolateMeta, AFileThatIsCutShortOrEmptyIsStillRead) {
  EXPECT_TRUE(ParseMeta("").ok());
  EXPECT_EQ(ParseMeta("exitsig:11")->exit_signal, 11);
}

TEST(IsolateMeta, RefusesWhatIsNoMetaFile) {
  for (const std::string_view text :
       {std::string_view("exitcode\n"), std::string_view(":1\n"),
        std::string_view("exitcode:256\n"), std::string_view("exitcode:-1\n"),
        std::string_view("exitsig:x\n"), std::string_view("killed:2\n"),
        std::string_view("time:1.\n"), std::string_view("time:-1\n"),
        std::string_view("time:1.1234567\n"), std::string_view("time:99999999999999999999\n"),
        std::string_view("cg-mem:9223372036854775807\n"), std::string_view("a:\0b\n", 5)}) {
    EXPECT_EQ(ParseMeta(text).status().code(), Code::kInvalidArgument) << text;
  }
  EXPECT_FALSE(ParseMeta(std::string(kMaxMetaBytes + 1, '\n')).ok());
}

TEST(IsolateMeta, ComparesVersions) {
  EXPECT_TRUE(VersionAtLeast("The process isolator 2.6\n(c) 2012\n", 2, 6));
  EXPECT_TRUE(VersionAtLeast("The process isolator 2.10", 2, 6));
  EXPECT_TRUE(VersionAtLeast("The process isolator 3.0", 2, 6));
  EXPECT_FALSE(VersionAtLeast("The process isolator 2.5\n", 2, 6));
  EXPECT_FALSE(VersionAtLeast("The process isolator 2", 2, 6));
  EXPECT_FALSE(VersionAtLeast("isolate 2.6", 2, 6));
  EXPECT_FALSE(VersionAtLeast("", 2, 6));
}

}  // namespace
}  // namespace envicutor::agent::isolate
