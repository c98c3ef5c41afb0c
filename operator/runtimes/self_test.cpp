#include "operator/runtimes/self_test.h"

#include <algorithm>

#include "common/base/encoding.h"
#include "common/kube/resource.h"
#include "operator/controllers/admission.h"

namespace envicutor::op {
namespace {

constexpr size_t kShownBytes = 400;

// White space at the ends of lines and of the text does not count, as in a submission's tests.
std::string Normalized(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text = end == std::string_view::npos ? "" : text.substr(end + 1);
    const size_t last = line.find_last_not_of(" \t\r\v\f");
    result += last == std::string_view::npos ? "" : line.substr(0, last + 1);
    result += '\n';
  }
  while (!result.empty() && result.back() == '\n') result.pop_back();
  return result;
}

// For a message: as JSON writes it, cut.
std::string Shown(const std::string& text) {
  const std::string cut(Utf8Prefix(text, kShownBytes));
  return DumpJson(ToUtf8Lossy(cut)) + (cut.size() < text.size() ? "..." : "");
}

std::string Output(const api::RunResult& result) {
  std::string text;
  const auto add = [&text](const char* stage, const std::optional<api::StageResult>& of) {
    if (!of) return;
    if (!of->stdout_data.empty())
      text += std::string("; ") + stage + " stdout: " + Shown(of->stdout_data);
    if (!of->stderr_data.empty())
      text += std::string("; ") + stage + " stderr: " + Shown(of->stderr_data);
  };
  if (result.verdict == api::Verdict::kCompileError || !result.run) add("compile", result.compile);
  add("run", result.run);
  return text;
}

std::string TestName(const Json& test, size_t index) {
  const std::string name = GetString(test, "name");
  return name.empty() ? std::to_string(index) : name;
}

// A Submission that nobody created.
Json SubmissionOf(const Json& test, const std::string& uid, const Options& options) {
  Json spec = {{"run", Json::object()}};
  for (const char* field : {"source", "files"}) {
    if (!At(test, {field}).is_null()) spec[field] = At(test, {field});
  }
  for (const char* field : {"stdin", "args"}) {
    if (!At(test, {field}).is_null()) spec["run"][field] = At(test, {field});
  }
  return {
      {"metadata", {{"uid", uid}, {"name", "selftest"}, {"namespace", options.operator_namespace}}},
      {"spec", std::move(spec)}};
}

}  // namespace

bool TestReport::AllPassed() const {
  return std::all_of(results.begin(), results.end(),
                     [](const SelfTestResult& r) { return r.passed; });
}

std::string TestReport::FirstFailure() const {
  for (const SelfTestResult& result : results) {
    if (!result.passed) return "self-test " + result.name + ": " + result.message;
  }
  return "";
}

std::vector<api::RunRequest> SelfTestRequests(const Json& runtime, const std::string& hash,
                                              const Options& options,
                                              std::vector<std::string>* errors) {
  const Json& spec = At(runtime, {"spec"});
  const std::string prefix = "selftest-" + kube::UidOf(runtime) + "-" +
                             std::to_string(GetInt(At(runtime, {"metadata"}), "generation")) + "-";
  std::vector<api::RunRequest> requests;
  const auto admit = [&](const Json& submission) {
    AdmissionInput input;
    input.submission = &submission;
    input.runtime_spec = &spec;
    input.runtime_name = kube::NameOf(runtime);
    input.environment_hash = hash;
    return Admit(input, options);
  };

  // The measurement first, though it is the last to run: what it is refused for is the runtime's
  // own mistake.
  const Json& tests = At(spec, {"selfTests"});
  const size_t count = tests.is_array() ? tests.size() : 0;
  Admission empty = admit(SubmissionOf(Json::object(), prefix + std::to_string(count), options));
  std::vector<std::string> own = empty.errors;
  errors->insert(errors->end(), own.begin(), own.end());
  for (size_t i = 0; i < count; ++i) {
    Admission admission = admit(SubmissionOf(tests[i], prefix + std::to_string(i), options));
    for (const std::string& error : admission.errors) {
      if (std::find(own.begin(), own.end(), error) != own.end()) continue;
      errors->push_back("selfTests[" + std::to_string(i) + "]." + error);
    }
    requests.push_back(std::move(admission.request));
  }
  empty.request.compile.reset();
  empty.request.run.script = "true";
  requests.push_back(std::move(empty.request));
  return requests;
}

SelfTestResult JudgeSelfTest(const Json& test, size_t index, const api::RunResult& result) {
  SelfTestResult judged;
  judged.name = TestName(test, index);
  const Json& expect = At(test, {"expect"});
  const auto fail = [&](const std::string& why) {
    judged.message = why + Output(result);
    return judged;
  };
  const std::string got(api::VerdictName(result.verdict));
  const std::string verdict = GetString(expect, "verdict");
  const Json& exit_code = At(expect, {"exitCode"});
  // An exit code other than 0 is a RuntimeError; whoever names it expects that.
  const bool judged_by_code = verdict.empty() && exit_code.is_number_integer();
  if (!judged_by_code && got != (verdict.empty() ? "Accepted" : verdict)) {
    const std::string message = result.message.empty() ? "" : " (" + result.message + ")";
    return fail("expected verdict " + (verdict.empty() ? "Accepted" : verdict) + ", got " + got +
                message);
  }
  if (exit_code.is_number_integer()) {
    const int64_t wanted = exit_code.get<int64_t>();
    if (!result.run || !result.run->exit_code) {
      return fail("expected exit code " + std::to_string(wanted) + ", got verdict " + got);
    }
    if (*result.run->exit_code != wanted) {
      return fail("expected exit code " + std::to_string(wanted) + ", got " +
                  std::to_string(*result.run->exit_code));
    }
  }
  if (At(expect, {"stdout"}).is_string()) {
    const std::string wanted = GetString(expect, "stdout");
    const std::string written = result.run ? result.run->stdout_data : "";
    if (Normalized(wanted) != Normalized(written)) {
      return fail("expected stdout " + Shown(wanted) + ", got " + Shown(written));
    }
  }
  judged.passed = true;
  return judged;
}

bool IsInfrastructure(const Result<api::RunResult>& result) {
  if (!result.ok()) return result.status().code() != Code::kInvalidArgument;
  return result->cancelled || result->deadline_exceeded ||
         result->verdict == api::Verdict::kInternalError ||
         result->verdict == api::Verdict::kEnvironmentError ||
         result->verdict == api::Verdict::kNone;
}

}  // namespace envicutor::op
