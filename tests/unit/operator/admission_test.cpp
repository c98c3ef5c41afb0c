#include "operator/controllers/admission.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/encoding.h"
#include "tests/unit/operator/submissions.h"

namespace envicutor::op {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using testing::CRuntime;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::PythonRuntime;
using testing::Submission;
using testing::TestOptions;

Admission AdmitSpec(Json spec, const Json& runtime, InputReader read = nullptr) {
  const Json submission = Submission("s", std::move(spec));
  AdmissionInput input;
  input.submission = &submission;
  input.runtime_spec = runtime.is_null() ? nullptr : &runtime;
  input.runtime_name = "test";
  input.environment_hash = "hash";
  input.read = std::move(read);
  return Admit(input, TestOptions());
}

TEST(Admission, SimpleSubmission) {
  const Admission admission = AdmitSpec(
      {{"source", "print(1)"}, {"run", {{"args", {"a", "b"}}, {"stdin", "in"}}}}, PythonRuntime());
  EXPECT_THAT(admission.errors, IsEmpty());
  const api::RunRequest& request = admission.request;
  EXPECT_EQ(request.uid, "uid-default-s");
  ASSERT_EQ(request.files.size(), 1U);
  EXPECT_EQ(request.files[0].path, "main.py");
  EXPECT_EQ(request.files[0].content, "print(1)");
  EXPECT_THAT(request.run.args, ElementsAre("a", "b"));
  EXPECT_EQ(request.run.stdin_data, "in");
  EXPECT_EQ(request.run.script, "exec python3 main.py \"$@\"");
  EXPECT_FALSE(request.compile.has_value());
  EXPECT_EQ(request.run.limits.Value(api::Limit::kWallTime), 10'000);
  EXPECT_EQ(request.memory_bytes, 256 << 20);
}

TEST(Admission, LimitsOfSubmissionOverRuntimeOverSystem) {
  const Admission admission =
      AdmitSpec({{"source", ""}, {"run", {{"limits", {{"cpuTime", "700ms"}}}}}}, CRuntime());
  EXPECT_THAT(admission.errors, IsEmpty());
  EXPECT_EQ(admission.request.run.limits.Value(api::Limit::kCpuTime), 700);
  EXPECT_EQ(admission.request.run.limits.Value(api::Limit::kMemory), 100 << 20);
  ASSERT_TRUE(admission.request.compile.has_value());
  EXPECT_EQ(admission.request.compile->limits.Value(api::Limit::kWallTime), 20'000);
  EXPECT_EQ(admission.request.memory_bytes, 512 << 20);  // the compiler's
  EXPECT_EQ(admission.request.compile->env, (api::EnvVars{{"LANG", "C"}}));
}

TEST(Admission, EveryViolationIsListedAtOnce) {
  const Admission admission = AdmitSpec(
      {{"source", ""},
       {"compile", {{"limits", {{"wallTime", "700s"}}}}},
       {"run", {{"limits", {{"wallTime", "120s"}, {"memory", "64Gi"}}}}},
       {"tests", {{{"limits", {{"wallTime", "31s"}}}}, {{"limits", {{"wallTime", "29s"}}}}}}},
      CRuntime());
  EXPECT_THAT(admission.errors,
              ::testing::UnorderedElementsAre(
                  "compile.limits.wallTime: 700s is more than the maximum 600s",
                  "run.limits.wallTime: 120s is more than the maximum 30s",  // the runtime's
                  "run.limits.memory: 64Gi is more than the maximum 2Gi",    // the system's
                  "tests[0].limits.wallTime: 31s is more than the maximum 30s"));
}

TEST(Admission, PathsStayInTheBoxAndAreThereOnce) {
  const Admission admission = AdmitSpec({{"source", "x"},
                                         {"files",
                                          {{{"path", "../etc/passwd"}, {"content", ""}},
                                           {{"path", "/abs"}, {"content", ""}},
                                           {{"path", "main.py"}, {"content", ""}},
                                           {{"path", "dir"}, {"content", ""}},
                                           {{"path", "dir/file"}, {"content", ""}}}},
                                         {"outputFiles", {"../../x"}}},
                                        PythonRuntime());
  EXPECT_THAT(admission.errors,
              Contains(AllOf(HasSubstr("files[0].path"), HasSubstr("../etc/passwd"))));
  EXPECT_THAT(admission.errors, Contains(HasSubstr("files[1].path")));
  EXPECT_THAT(admission.errors, Contains("files[2].path: \"main.py\" is there twice"));
  EXPECT_THAT(admission.errors, Contains("files: \"dir\" is a file, and a folder in \"dir/file\""));
  EXPECT_THAT(admission.errors, Contains(HasSubstr("outputFiles")));
  EXPECT_EQ(admission.errors.size(), 5U);
}

TEST(Admission, Base64AndArchives) {
  const Admission bad =
      AdmitSpec({{"files", {{{"path", "a"}, {"content", "!!"}, {"encoding", "base64"}}}},
                 {"archive", {{"content", Base64Encode("Rar!")}}}},
                PythonRuntime());
  EXPECT_THAT(bad.errors, Contains(HasSubstr("files[0].content")));
  const Admission kind =
      AdmitSpec({{"archive", {{"content", Base64Encode("Rar!")}}}}, PythonRuntime());
  EXPECT_THAT(kind.errors, ElementsAre("archive.content: is neither a .zip nor a .tar.gz file"));
  const Admission good = AdmitSpec({{"files",
                                     {{{"path", "a"},
                                       {"content", Base64Encode(std::string("\xff\x00z", 3))},
                                       {"encoding", "base64"},
                                       {"executable", true}}}},
                                    {"archive", {{"content", Base64Encode("PK\x03\x04rest")}}}},
                                   PythonRuntime());
  EXPECT_THAT(good.errors, IsEmpty());
  EXPECT_EQ(good.request.files[0].content, std::string("\xff\x00z", 3));
  EXPECT_TRUE(good.request.files[0].executable);
  EXPECT_EQ(good.request.archive, "PK\x03\x04rest");
  EXPECT_TRUE(good.request.extract_limits.Get(api::Limit::kMemory).has_value());
}

TEST(Admission, TestsInheritFromRun) {
  const Admission admission =
      AdmitSpec({{"source", ""},
                 {"run", {{"stdin", "common"}, {"args", {"x"}}, {"limits", {{"memory", "50Mi"}}}}},
                 {"tests",
                  {{{"expectedStdout", "1"}},
                   {{"name", "own"},
                    {"stdin", "mine"},
                    {"args", Json::array()},
                    {"comparison", "exact"},
                    {"expectedStdout", ""},
                    {"limits", {{"memory", "60Mi"}}}}}}},
                PythonRuntime());
  ASSERT_THAT(admission.errors, IsEmpty());
  const auto& tests = admission.request.tests;
  ASSERT_EQ(tests.size(), 2U);
  EXPECT_EQ(tests[0].name, "1");
  EXPECT_EQ(tests[0].stdin_data, "common");
  EXPECT_THAT(tests[0].args, ElementsAre("x"));
  EXPECT_EQ(tests[0].expected_stdout, "1");
  EXPECT_FALSE(tests[0].exact);
  EXPECT_EQ(tests[0].limits.Value(api::Limit::kMemory), 50 << 20);
  EXPECT_EQ(tests[1].stdin_data, "mine");
  EXPECT_THAT(tests[1].args, IsEmpty());
  EXPECT_EQ(tests[1].expected_stdout, "");
  EXPECT_TRUE(tests[1].exact);
  EXPECT_EQ(admission.request.memory_bytes, 60 << 20);
}

TEST(Admission, InputsComeFromConfigMaps) {
  const InputReader read = [](const std::string& name,
                              const std::string& key) -> Result<std::string> {
    if (name == "there") return "content of " + key;
    if (name == "down") return Unavailable("no connection");
    return NotFound("ConfigMap \"" + name + "\" is not there");
  };
  const Json from_there = {{"configMapKeyRef", {{"name", "there"}, {"key", "k"}}}};
  const Json from_nowhere = {{"configMapKeyRef", {{"name", "nowhere"}, {"key", "k"}}}};
  const Json from_down = {{"configMapKeyRef", {{"name", "down"}, {"key", "k"}}}};
  const Admission admission = AdmitSpec({{"files", {{{"path", "a"}, {"contentFrom", from_there}}}},
                                         {"run", {{"stdinFrom", from_nowhere}}},
                                         {"tests", {{{"expectedStdoutFrom", from_down}}}}},
                                        PythonRuntime(), read);
  EXPECT_EQ(admission.request.files[0].content, "content of k");
  EXPECT_THAT(admission.missing, ElementsAre("run.stdinFrom: ConfigMap \"nowhere\" is not there"));
  EXPECT_EQ(admission.unavailable.code(), Code::kUnavailable);
}

TEST(Admission, InlineEnvironmentNeedsAScript) {
  const Admission admission = AdmitSpec({{"environment", {{"packages", {"bash"}}}}}, nullptr);
  EXPECT_THAT(admission.errors, ElementsAre(HasSubstr("run.script")));
  const Admission with_source =
      AdmitSpec({{"source", "x"}, {"run", {{"script", "true"}}}}, Json{{"run", {{"script", "x"}}}});
  EXPECT_THAT(with_source.errors, ElementsAre(HasSubstr("has no sourceFile; use files")));
}

TEST(Admission, NulCannotReachAnArgumentOrVariable) {
  const Admission admission =
      AdmitSpec({{"source", ""},
                 {"run",
                  {{"args", {std::string("a\0b", 3)}},
                   {"env", {{{"name", "A"}, {"value", std::string("\0", 1)}}}}}}},
                PythonRuntime());
  EXPECT_THAT(admission.errors, ElementsAre(HasSubstr("run.args[0]"), HasSubstr("run.env[0]")));
}

TEST(EnvironmentOf, RuntimesOwnNeedsNone) {
  std::vector<std::string> errors;
  const Json runtime = {{"environment", {{"packages", {"python3"}}}}};
  EXPECT_FALSE(EnvironmentOf(Submission("s", {{"source", ""}}), &runtime, TestOptions(), &errors)
                   .has_value());
  const auto extra = EnvironmentOf(Submission("s", {{"extraPackages", {"numpy"}}}), &runtime,
                                   TestOptions(), &errors);
  ASSERT_TRUE(extra.has_value());
  EXPECT_THAT(extra->packages, ElementsAre("python3"));
  EXPECT_THAT(extra->extra_packages, ElementsAre("numpy"));
  EXPECT_THAT(errors, IsEmpty());
}

TEST(EnvironmentOf, ASubmissionCannotAskForMoreThanTheBoundsOfABuild) {
  std::vector<std::string> errors;
  const auto ask = [&errors](const std::string& timeout, const std::string& memory) {
    errors.clear();
    static_cast<void>(EnvironmentOf(
        Submission("s",
                   {{"environment",
                     {{"packages", {"gcc"}}, {"buildTimeout", timeout}, {"buildMemory", memory}}}}),
        nullptr, TestOptions(), &errors));
    return errors;
  };
  EXPECT_TRUE(ask("15m", "2Gi").empty());
  EXPECT_EQ(ask("16m", "3Gi"), (std::vector<std::string>{
                                   "environment.buildTimeout: 16m is more than the maximum 15m",
                                   "environment.buildMemory: 3Gi is more than the maximum 2Gi"}));
}

TEST(EnvironmentOf, UncachedIsSaltedAndForbiddenIsSaid) {
  std::vector<std::string> errors;
  const Json uncached =
      Submission("s", {{"environment", {{"packages", {"bash"}}, {"cache", false}}}});
  EXPECT_EQ(EnvironmentOf(uncached, nullptr, TestOptions(), &errors)->salt, "uid-default-s");
  Options options = TestOptions();
  options.submissions.allow_environments = AllowEnvironments::kPackages;
  EXPECT_TRUE(EnvironmentOf(uncached, nullptr, options, &errors).has_value());
  EXPECT_FALSE(EnvironmentOf(Submission("s", {{"environment", {{"shell", "{}"}}}}), nullptr,
                             options, &errors)
                   .has_value());
  options.submissions.allow_environments = AllowEnvironments::kNone;
  EXPECT_FALSE(EnvironmentOf(uncached, nullptr, options, &errors).has_value());
  EXPECT_THAT(errors, ElementsAre("environment.shell: the administrator allows packages only",
                                  "environment: the administrator allows runtimes only"));
}

}  // namespace
}  // namespace envicutor::op
