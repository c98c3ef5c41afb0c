// What the operator sends an executor-agent (RunRequest) and gets back (RunResult).
//
//   PUT    /v1/runs/{uid}/{attempt}      RunRequest  -> 202 taken; 200 the same run is here
//   already;
//                                        409 a higher attempt is here; 429 no slot or memory free;
//                                        503 draining; 400 unreadable (names the field)
//   GET    /v1/runs                      -> {"instance", "runs":
//   [{"uid","attempt","state":"Running|Done","stage"}]} DELETE /v1/runs/{uid}/{attempt} cancels:
//   ends in a RunResult with cancelled true; 404 unknown GET
//   /v1/results?after=SEQ&timeoutSeconds=N&limit=M   long poll, at most 30 s
//                                        -> {"instance", "next": SEQ, "results": [RunResult],
//                                        "progress": [{"uid","attempt","stage"}]} after=0 gives
//                                        everything that is not acknowledged
//   POST   /v1/results/ack               {"runs": [{"uid","attempt"}]}: the agent forgets them
//   GET    /v1/info                      -> AgentInfo
//   PUT    /v1/environments              {"environments": [{"hash","storePath","kind":
//   "runtime"|"submission"}]}: all that are in use anywhere; runtimes' are fetched ahead, what is
//   not named may go -> {"environments": [{"hash","state":
//   "Ready|Fetching|Failed|Absent","message", "sizeBytes"}], "bytes", "maxBytes"} (maxBytes 0: not
//   bounded) GET    /healthz /readyz
//
// `instance` is a random id of the agent's process: when it changes, start again from after=0.
// Mutual TLS; everything is bounded. Bytes that need not be UTF-8 travel as base64.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/api/limits.h"
#include "common/api/stage_result.h"

namespace envicutor::api {

// Verdicts of docs/api.md; kNone while there is none.
enum class Verdict {
  kNone,
  kAccepted,
  kWrongAnswer,
  kRuntimeError,
  kSignaled,
  kTimeLimitExceeded,
  kMemoryLimitExceeded,
  kOutputLimitExceeded,
  kCompileError,
  kExtractError,
  kEnvironmentError,
  kInternalError,
};
[[nodiscard]] std::string_view VerdictName(Verdict verdict);  // "Accepted", ...; kNone is ""
[[nodiscard]] Result<Verdict> VerdictFromName(std::string_view name);

struct RunFile {
  std::string path;     // relative, checked (files.h); the agent checks again
  std::string content;  // raw bytes
  bool executable = false;
};

using EnvVars = std::vector<std::pair<std::string, std::string>>;

struct CompileStage {
  std::string script;
  EnvVars env;
  Limits limits;  // resolved
};

struct RunStage {
  std::string script;
  std::vector<std::string> args;
  std::string stdin_data;  // raw bytes
  EnvVars env;
  Limits limits;  // resolved
  bool merge_stderr = false;
};

struct TestCase {
  std::string name;
  std::string stdin_data;
  std::vector<std::string> args;
  std::optional<std::string> expected_stdout;
  bool exact = false;  // comparison: exact
  Limits limits;       // resolved: the test's over the run's
};

struct RunRequest {
  std::string uid;
  int64_t attempt = 1;
  std::string ns;
  std::string name;
  std::string trace_id;          // trace.h; not in the JSON, it travels as the header traceparent
  std::string runtime;           // for logs and metrics
  std::string environment_hash;  // which environment; the agent's store module finds or fetches it
  std::string environment_store_path;  // what to fetch when it is not there; "": it must be there
  std::string environment_node;  // only executors on this node have it (`cache: false`); "": any
  std::vector<RunFile> files;    // spec.source is one of them
  std::string archive;           // raw bytes of a .zip or .tar.gz, or ""
  Limits extract_limits;         // resolved; used with archive
  std::optional<CompileStage> compile;
  RunStage run;
  std::vector<TestCase> tests;  // not empty: run once for each instead of `run` alone
  bool stop_on_first_failure = false;
  std::vector<std::string> output_files;
  int64_t memory_bytes = 0;  // what the run may take of the executor: the largest of its stages
  int64_t deadline_unix_millis = 0;  // activeDeadlineSeconds; 0: none
};

struct TestResult {
  std::string name;
  Verdict verdict = Verdict::kNone;
  std::optional<StageResult> run;  // absent: not run (stopped at an earlier failure)
};

struct OutputFile {
  std::string path;
  std::string content;  // raw bytes
  bool truncated = false;
};

struct RunResult {
  std::string uid;
  int64_t attempt = 1;
  Verdict verdict = Verdict::kNone;
  bool cancelled = false;
  bool deadline_exceeded = false;
  // Nothing ran: the environment could not be brought to the executor. Another try, there or
  // elsewhere, may go well.
  bool environment_unavailable = false;
  int64_t environment_fetch_millis = 0;  // what bringing it took; 0: it was there
  std::string message;                   // one sentence for a person
  std::optional<StageResult> extract;
  std::optional<StageResult> compile;
  std::optional<StageResult> run;
  std::vector<TestResult> tests;
  std::vector<OutputFile> output_files;
  bool compile_cached = false;
  int64_t started_unix_millis = 0;
  int64_t finished_unix_millis = 0;
  int64_t overhead_millis =
      0;  // of the agent: wall time from taking to result, less the stages' own
};

struct AgentInfo {
  std::string instance;
  std::string version;
  std::string sandbox;  // "native" or "isolate"
  bool degraded = false;
  int64_t slots = 0;
  int64_t memory_bytes = 0;  // that boxes may use in all
  int64_t busy_slots = 0;
  bool draining = false;
};

[[nodiscard]] Json RunRequestToJson(const RunRequest& request);
[[nodiscard]] Result<RunRequest> RunRequestFromJson(const Json& object);
[[nodiscard]] Json RunResultToJson(const RunResult& result);
[[nodiscard]] Result<RunResult> RunResultFromJson(const Json& object);
[[nodiscard]] Json AgentInfoToJson(const AgentInfo& info);
[[nodiscard]] Result<AgentInfo> AgentInfoFromJson(const Json& object);

// A path inside the box: relative, no empty, "." or ".." parts, no NUL, at most 255 bytes a part
// and 1024 in all. InvalidArgument says which rule: "path \"../x\" leaves the box".
[[nodiscard]] Status CheckBoxPath(std::string_view path);
// A variable's name: letters, digits and '_', no digit first; not HOME, PWD or ENVICUTOR_*, which
// are ours.
[[nodiscard]] Status CheckEnvName(std::string_view name);

}  // namespace envicutor::api
