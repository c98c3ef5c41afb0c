#include "tests/load/trace.h"

#include <array>
#include <fstream>

#include "tests/load/figures.h"

namespace envicutor::load {
namespace {

struct Moment {
  std::string_view name;
  std::string_view line;  // msg of the log line that tells of it; "": the generator's own
};

constexpr std::array<Moment, kMomentCount> kMoments{{
    {"createSent", ""},
    {"createAcknowledged", ""},
    {"seenByOperator", "submission seen"},
    {"scheduled", "submission queued"},
    {"runStarted", "run started"},
    {"dispatched", "submission dispatched"},
    {"runFinished", "run finished"},
    {"resultReceived", "result received"},
    {"recorded", "submission finished"},
    {"seenByClient", ""},
}};

}  // namespace

Status ReadMoments(const std::string& log_path, std::unordered_map<std::string, Moments>* moments) {
  std::ifstream file(log_path);
  if (!file) return NotFound(log_path + " cannot be read");
  for (std::string line; std::getline(file, line);) {
    // A node writes when it read a line, and from where, in front of it.
    const size_t start = line.find('{');
    if (start == std::string::npos) continue;
    const Result<Json> parsed = ParseJson(std::string_view(line).substr(start));
    if (!parsed.ok()) continue;  // a line that another process wrote
    const auto found = moments->find(GetString(*parsed, "name"));
    if (found == moments->end()) continue;
    const std::string message = GetString(*parsed, "msg");
    for (size_t i = 0; i < kMomentCount; ++i) {
      if (kMoments[i].line.empty() || kMoments[i].line != message) continue;
      const Result<WallTime> time = ParseRfc3339(GetString(*parsed, "time"));
      if (time.ok()) found->second.at[i] = *time;
    }
  }
  return OkStatus();
}

Json StepSummaries(const std::unordered_map<std::string, Moments>& moments) {
  std::array<std::vector<double>, kMomentCount> since_before;
  std::array<size_t, kMomentCount> before{};
  for (const auto& [name, one] : moments) {
    size_t last = kCreateSent;
    for (size_t i = kCreateSent + 1; i < kMomentCount; ++i) {
      if (one.at[i] == WallTime{}) continue;
      since_before[i].push_back(MillisOf(one.at[i] - one.at[last]));
      before[i] = last;
      last = i;
    }
  }
  Json steps = Json::array();
  for (size_t i = kCreateSent + 1; i < kMomentCount; ++i) {
    if (since_before[i].empty()) continue;
    Json step = Summary(std::move(since_before[i]));
    step["from"] = std::string(kMoments[before[i]].name);
    step["to"] = std::string(kMoments[i].name);
    steps.push_back(std::move(step));
  }
  return steps;
}

}  // namespace envicutor::load
