#include <gtest/gtest.h>

#include "common/api/bounds.h"
#include "common/api/run.h"

namespace envicutor::api {
namespace {

Limits AllLimits(int64_t value) {
  Limits limits;
  for (size_t i = 0; i < kLimitCount; ++i)
    limits.Set(static_cast<Limit>(i), value + static_cast<int64_t>(i));
  return limits;
}

RunRequest FullRequest() {
  RunRequest request;
  request.uid = "0b8f3a52-0b6e-4a39-9d0a-3d2a6a1f9c11";
  request.attempt = 3;
  request.ns = "team-a";
  request.name = "hello";
  request.runtime = "python3";
  request.environment_hash = "0123456789abcdef0123456789abcdef";
  request.environment_store_path = "/nix/store/8nsd5xf92s1b2dyi44nzig65ay0s37zg-environment";
  request.environment_node = "node-7";
  request.files = {{"main.py", "print(1)\n", false},
                   {"bin/tool", std::string("\xff\x00\xfe", 3), true}};
  request.archive = std::string("PK\x03\x04\xff", 5);
  request.extract_limits = AllLimits(10);
  request.compile = CompileStage{"make", {{"CC", "gcc"}}, AllLimits(20)};
  request.run = {"exec ./a \"$@\"", {"x", ""},     std::string("\x80\0in", 4),
                 {{"A", "b=c"}},    AllLimits(30), true};
  request.tests = {{"one", "1\n", {"a"}, "2\n", true, AllLimits(40)},
                   {"two", "\xfe", {}, std::nullopt, false, AllLimits(50)}};
  request.stop_on_first_failure = true;
  request.output_files = {"out/x.txt"};
  request.memory_bytes = 1 << 30;
  request.deadline_unix_millis = 1'800'000'000'000;
  return request;
}

TEST(RunRequestJson, RoundTripKeepsEverything) {
  const Json json = RunRequestToJson(FullRequest());
  // Through text, as it travels.
  const Result<Json> parsed = ParseJson(DumpJson(json));
  ASSERT_TRUE(parsed.ok());
  const Result<RunRequest> back = RunRequestFromJson(*parsed);
  ASSERT_TRUE(back.ok()) << back.status().ToString();
  EXPECT_EQ(RunRequestToJson(*back), json);
  EXPECT_EQ(back->files[1].content, FullRequest().files[1].content);
  EXPECT_TRUE(back->files[1].executable);
  EXPECT_EQ(back->run.stdin_data, FullRequest().run.stdin_data);
  EXPECT_EQ(back->archive, FullRequest().archive);
  EXPECT_EQ(back->tests[1].stdin_data, "\xfe");
  EXPECT_FALSE(back->tests[1].expected_stdout.has_value());
  EXPECT_EQ(back->compile->limits, AllLimits(20));
  EXPECT_TRUE(back->run.merge_stderr);
  EXPECT_EQ(back->environment_store_path, FullRequest().environment_store_path);
  EXPECT_EQ(back->environment_node, "node-7");
}

struct Hostile {
  const char* patch;    // a JSON merge patch on the full request
  const char* message;  // a part of what is said
};

class RunRequestRefusal : public ::testing::TestWithParam<Hostile> {};

TEST_P(RunRequestRefusal, NamesTheField) {
  Json json = RunRequestToJson(FullRequest());
  json.merge_patch(Json::parse(GetParam().patch));
  const Result<RunRequest> request = RunRequestFromJson(json);
  ASSERT_FALSE(request.ok());
  EXPECT_EQ(request.status().code(), Code::kInvalidArgument);
  EXPECT_NE(request.status().message().find(GetParam().message), std::string::npos)
      << request.status().message();
}

INSTANTIATE_TEST_SUITE_P(
    Cases, RunRequestRefusal,
    ::testing::Values(
        Hostile{R"({"uid": ""})", "\"uid\""}, Hostile{R"({"uid": "a/../b"})", "\"uid\""},
        Hostile{R"({"uid": 5})", "\"uid\""}, Hostile{R"({"attempt": 0})", "\"attempt\""},
        Hostile{R"({"attempt": 1.5})", "\"attempt\""},
        Hostile{R"({"attempt": 99999999999})", "\"attempt\""},
        Hostile{R"({"environmentHash": "../../etc"})", "environmentHash"},
        Hostile{R"({"environmentHash": null})", "environmentHash"},
        Hostile{R"({"files": [{"path": "../x"}]})", "files[0]: path \"../x\" leaves the box"},
        Hostile{R"({"files": [{"path": "a", "content": "!", "encoding": "base64"}]})", "files[0]"},
        Hostile{R"({"files": [{"path": "a", "encoding": "rot13"}]})", "text or base64"},
        Hostile{R"({"files": {"a": 1}})", "\"files\" must be an array"},
        Hostile{R"({"archive": "%%%"})", "archive"},
        Hostile{R"({"extractLimits": null})", "extractLimits"},
        Hostile{R"({"run": null})", "\"run\""}, Hostile{R"({"run": {"script": ""}})", "script"},
        Hostile{R"({"run": {"script": "a\u0000b"}})", "NUL"},
        Hostile{R"({"run": {"args": [1]}})", "args[0]"},
        Hostile{R"({"run": {"args": ["a\u0000"]}})", "NUL"},
        Hostile{R"({"run": {"limits": {"memory": null}}})", "memory is missing"},
        Hostile{R"({"run": {"limits": {"memory": -1}}})", "memory"},
        Hostile{R"({"run": {"env": [{"name": "A=B", "value": ""}]}})", "env[0]"},
        Hostile{R"({"run": {"env": [{"name": "HOME", "value": "/"}]}})", "set by the system"},
        Hostile{R"({"run": {"env": [{"name": "A", "value": "x\u0000"}]}})", "NUL"},
        Hostile{R"({"compile": {"limits": {"stack": null}}})", "compile: limits: stack is missing"},
        Hostile{R"({"tests": [{"name": "a", "limits": {}}]})",
                "tests[0]: limits: cpuTime is missing"},
        Hostile{R"({"outputFiles": ["/etc/passwd"]})", "outputFiles[0]"},
        Hostile{R"({"memoryBytes": -1})", "memoryBytes"},
        Hostile{R"({"deadlineUnixMillis": 9223372036854775807})", "deadlineUnixMillis"},
        Hostile{R"({"stopOnFirstFailure": "yes"})", "stopOnFirstFailure"}));

TEST(RunRequestJson, RefusesWhatIsTooMuch) {
  RunRequest request = FullRequest();
  request.files.assign(kMaxFiles + 1, {"a", "", false});
  EXPECT_FALSE(RunRequestFromJson(RunRequestToJson(request)).ok());
  request = FullRequest();
  request.run.script.assign(kMaxScriptBytes + 1, 'x');
  EXPECT_FALSE(RunRequestFromJson(RunRequestToJson(request)).ok());
  request = FullRequest();
  request.run.args.assign(20, std::string(kMaxArgBytes - 1, 'x'));
  EXPECT_FALSE(RunRequestFromJson(RunRequestToJson(request)).ok());
  EXPECT_FALSE(RunRequestFromJson(Json()).ok());
  EXPECT_FALSE(RunRequestFromJson(Json::array()).ok());
  EXPECT_FALSE(RunRequestFromJson(Json("x")).ok());
}

TEST(RunResultJson, RoundTripKeepsEverything) {
  RunResult result;
  result.uid = "u";
  result.attempt = 2;
  result.verdict = Verdict::kWrongAnswer;
  result.deadline_exceeded = true;
  result.environment_unavailable = true;
  result.environment_fetch_millis = 1234;
  result.message = "a sentence";
  StageResult stage;
  stage.exit_status = ExitStatus::kTimeLimit;
  stage.exit_signal = 9;
  stage.exit_message = "over";
  stage.stdout_data = std::string("a\0b", 3);
  stage.stderr_data = "\xff";
  stage.stdout_truncated = true;
  stage.stdout_bytes = 1 << 20;
  stage.stderr_bytes = 1;
  stage.cpu_time_millis = 5;
  stage.wall_time_millis = 6;
  stage.memory_bytes = 7;
  stage.oom_killed = true;
  stage.limit = "cpuTime";
  result.extract = stage;
  result.compile = stage;
  result.run = stage;
  result.tests = {{"t", Verdict::kAccepted, stage}, {"not run", Verdict::kNone, std::nullopt}};
  result.output_files = {{"f", "\xfe", true}};
  result.compile_cached = true;
  result.started_unix_millis = 8;
  result.finished_unix_millis = 9;
  result.overhead_millis = 10;
  const Json json = RunResultToJson(result);
  const Result<RunResult> back = RunResultFromJson(*ParseJson(DumpJson(json)));
  ASSERT_TRUE(back.ok()) << back.status().ToString();
  EXPECT_EQ(RunResultToJson(*back), json);
  EXPECT_EQ(back->run->stdout_data, stage.stdout_data);
  EXPECT_EQ(back->run->stderr_data, "\xff");
  EXPECT_EQ(back->run->exit_signal, 9);
  EXPECT_FALSE(back->run->exit_code.has_value());
  EXPECT_FALSE(back->tests[1].run.has_value());
  EXPECT_EQ(back->output_files[0].content, "\xfe");
}

TEST(StageResultJson, SaysBase64OnlyWhereTheBytesAreNotText) {
  StageResult stage;
  stage.exit_code = 0;
  stage.stdout_data = "h\u00e9";
  stage.stderr_data = "\xc3";
  const Json json = StageResultToJson(stage);
  EXPECT_EQ(json["stdout"], "h\u00e9");
  EXPECT_FALSE(json.contains("stdoutEncoding"));
  EXPECT_EQ(json["stderrEncoding"], "base64");
  EXPECT_EQ(json["stderr"], "ww==");
  EXPECT_EQ(json["exitStatus"], "OK");
  EXPECT_EQ(json["exitCode"], 0);
  EXPECT_FALSE(json.contains("exitSignal"));
}

TEST(StageResultJson, RefusesWhatItCannotBe) {
  for (const char* text : {R"({"exitStatus": "??"})", R"({"exitCode": 256})", R"({"exitCode": -1})",
                           R"({"exitSignal": 1000})", R"({"stdoutBytes": -1})", R"({"stdout": 5})",
                           R"({"stdout": "x", "stdoutEncoding": "base64"})", "[]"}) {
    EXPECT_FALSE(StageResultFromJson(Json::parse(text)).ok()) << text;
  }
}

TEST(AgentInfoJson, RoundTrip) {
  const AgentInfo info{"i", "1", "native", true, 4, 5, 2, true};
  const Result<AgentInfo> back = AgentInfoFromJson(AgentInfoToJson(info));
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(AgentInfoToJson(*back), AgentInfoToJson(info));
}

TEST(Verdict, NamesGoBothWays) {
  for (int i = 0; i <= static_cast<int>(Verdict::kInternalError); ++i) {
    const auto verdict = static_cast<Verdict>(i);
    const Result<Verdict> back = VerdictFromName(VerdictName(verdict));
    ASSERT_TRUE(back.ok());
    EXPECT_EQ(*back, verdict);
  }
  EXPECT_FALSE(VerdictFromName("accepted").ok());
}

TEST(BoxPath, Rules) {
  for (const char* path : {"a", "a/b/c", "...", ".hidden", "a b", "\u00e4/\u00f6", "a/..b"}) {
    EXPECT_TRUE(CheckBoxPath(path).ok()) << path;
  }
  EXPECT_EQ(CheckBoxPath("../x").message(), "path \"../x\" leaves the box");
  EXPECT_EQ(CheckBoxPath("a/../../x").message(), "path \"a/../../x\" leaves the box");
  for (const char* path : {"", "/", "/a", ".", "./a", "a/", "a//b", "a/./b", "..", "a/.."}) {
    EXPECT_FALSE(CheckBoxPath(path).ok()) << path;
  }
  EXPECT_FALSE(CheckBoxPath(std::string_view("a\0b", 3)).ok());
  EXPECT_TRUE(CheckBoxPath(std::string(255, 'a')).ok());
  EXPECT_FALSE(CheckBoxPath(std::string(256, 'a')).ok());
  std::string deep = "a";
  while (deep.size() <= 1024) deep += "/a";
  EXPECT_FALSE(CheckBoxPath(deep).ok());
}

TEST(EnvName, Rules) {
  for (const char* name : {"A", "_", "a1_B"}) EXPECT_TRUE(CheckEnvName(name).ok()) << name;
  for (const char* name :
       {"", "1A", "A-B", "A=B", "A B", "HOME", "PWD", "ENVICUTOR_X", "BASH_FUNC_x%%"}) {
    EXPECT_FALSE(CheckEnvName(name).ok()) << name;
  }
}

}  // namespace
}  // namespace envicutor::api
