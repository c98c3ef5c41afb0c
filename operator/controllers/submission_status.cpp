#include "operator/controllers/submission_status.h"

#include <algorithm>
#include <array>

#include "common/base/encoding.h"
#include "common/kube/object_text.h"
#include "common/kube/resource.h"
#include "operator/controllers/size_budget.h"

namespace envicutor::op {
namespace {

constexpr size_t kMaxMessageBytes = 16U << 10U;
// A result with more outputs than this is measured before it is written.
constexpr size_t kSurelySmallBytes = 64U << 10U;

std::string Cut(std::string_view text, size_t max) {
  std::string clean = IsUtf8(text) ? std::string(text) : ToUtf8Lossy(text);
  if (clean.size() <= max) return clean;
  return std::string(Utf8Prefix(clean, max - 3)) + "...";
}

std::string StageEnd(std::string_view stage, const api::StageResult& result) {
  std::string text = "the " + std::string(stage) + " stage ";
  switch (result.exit_status) {
    case api::ExitStatus::kOk:
      return text + "succeeded";
    case api::ExitStatus::kTimeLimit:
      text += "exceeded its time limit";
      break;
    case api::ExitStatus::kMemoryLimit:
      text += "exceeded its memory limit";
      break;
    case api::ExitStatus::kOutputLimit:
      text += "exceeded its output limit";
      break;
    case api::ExitStatus::kSignaled:
      text += "was ended by signal " + std::to_string(result.exit_signal.value_or(0));
      break;
    case api::ExitStatus::kRuntimeError:
      text += "exited with code " + std::to_string(result.exit_code.value_or(-1));
      break;
    case api::ExitStatus::kSandboxError:
      text += "could not be run";
      if (!result.exit_message.empty()) text += ": " + result.exit_message;
      break;
  }
  if (!result.limit.empty()) text += " (" + result.limit + ")";
  return text;
}

Json PlacementJson(const RunPlacement& placement) {
  Json executor = Json::object();
  if (!placement.pod.empty()) executor["pod"] = placement.pod;
  if (!placement.node.empty()) executor["node"] = placement.node;
  return executor;
}

// The stage that stands for the run: of the first test that is not Accepted, else of the last that
// ran.
void StandForRun(api::RunResult* result) {
  if (result->run.has_value()) return;
  for (const api::TestResult& test : result->tests) {
    if (!test.run.has_value()) continue;
    result->run = test.run;
    if (test.verdict != api::Verdict::kAccepted) break;
  }
}

Json StagesJson(const Outcome& outcome) {
  Json stages = Json::object();
  if (outcome.environment.has_value()) {
    stages["environment"] = api::StageResultToJson(*outcome.environment);
  }
  if (!outcome.result.has_value()) return stages;
  const api::RunResult& result = *outcome.result;
  if (result.extract.has_value()) stages["extract"] = api::StageResultToJson(*result.extract);
  if (result.compile.has_value()) stages["compile"] = api::StageResultToJson(*result.compile);
  if (result.run.has_value()) stages["run"] = api::StageResultToJson(*result.run);
  return stages;
}

Json TestsJson(const api::RunResult& result) {
  Json tests = Json::array();
  for (const api::TestResult& test : result.tests) {
    Json entry = {{"name", test.name}};
    if (test.verdict != api::Verdict::kNone) entry["verdict"] = api::VerdictName(test.verdict);
    if (test.run.has_value()) entry["run"] = api::StageResultToJson(*test.run);
    tests.push_back(std::move(entry));
  }
  return tests;
}

Json OutputFilesJson(const api::RunResult& result) {
  Json files = Json::array();
  for (const api::OutputFile& file : result.output_files) {
    const bool text = IsUtf8(file.content);
    Json entry = {{"path", file.path},
                  {"content", text ? file.content : Base64Encode(file.content)},
                  {"truncated", file.truncated}};
    if (!text) entry["encoding"] = "base64";
    files.push_back(std::move(entry));
  }
  return files;
}

Json StatusJson(const Outcome& outcome) {
  Json status = {{"phase", PhaseName(outcome.phase)},
                 {"message", Cut(outcome.message, kMaxMessageBytes)}};
  if (!outcome.reason.empty()) status["reason"] = outcome.reason;
  if (outcome.verdict != api::Verdict::kNone) status["verdict"] = api::VerdictName(outcome.verdict);
  Json stages = StagesJson(outcome);
  if (!stages.empty()) status["stages"] = std::move(stages);
  if (outcome.placement.has_value()) {
    Json executor = PlacementJson(*outcome.placement);
    if (!executor.empty()) status["executor"] = std::move(executor);
  }
  if (outcome.admitted && outcome.attempt > 0) status["attempt"] = outcome.attempt;
  if (outcome.queue_millis.has_value()) status["queueMillis"] = *outcome.queue_millis;
  if (outcome.overhead_millis.has_value()) status["overheadMillis"] = *outcome.overhead_millis;
  if (!outcome.result.has_value()) return status;
  const api::RunResult& result = *outcome.result;
  if (!result.tests.empty()) status["tests"] = TestsJson(result);
  if (!result.output_files.empty()) status["outputFiles"] = OutputFilesJson(result);
  if (result.compile_cached) status["compileCached"] = true;
  if (result.started_unix_millis > 0) {
    status["startTime"] =
        FormatRfc3339(WallTime(std::chrono::milliseconds(result.started_unix_millis)));
  }
  return status;
}

// With all of the metadata that it was made from: what a status update does not say of it stays,
// but a kube-apiserver takes it for removed by us, and labels, annotations and finalizers that
// somebody applied lose their owner.
Json UpdateOf(const Json& submission, Json status) {
  Json metadata = At(submission, {"metadata"});
  metadata.erase("managedFields");
  return {{"apiVersion", kube::kSubmissions.ApiVersion()},
          {"kind", kube::kSubmissions.kind},
          {"metadata", std::move(metadata)},
          {"status", std::move(status)}};
}

bool IsTerminalPhase(std::string_view phase) {
  return phase == "Completed" || phase == "Failed" || phase == "Cancelled";
}

Json ConditionsOf(const Json& submission) {
  const Json& conditions = At(submission, {"status", "conditions"});
  return conditions.is_array() ? conditions : Json::array();
}

}  // namespace

std::string_view PhaseName(Phase phase) {
  switch (phase) {
    case Phase::kPending:
      return "Pending";
    case Phase::kRunning:
      return "Running";
    case Phase::kCompleted:
      return "Completed";
    case Phase::kFailed:
      return "Failed";
    case Phase::kCancelled:
      return "Cancelled";
  }
  return "Failed";
}

bool IsTerminal(const Json& submission) {
  return IsTerminalPhase(GetString(At(submission, {"status"}), "phase"));
}

Json FinishedMembers(const Json& submission, const Json& status, const std::string& version) {
  Json few = {{"metadata",
               {{"name", kube::NameOf(submission)},
                {"namespace", kube::NamespaceOf(submission)},
                {"uid", kube::UidOf(submission)},
                {"resourceVersion", version}}},
              {"status",
               {{"phase", GetString(status, "phase")},
                {"completionTime", GetString(status, "completionTime")}}}};
  const Json& ttl = At(submission, {"spec", "ttlSecondsAfterFinished"});
  if (!ttl.is_null()) few["spec"] = {{"ttlSecondsAfterFinished", ttl}};
  return few;
}

std::optional<Json> SkimFinished(std::string_view object) {
  enum { kName, kNamespace, kUid, kVersion, kPhase, kCompletionTime, kTtl, kCount };
  static constexpr std::array<kube::TextPath, kCount> kPaths{
      kube::TextPath{"metadata", "name"},
      kube::TextPath{"metadata", "namespace"},
      kube::TextPath{"metadata", "uid"},
      kube::TextPath{"metadata", "resourceVersion"},
      kube::TextPath{"status", "phase"},
      kube::TextPath{"status", "completionTime"},
      kube::TextPath{"spec", "ttlSecondsAfterFinished"}};
  std::array<std::string_view, kCount> values;
  if (!kube::FindMembers(object, kPaths, values)) return std::nullopt;
  std::string phase = kube::TextString(values[kPhase]);
  if (!IsTerminalPhase(phase)) return std::nullopt;
  Json few = {{"metadata",
               {{"name", kube::TextString(values[kName])},
                {"namespace", kube::TextString(values[kNamespace])},
                {"uid", kube::TextString(values[kUid])},
                {"resourceVersion", kube::TextString(values[kVersion])}}},
              {"status",
               {{"phase", std::move(phase)},
                {"completionTime", kube::TextString(values[kCompletionTime])}}}};
  if (values[kTtl].empty()) return few;
  Result<Json> ttl = ParseJson(values[kTtl]);
  if (!ttl.ok()) return std::nullopt;
  few["spec"] = {{"ttlSecondsAfterFinished", std::move(ttl).value()}};
  return few;
}

int64_t UncountedAttempts(const Json& submission) {
  const Json& status = At(submission, {"status"});
  return std::clamp<int64_t>(GetInt(status, "uncountedAttempts"), 0,
                             std::max<int64_t>(0, GetInt(status, "attempt", 1) - 1));
}

bool AsksForCancel(const Json& submission) {
  return GetBool(At(submission, {"spec"}), "cancel") ||
         At(submission, {"metadata", "deletionTimestamp"}).is_string();
}

std::string MessageOf(const api::RunResult& result) {
  if (!result.message.empty()) return result.message;
  if (result.extract.has_value() && result.extract->exit_status != api::ExitStatus::kOk) {
    return StageEnd("extract", *result.extract);
  }
  if (result.compile.has_value() && result.compile->exit_status != api::ExitStatus::kOk) {
    return StageEnd("compile", *result.compile);
  }
  if (!result.tests.empty()) {
    const auto accepted =
        std::count_if(result.tests.begin(), result.tests.end(),
                      [](const auto& test) { return test.verdict == api::Verdict::kAccepted; });
    return std::to_string(accepted) + " of " + std::to_string(result.tests.size()) +
           " tests accepted";
  }
  if (result.run.has_value()) return StageEnd("run", *result.run);
  return std::string(api::VerdictName(result.verdict));
}

int64_t StageMillis(const api::RunResult& result) {
  int64_t total = 0;
  if (result.extract.has_value()) total += result.extract->wall_time_millis;
  if (result.compile.has_value() && !result.compile_cached)
    total += result.compile->wall_time_millis;
  if (!result.tests.empty()) {
    for (const api::TestResult& test : result.tests) {
      if (test.run.has_value()) total += test.run->wall_time_millis;
    }
  } else if (result.run.has_value()) {
    total += result.run->wall_time_millis;
  }
  return total;
}

Json ProgressUpdate(const Json& submission, const Progress& progress, WallTime now) {
  Json status = {{"phase", PhaseName(progress.phase)},
                 {"message", Cut(progress.message, kMaxMessageBytes)}};
  if (!progress.reason.empty()) status["reason"] = progress.reason;
  if (progress.placement.has_value()) status["executor"] = PlacementJson(*progress.placement);
  if (progress.start_time.has_value()) status["startTime"] = FormatRfc3339(*progress.start_time);
  if (progress.attempt > 1) status["attempt"] = progress.attempt;
  const int64_t uncounted = std::max(progress.uncounted_attempts, UncountedAttempts(submission));
  if (uncounted > 0) status["uncountedAttempts"] = uncounted;
  const int64_t generation = GetInt(At(submission, {"metadata"}), "generation");
  Json conditions = ConditionsOf(submission);
  if (progress.admitted) {
    kube::SetCondition(&conditions, {"Admitted", "True", "Admitted", "", generation},
                       FormatRfc3339(now));
  }
  kube::SetCondition(&conditions,
                     {"Finished", "False", std::string(PhaseName(progress.phase)), "", generation},
                     FormatRfc3339(now));
  status["conditions"] = std::move(conditions);
  return UpdateOf(submission, std::move(status));
}

Json OutcomeUpdate(const Json& submission, Outcome outcome, WallTime now) {
  if (outcome.result.has_value()) {
    StandForRun(&*outcome.result);
    if (outcome.message.empty()) outcome.message = MessageOf(*outcome.result);
  }
  std::vector<OutputSlot> outputs;
  if (outcome.result.has_value()) outputs = OutputsOf(&*outcome.result);
  if (outcome.environment.has_value()) {
    for (const OutputSlot& slot : OutputsOf(&*outcome.environment)) outputs.push_back(slot);
  }
  size_t raw = 0;
  for (const OutputSlot& slot : outputs) raw += slot.data->size();
  if (raw > kSurelySmallBytes) {
    // Everything but the outputs is paid first: the spec, and a result with empty outputs.
    size_t others =
        StoredObjectSize(At(submission, {"spec"})) + StoredObjectSize(At(submission, {"metadata"}));
    constexpr size_t kFixedBytes = 16U << 10U;  // conditions, bookkeeping, JSON around outputs
    constexpr size_t kPerOutputBytes = 512;     // the numbers of a stage
    others += kFixedBytes + kPerOutputBytes * outputs.size();
    const size_t left = others < kObjectBudgetBytes ? kObjectBudgetBytes - others : 0;
    FitOutputs(outputs, std::max(left, kLeastResultBytes));
  }
  Json status = StatusJson(outcome);
  const std::string time = FormatRfc3339(now);
  status["completionTime"] = time;
  const int64_t generation = GetInt(At(submission, {"metadata"}), "generation");
  const std::string message = Cut(outcome.message, 1024);
  const std::string word =
      outcome.reason.empty() ? std::string(PhaseName(outcome.phase)) : outcome.reason;
  Json conditions = ConditionsOf(submission);
  if (outcome.admitted) {
    kube::SetCondition(&conditions, {"Admitted", "True", "Admitted", "", generation}, time);
  } else {
    kube::SetCondition(&conditions, {"Admitted", "False", word, message, generation}, time);
  }
  kube::SetCondition(&conditions, {"Finished", "True", word, message, generation}, time);
  const bool accepted =
      outcome.phase == Phase::kCompleted && outcome.verdict == api::Verdict::kAccepted;
  const std::string verdict(api::VerdictName(outcome.verdict));
  kube::SetCondition(&conditions,
                     {"Succeeded", accepted ? "True" : "False", verdict.empty() ? word : verdict,
                      message, generation},
                     time);
  status["conditions"] = std::move(conditions);
  return UpdateOf(submission, std::move(status));
}

}  // namespace envicutor::op
