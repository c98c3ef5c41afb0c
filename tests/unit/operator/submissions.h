// Makers of the objects that the tests speak about.
#pragma once

#include <string>

#include "common/api/run.h"
#include "common/base/json.h"
#include "operator/options.h"

namespace envicutor::op::testing {

inline Options TestOptions() {
  return *ParseOptions("executorTls: {caFile: /a, certFile: /b, keyFile: /c}");
}

inline Json Submission(const std::string& name, Json spec, const std::string& ns = "default") {
  return {{"apiVersion", "envicutor.io/v1alpha1"},
          {"kind", "Submission"},
          {"metadata",
           {{"name", name},
            {"namespace", ns},
            {"uid", "uid-" + ns + "-" + name},
            {"generation", 1},
            {"resourceVersion", "1"},
            {"creationTimestamp", "2026-01-01T00:00:00Z"}}},
          {"spec", std::move(spec)}};
}

inline Json PythonRuntime() {
  return {{"sourceFile", "main.py"}, {"run", {{"script", "exec python3 main.py \"$@\""}}}};
}

inline Json CRuntime() {
  Json runtime = {{"sourceFile", "main.c"}};
  runtime["compile"] = {{"script", "gcc main.c"}, {"limits", {{"wallTime", "20s"}}}};
  runtime["run"] = {{"script", "exec ./a.out"},
                    {"limits", {{"memory", "100Mi"}}},
                    {"maxLimits", {{"wallTime", "30s"}}}};
  runtime["env"] = Json::array({{{"name", "LANG"}, {"value", "C"}}});
  return runtime;
}

inline api::StageResult Stage(std::string out = "", int code = 0) {
  api::StageResult stage;
  stage.exit_status = code == 0 ? api::ExitStatus::kOk : api::ExitStatus::kRuntimeError;
  stage.exit_code = code;
  stage.stdout_bytes = static_cast<int64_t>(out.size());
  stage.stdout_data = std::move(out);
  stage.wall_time_millis = 5;
  return stage;
}

inline api::RunResult Accepted(const std::string& uid, int64_t attempt = 1,
                               std::string out = "hello\n") {
  api::RunResult result;
  result.uid = uid;
  result.attempt = attempt;
  result.verdict = api::Verdict::kAccepted;
  result.run = Stage(std::move(out));
  result.started_unix_millis = 1'767'225'600'000;
  result.finished_unix_millis = 1'767'225'600'010;
  return result;
}

}  // namespace envicutor::op::testing
