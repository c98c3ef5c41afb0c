#include "common/api/bounds.h"
#include "common/api/run.h"
#include "common/api/wire.h"

namespace envicutor::api {
namespace {

using wire::ReadArray;
using wire::ReadBoundedInt;
using wire::ReadBoundedString;

Status ReadVerdict(const Json& object, Verdict* out) {
  std::string name;
  ENVICUTOR_RETURN_IF_ERROR(ReadString(object, "verdict", &name));
  ENVICUTOR_ASSIGN(*out, VerdictFromName(name));
  return OkStatus();
}

Status ReadStage(const Json& object, std::string_view key, std::optional<StageResult>* out) {
  const Json& stage = At(object, {key});
  if (stage.is_null()) return OkStatus();
  Result<StageResult> result = StageResultFromJson(stage);
  if (!result.ok()) return result.status().WithContext(key);
  *out = *std::move(result);
  return OkStatus();
}

Status ReadTestResult(const Json& item, TestResult* test) {
  ENVICUTOR_RETURN_IF_ERROR(ReadBoundedString(item, "name", kMaxNameBytes, &test->name));
  ENVICUTOR_RETURN_IF_ERROR(ReadVerdict(item, &test->verdict));
  return ReadStage(item, "run", &test->run);
}

Status ReadOutputFile(const Json& item, OutputFile* file) {
  ENVICUTOR_RETURN_IF_ERROR(ReadBoundedString(item, "path", kMaxPathBytes, &file->path));
  ENVICUTOR_RETURN_IF_ERROR(wire::ReadBytes(item, "content", "encoding", &file->content));
  return ReadBool(item, "truncated", &file->truncated);
}

}  // namespace

Json RunResultToJson(const RunResult& result) {
  Json object = {{"uid", result.uid},
                 {"attempt", result.attempt},
                 {"verdict", VerdictName(result.verdict)},
                 {"cancelled", result.cancelled},
                 {"deadlineExceeded", result.deadline_exceeded},
                 {"environmentUnavailable", result.environment_unavailable},
                 {"environmentFetchMillis", result.environment_fetch_millis},
                 {"message", result.message},
                 {"compileCached", result.compile_cached},
                 {"startedUnixMillis", result.started_unix_millis},
                 {"finishedUnixMillis", result.finished_unix_millis},
                 {"overheadMillis", result.overhead_millis}};
  if (result.extract) object["extract"] = StageResultToJson(*result.extract);
  if (result.compile) object["compile"] = StageResultToJson(*result.compile);
  if (result.run) object["run"] = StageResultToJson(*result.run);
  if (!result.tests.empty()) {
    Json& tests = object["tests"] = Json::array();
    for (const TestResult& test : result.tests) {
      Json entry = {{"name", test.name}, {"verdict", VerdictName(test.verdict)}};
      if (test.run) entry["run"] = StageResultToJson(*test.run);
      tests.push_back(std::move(entry));
    }
  }
  if (!result.output_files.empty()) {
    Json& files = object["outputFiles"] = Json::array();
    for (const OutputFile& file : result.output_files) {
      Json entry = {{"path", file.path}, {"truncated", file.truncated}};
      wire::PutBytes(entry, "content", "encoding", file.content);
      files.push_back(std::move(entry));
    }
  }
  return object;
}

Result<RunResult> RunResultFromJson(const Json& object) {
  if (!object.is_object()) return InvalidArgument("a run result must be an object");
  RunResult result;
  ENVICUTOR_RETURN_IF_ERROR(ReadBoundedString(object, "uid", kMaxUidBytes, &result.uid));
  if (result.uid.empty()) return InvalidArgument("field \"uid\" must not be empty");
  ENVICUTOR_RETURN_IF_ERROR(ReadBoundedInt(object, "attempt", 1, kMaxAttempt, &result.attempt));
  ENVICUTOR_RETURN_IF_ERROR(ReadVerdict(object, &result.verdict));
  ENVICUTOR_RETURN_IF_ERROR(ReadBool(object, "cancelled", &result.cancelled));
  ENVICUTOR_RETURN_IF_ERROR(ReadBool(object, "deadlineExceeded", &result.deadline_exceeded));
  ENVICUTOR_RETURN_IF_ERROR(
      ReadBool(object, "environmentUnavailable", &result.environment_unavailable));
  ENVICUTOR_RETURN_IF_ERROR(ReadBoundedInt(object, "environmentFetchMillis", 0, INT64_MAX,
                                           &result.environment_fetch_millis));
  ENVICUTOR_RETURN_IF_ERROR(
      ReadBoundedString(object, "message", wire::kMaxTextBytes, &result.message));
  ENVICUTOR_RETURN_IF_ERROR(ReadStage(object, "extract", &result.extract));
  ENVICUTOR_RETURN_IF_ERROR(ReadStage(object, "compile", &result.compile));
  ENVICUTOR_RETURN_IF_ERROR(ReadStage(object, "run", &result.run));
  ENVICUTOR_RETURN_IF_ERROR(ReadArray(object, "tests", kMaxTests, [&](const Json& item) {
    return ReadTestResult(item, &result.tests.emplace_back());
  }));
  ENVICUTOR_RETURN_IF_ERROR(ReadArray(
      object, "outputFiles", kMaxOutputFiles,
      [&](const Json& item) { return ReadOutputFile(item, &result.output_files.emplace_back()); }));
  ENVICUTOR_RETURN_IF_ERROR(ReadBool(object, "compileCached", &result.compile_cached));
  ENVICUTOR_RETURN_IF_ERROR(
      ReadBoundedInt(object, "startedUnixMillis", 0, INT64_MAX, &result.started_unix_millis));
  ENVICUTOR_RETURN_IF_ERROR(
      ReadBoundedInt(object, "finishedUnixMillis", 0, INT64_MAX, &result.finished_unix_millis));
  ENVICUTOR_RETURN_IF_ERROR(
      ReadBoundedInt(object, "overheadMillis", 0, INT64_MAX, &result.overhead_millis));
  return result;
}

Json AgentInfoToJson(const AgentInfo& info) {
  return {{"instance", info.instance},    {"version", info.version},
          {"sandbox", info.sandbox},      {"degraded", info.degraded},
          {"slots", info.slots},          {"memoryBytes", info.memory_bytes},
          {"busySlots", info.busy_slots}, {"draining", info.draining}};
}

Result<AgentInfo> AgentInfoFromJson(const Json& object) {
  if (!object.is_object()) return InvalidArgument("agent info must be an object");
  constexpr int64_t kMaxSlots = 4096;
  AgentInfo info;
  ENVICUTOR_RETURN_IF_ERROR(ReadBoundedString(object, "instance", kMaxUidBytes, &info.instance));
  ENVICUTOR_RETURN_IF_ERROR(ReadBoundedString(object, "version", 64, &info.version));
  ENVICUTOR_RETURN_IF_ERROR(ReadBoundedString(object, "sandbox", 64, &info.sandbox));
  ENVICUTOR_RETURN_IF_ERROR(ReadBool(object, "degraded", &info.degraded));
  ENVICUTOR_RETURN_IF_ERROR(ReadBoundedInt(object, "slots", 0, kMaxSlots, &info.slots));
  ENVICUTOR_RETURN_IF_ERROR(
      ReadBoundedInt(object, "memoryBytes", 0, INT64_MAX, &info.memory_bytes));
  ENVICUTOR_RETURN_IF_ERROR(ReadBoundedInt(object, "busySlots", 0, kMaxSlots, &info.busy_slots));
  ENVICUTOR_RETURN_IF_ERROR(ReadBool(object, "draining", &info.draining));
  return info;
}

}  // namespace envicutor::api
