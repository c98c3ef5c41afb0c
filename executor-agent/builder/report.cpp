#include "executor-agent/builder/report.h"

#include <algorithm>

#include "common/base/encoding.h"
#include "common/base/json.h"

namespace envicutor::agent {
namespace {

constexpr size_t kMaxMessageBytes = 1024;

std::string_view Tail(std::string_view text, size_t bytes) {
  if (text.size() <= bytes) return text;
  text = text.substr(text.size() - bytes);
  // Not from the middle of a line, unless it is one long line.
  const size_t newline = text.find('\n');
  if (newline != std::string_view::npos && newline + 1 < text.size())
    text = text.substr(newline + 1);
  return text;
}

void ReplaceAll(std::string* text, std::string_view from, std::string_view to) {
  for (size_t at = text->find(from); at != std::string::npos;
       at = text->find(from, at + to.size())) {
    text->replace(at, from.size(), to);
  }
}

}  // namespace

std::string_view BuildOutcomeName(BuildOutcome outcome) {
  switch (outcome) {
    case BuildOutcome::kBuilt:
      return "Built";
    case BuildOutcome::kBuildFailed:
      return "BuildFailed";
    case BuildOutcome::kEvaluationFailed:
      return "EvaluationFailed";
    case BuildOutcome::kTimedOut:
      return "TimedOut";
    case BuildOutcome::kOutOfMemory:
      return "OutOfMemory";
    case BuildOutcome::kPublishFailed:
      return "PublishFailed";
    case BuildOutcome::kInternalError:
      return "InternalError";
  }
  return "InternalError";
}

std::string TerminationMessage(const BuildReport& report) {
  size_t log_bytes = 3072;
  size_t message_bytes = kMaxMessageBytes;
  while (true) {
    Json json = {{"outcome", BuildOutcomeName(report.outcome)},
                 {"message", ToUtf8Lossy(Utf8Prefix(report.message, message_bytes))}};
    if (!report.reason.empty()) json["reason"] = report.reason;
    if (report.outcome == BuildOutcome::kBuilt || report.outcome == BuildOutcome::kPublishFailed) {
      const api::BuiltEnvironment& built = report.environment;
      json["environment"] = {{"hash", built.hash},
                             {"storePath", built.store_path},
                             {"closureSizeBytes", built.closure_size_bytes},
                             {"closurePaths", report.closure_paths},
                             {"signedBy", built.signed_by}};
    }
    if (report.stage) {
      api::StageResult stage = *report.stage;
      const std::string_view tail = Tail(stage.stderr_data, log_bytes);
      stage.stderr_truncated = stage.stderr_truncated || tail.size() < stage.stderr_data.size();
      stage.stderr_data = ToUtf8Lossy(tail);
      json["stage"] = api::StageResultToJson(stage);
    }
    std::string text = DumpJson(json);
    if (text.size() <= kMaxTerminationMessageBytes) return text;
    if (log_bytes > 0) {
      log_bytes = log_bytes < 64 ? 0 : log_bytes * 3 / 4;
    } else {
      message_bytes /= 2;
    }
  }
}

std::string WithoutOurFolders(std::string_view given) {
  std::string text(given);
  ReplaceAll(&text, "/mnt/request/", "");
  ReplaceAll(&text, "/mnt/nixpkgs", "<nixpkgs>");
  return text;
}

std::string UsefulError(std::string_view log) {
  size_t start = std::string_view::npos;
  for (size_t at = log.find("error:"); at != std::string_view::npos;
       at = log.find("error:", at + 1)) {
    if (at != 0 && log[at - 1] != '\n') continue;
    // "error: 1 dependencies of derivation ... failed" only repeats the error before it.
    if (log.substr(at, 64).find(" dependencies of derivation") != std::string_view::npos) continue;
    start = at;
  }
  if (start == std::string_view::npos) return "";
  std::string text;
  for (std::string_view rest = log.substr(start); !rest.empty();) {
    const size_t newline = rest.find('\n');
    const std::string_view line = rest.substr(0, newline);
    rest = newline == std::string_view::npos ? "" : rest.substr(newline + 1);
    if (line.find("--show-trace") != std::string_view::npos) continue;
    if (line.find("For full logs, run") != std::string_view::npos) continue;
    if (line.find(" dependencies of derivation") != std::string_view::npos) continue;
    if (line.find_first_not_of(" \t") == std::string_view::npos) continue;
    text += line;
    text += '\n';
  }
  text = WithoutOurFolders(text);
  text.erase(0, std::string_view("error:").size());
  const size_t first = text.find_first_not_of(" \n");
  const size_t last = text.find_last_not_of(" \n");
  if (first == std::string::npos) return "";
  return ToUtf8Lossy(
      Utf8Prefix(std::string_view(text).substr(first, last - first + 1), kMaxMessageBytes));
}

}  // namespace envicutor::agent
