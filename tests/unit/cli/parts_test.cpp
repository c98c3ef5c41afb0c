// Small parts of the program: flags, plans, records, YAML, how a run ends.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "operator/options.h"
#include "standalone/cli/command.h"
#include "standalone/cli/crds.h"
#include "standalone/cli/data_dir.h"
#include "standalone/cli/flags.h"
#include "standalone/cli/submission.h"
#include "standalone/cli/up_options.h"

namespace envicutor::standalone {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(FlagsTest, TakesEveryFormAndWhatFollowsTheDashes) {
  std::string text;
  int64_t number = 0;
  bool on = false;
  std::vector<std::string> list;
  Flags flags("x", "y");
  flags.String("text", &text, "T", "", 't');
  flags.Int("number", &number, "");
  flags.Bool("on", &on, "");
  flags.List("item", &list, "I", "");
  ASSERT_TRUE(flags
                  .Parse({"file", "-t", "a", "--number=7", "--on", "--item", "1", "--item=2", "--",
                          "--on", "z"})
                  .ok());
  EXPECT_EQ(text, "a");
  EXPECT_EQ(number, 7);
  EXPECT_TRUE(on);
  EXPECT_THAT(list, ElementsAre("1", "2"));
  EXPECT_THAT(flags.positional(), ElementsAre("file"));
  EXPECT_THAT(flags.rest(), ElementsAre("--on", "z"));
}

TEST(FlagsTest, NamesTheMistake) {
  int64_t number = 0;
  Flags flags("x", "y");
  flags.Int("number", &number, "");
  EXPECT_THAT(flags.Parse({"--nmber", "1"}).message(), HasSubstr("--nmber"));
  EXPECT_THAT(flags.Parse({"--number", "one"}).message(), HasSubstr("\"one\" is not a number"));
  EXPECT_THAT(flags.Parse({"--number"}).message(), HasSubstr("needs a value"));
}

TEST(FlagsTest, SaysWhatWasMeant) {
  std::string text;
  Flags flags("run FILE [flags]", "y");
  flags.String("namespace", &text, "NS", "", 'n');
  flags.String("runtime", &text, "NAME", "");
  EXPECT_THAT(flags.Parse({"--runtme", "x"}).message(), HasSubstr("did you mean --runtime?"));
  EXPECT_EQ(flags.Parse({"--entirely-else"}).message(), "unknown flag: --entirely-else");
  EXPECT_EQ(flags.Parse({std::string(100'000, '-')}).message(),
            "unknown flag: " + std::string(100'000, '-'));
  EXPECT_EQ(Nearest("stauts", {"up", "down", "status"}), "status");
  EXPECT_EQ(Nearest("", {"up"}), "");
  flags.Examples({"envicutor run x.py"});
  EXPECT_THAT(flags.Help(), HasSubstr("Examples:\n  envicutor run x.py\n"));
  EXPECT_EQ(flags.command(), "run");
}

TEST(UpOptionsTest, MachinesHaveOneSlotEachAndFitTheMemory) {
  UpOptions options;
  UpPlan plan;
  plan.mode.mode = NodeMode::kUml;
  PlanExecutors(options, 4, 16LL << 30, &plan);
  EXPECT_EQ(plan.executors, 4);
  EXPECT_EQ(plan.slots_per_executor, 1);
  EXPECT_EQ(plan.executor_memory_bytes, 3LL << 30);
  PlanExecutors(options, 4, 8LL << 30, &plan);
  EXPECT_LE(plan.executor_memory_bytes * 4, 6LL << 30);
  plan.mode.mode = NodeMode::kHost;
  options.slots = 3;
  PlanExecutors(options, 4, 64LL << 30, &plan);
  EXPECT_EQ(plan.executors, 1);
  EXPECT_EQ(plan.slots_per_executor, 3);
}

TEST(UpOptionsTest, TheOperatorTakesTheConfigurationItIsGiven) {
  UpPlan plan;
  plan.sandbox = "native";
  plan.probes_address = "127.0.0.1:8081";
  plan.metrics_address = "127.0.0.1:9464";
  plan.nixpkgs = "/var/lib/envicutor/store/nixpkgs/abc";
  const auto options = op::ParseOptions(OperatorYaml(plan, "/data", true));
  ASSERT_TRUE(options.ok()) << options.status().message();
  EXPECT_EQ(options->executor_tls.ca_file, "/data/pki/executor-ca.crt");
  EXPECT_EQ(options->builder.nixpkgs, plan.nixpkgs);
  EXPECT_TRUE(options->executor.allow_degraded);
  EXPECT_FALSE(options->leader_election.enabled);
  EXPECT_EQ(options->cache.url, "");
  plan.cache_public_key = "local-1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
  const auto cached = op::ParseOptions(OperatorYaml(plan, "/data", true));
  ASSERT_TRUE(cached.ok()) << cached.status().message();
  EXPECT_EQ(cached->cache.url, "file:///data/cache");
}

TEST(UpOptionsTest, RefusesNonsense) {
  UpOptions options;
  options.data_dir = "/d";
  EXPECT_TRUE(CheckUpOptions(options).ok());
  options.node = "moon";
  EXPECT_THAT(CheckUpOptions(options).message(), HasSubstr("moon"));
  options = {};
  options.data_dir = "relative";
  EXPECT_FALSE(CheckUpOptions(options).ok());
  options.data_dir = "/d";
  options.port = 70000;
  EXPECT_FALSE(CheckUpOptions(options).ok());
  EXPECT_TRUE(IsGoodIsolate("The process isolator 2.6\n"));
  EXPECT_TRUE(IsGoodIsolate("The process isolator 2.10\n"));
  EXPECT_FALSE(IsGoodIsolate("The process isolator 2.5\n"));
  EXPECT_FALSE(IsGoodIsolate(""));
}

TEST(CrdsTest, AllThreeAreEmbeddedAndReadable) {
  std::vector<std::string> names;
  for (const std::string_view text : EmbeddedCrds()) {
    const auto documents = ParseYamlDocuments(text);
    ASSERT_TRUE(documents.ok()) << documents.status().message();
    for (const Json& crd : *documents) names.push_back(GetString(At(crd, {"metadata"}), "name"));
  }
  EXPECT_THAT(names,
              ::testing::UnorderedElementsAre("executorpools.envicutor.io", "runtimes.envicutor.io",
                                              "submissions.envicutor.io"));
}

TEST(YamlTest, ScalarsHaveKubernetesTypes) {
  const auto documents = ParseYamlDocuments(
      "a: 1\nb: \"1\"\nc: true\nd: 1.5\ne: null\nf: 2s\ng: [x, y]\nh: |\n  l1\n  l2\n---\nk: v\n");
  ASSERT_TRUE(documents.ok());
  ASSERT_EQ(documents->size(), 2U);
  const Json expected = {{"a", 1},       {"b", "1"},  {"c", true},       {"d", 1.5},
                         {"e", nullptr}, {"f", "2s"}, {"g", {"x", "y"}}, {"h", "l1\nl2\n"}};
  EXPECT_EQ((*documents)[0], expected);
  EXPECT_FALSE(ParseYamlDocuments("a: [").ok());
  // What we print is read back as it was.
  EXPECT_EQ((*ParseYamlDocuments(ToYaml(expected)))[0], expected);
}

TEST(SubmissionTest, MadeFromTheCommandLine) {
  RunOptions options;
  options.file = "x.py";
  options.runtime = *RuntimeForFile("x.py");
  options.limits = {"memory=64Mi", "maxProcesses=8"};
  options.env = {"A=b=c"};
  options.arguments = {"one", "two"};
  const auto submission = MakeSubmission(options, "default", "run-1", "print()", "in");
  ASSERT_TRUE(submission.ok());
  const Json& run = At(*submission, {"spec", "run"});
  EXPECT_EQ(run["limits"]["memory"], "64Mi");
  EXPECT_EQ(run["limits"]["maxProcesses"], 8);
  EXPECT_EQ(run["env"][0]["value"], "b=c");
  EXPECT_EQ(run["args"], Json({"one", "two"}));
  EXPECT_EQ(run["stdin"], "in");
  EXPECT_EQ((*submission)["spec"]["runtimeRef"]["name"], "python3");
  options.limits = {"memory"};
  EXPECT_FALSE(MakeSubmission(options, "d", "n", "", "").ok());
  EXPECT_FALSE(RuntimeForFile("x.zzz").ok());
}

Json Ended(const char* status) { return {{"status", *ParseJson(status)}}; }

TEST(SubmissionTest, ExitCodesAreTheProgramsOwn) {
  EXPECT_EQ(EndOfRun(Ended(R"({"phase":"Completed","verdict":"RuntimeError",
    "stages":{"run":{"exitCode":7,"stdout":"o"}}})"))
                .exit_code,
            7);
  EXPECT_EQ(EndOfRun(Ended(R"({"phase":"Completed","verdict":"Signaled",
    "stages":{"run":{"exitSignal":11}}})"))
                .exit_code,
            139);
  const RunEnd failed =
      EndOfRun(Ended(R"({"phase":"Failed","reason":"Rejected","message":"too much"})"));
  EXPECT_EQ(failed.exit_code, 125);
  EXPECT_EQ(failed.note, "Failed (Rejected): too much");
  const RunEnd compile = EndOfRun(Ended(R"({"phase":"Completed","verdict":"CompileError",
    "stages":{"compile":{"exitCode":1,"stderr":"no ;"}}})"));
  EXPECT_EQ(compile.exit_code, 1);
  EXPECT_EQ(compile.err, "no ;");
  EXPECT_EQ(EndOfRun(Ended(R"({"phase":"Completed","verdict":"Accepted","stages":{"run":
    {"exitCode":0,"stdout":"/w==","stdoutEncoding":"base64"}}})"))
                .out,
            "\xff");
  // Over its time, then exit 0: not a success.
  EXPECT_EQ(EndOfRun(Ended(R"({"phase":"Completed","verdict":"TimeLimitExceeded",
    "stages":{"run":{"exitCode":0}}})"))
                .exit_code,
            1);
}

TEST(DataDirTest, TheRecordSurvivesAndTheLockIsExclusive) {
  std::string pattern = ::testing::TempDir() + "/envicutor-data-XXXXXX";
  const DataDir data{::mkdtemp(pattern.data())};
  ASSERT_TRUE(data.Make().ok());
  EXPECT_EQ(ReadRunRecord(data).status().code(), Code::kNotFound);
  RunRecord record;
  record.supervisor = {::getpid(), *StartTicks(::getpid())};
  record.children = {{"node", {12, 34}, 5}};
  record.api_port = 6443;
  ASSERT_TRUE(WriteRunRecord(data, record).ok());
  const auto read = ReadRunRecord(data);
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->supervisor, record.supervisor);
  EXPECT_EQ(read->children[0].restarts, 5);
  const UniqueFd lock = TryLock(data);
  EXPECT_TRUE(lock.valid());
  EXPECT_FALSE(TryLock(data).valid());
  std::filesystem::remove_all(data.root);
}

TEST(ProcessTest, ARecycledPidIsNotTheProcess) {
  ProcessId self{::getpid(), *StartTicks(::getpid())};
  EXPECT_TRUE(OpenProcess(self).valid());
  ++self.start_ticks;
  EXPECT_FALSE(OpenProcess(self).valid());
  EXPECT_FALSE(OpenProcess({}).valid());
}

}  // namespace
}  // namespace envicutor::standalone
