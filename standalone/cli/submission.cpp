#include "standalone/cli/submission.h"

#include <map>

#include "common/base/encoding.h"

namespace envicutor::standalone {
namespace {

const std::map<std::string, std::string>& RuntimesByExtension() {
  static const std::map<std::string, std::string> runtimes = {
      {"py", "python3"}, {"c", "c"},     {"cpp", "cpp"},  {"cc", "cpp"},
      {"cxx", "cpp"},    {"sh", "bash"}, {"bash", "bash"}};
  return runtimes;
}

Result<std::pair<std::string, std::string>> Assignment(const std::string& text,
                                                       const std::string& flag) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) {
    return InvalidArgument(flag + ": \"" + text + "\" is not NAME=VALUE");
  }
  return std::pair{text.substr(0, equals), text.substr(equals + 1)};
}

std::string Output(const Json& stage, const std::string& stream) {
  std::string text = GetString(stage, stream);
  if (GetString(stage, stream + "Encoding") == "base64") {
    Result<std::string> bytes = Base64Decode(text);
    if (bytes.ok()) return *bytes;
  }
  return text;
}

int StageExitCode(const Json& stage) {
  if (At(stage, {"exitCode"}).is_number())
    return static_cast<int>(GetInt(stage, "exitCode") & 0xff);
  if (At(stage, {"exitSignal"}).is_number()) {
    return static_cast<int>((128 + GetInt(stage, "exitSignal")) & 0xff);
  }
  return kSystemFailed;
}

}  // namespace

Result<std::string> RuntimeForFile(const std::string& file) {
  const size_t dot = file.rfind('.');
  const std::string extension = dot == std::string::npos ? "" : file.substr(dot + 1);
  const auto it = RuntimesByExtension().find(extension);
  if (it != RuntimesByExtension().end()) return it->second;
  std::string known;
  for (const auto& [name, runtime] : RuntimesByExtension()) {
    known += (known.empty() ? "." : ", .") + name;
  }
  return InvalidArgument(file + ": no runtime is known for this name (" + known +
                         " are): say --runtime NAME");
}

Result<Json> MakeSubmission(const RunOptions& options, const std::string& ns,
                            const std::string& name, const std::string& source,
                            const std::string& stdin_text) {
  Json run = Json::object();
  if (!options.arguments.empty()) run["args"] = options.arguments;
  if (!stdin_text.empty()) run["stdin"] = stdin_text;
  for (const std::string& limit : options.limits) {
    ENVICUTOR_ASSIGN(const auto assignment, Assignment(limit, "--limit"));
    const std::string& value = assignment.second;
    // Counts are numbers in the schema, quantities and durations are text.
    const bool digits = !value.empty() && value.size() < 19 &&
                        value.find_first_not_of("0123456789") == std::string::npos;
    run["limits"][assignment.first] = digits ? Json(std::stoll(value)) : Json(value);
  }
  for (const std::string& variable : options.env) {
    ENVICUTOR_ASSIGN(const auto assignment, Assignment(variable, "--env"));
    run["env"].push_back({{"name", assignment.first}, {"value", assignment.second}});
  }
  Json spec = {{"runtimeRef", {{"name", options.runtime}}}};
  if (IsUtf8(source)) {
    spec["source"] = source;
  } else {
    return InvalidArgument(options.file + " is not UTF-8 text");
  }
  if (!run.empty()) spec["run"] = run;
  return Json{{"apiVersion", "envicutor.io/v1alpha1"},
              {"kind", "Submission"},
              {"metadata",
               {{"name", name},
                {"namespace", ns},
                {"labels", {{"app.kubernetes.io/created-by", "envicutor-run"}}}}},
              {"spec", spec}};
}

RunEnd EndOfRun(const Json& submission) {
  const Json& status = At(submission, {"status"});
  const std::string phase = GetString(status, "phase");
  const std::string verdict = GetString(status, "verdict");
  const std::string message = GetString(status, "message");
  RunEnd end;
  if (phase != "Completed") {
    const std::string reason = GetString(status, "reason");
    end.exit_code = kSystemFailed;
    end.note = phase + (reason.empty() ? "" : " (" + reason + ")") +
               (message.empty() ? "" : ": " + message);
    return end;
  }
  const Json& run = At(status, {"stages", "run"});
  const Json& compile = At(status, {"stages", "compile"});
  const Json& environment = At(status, {"stages", "environment"});
  if (run.is_object()) {
    end.out = Output(run, "stdout");
    end.err = Output(run, "stderr");
    end.exit_code = StageExitCode(run);
  } else if (verdict == "CompileError" && compile.is_object()) {
    end.err = Output(compile, "stdout") + Output(compile, "stderr");
    end.exit_code = StageExitCode(compile);
  } else {
    if (environment.is_object()) end.err = Output(environment, "stderr");
    end.exit_code = kSystemFailed;
  }
  // A program that was ended for its limit and exited 0 all the same did not succeed.
  if (verdict != "Accepted" && end.exit_code == 0) end.exit_code = 1;
  if (verdict != "Accepted" && verdict != "RuntimeError") {
    end.note = verdict + (message.empty() ? "" : ": " + message);
  }
  return end;
}

}  // namespace envicutor::standalone
