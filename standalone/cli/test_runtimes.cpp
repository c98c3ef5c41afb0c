// `envicutor test-runtimes DIR`.
#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <filesystem>
#include <mutex>
#include <system_error>

#include "common/base/file.h"
#include "common/kube/resource.h"
#include "standalone/cli/command.h"
#include "standalone/cli/crds.h"
#include "standalone/cli/signals.h"

namespace envicutor::standalone {
namespace {

constexpr std::chrono::milliseconds kAskAgain{300};

// Every Runtime of the folder's .yaml, .yml and .json files, in the order of the names.
Result<std::vector<Json>> LoadRuntimes(const std::string& dir) {
  std::error_code error;
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(dir, error)) {
    const std::string extension = entry.path().extension().string();
    if (extension == ".yaml" || extension == ".yml" || extension == ".json") {
      files.push_back(entry.path().string());
    }
  }
  if (error) return NotFound(dir + ": " + error.message());
  std::sort(files.begin(), files.end());
  std::vector<Json> runtimes;
  for (const std::string& file : files) {
    ENVICUTOR_ASSIGN(const std::string text, ReadFile(file));
    Result<std::vector<Json>> documents = ParseYamlDocuments(text);
    if (!documents.ok()) return documents.status().WithContext(file);
    for (Json& document : *documents) {
      if (GetString(document, "kind") == "Runtime") runtimes.push_back(std::move(document));
    }
  }
  if (runtimes.empty()) return NotFound(dir + " holds no Runtime");
  return runtimes;
}

// Ready, or failed for the generation that was applied.
bool Settled(const Json& runtime) {
  const int64_t generation = GetInt(At(runtime, {"metadata"}), "generation");
  const std::string phase = GetString(At(runtime, {"status"}), "phase");
  const Json& conditions = At(runtime, {"status", "conditions"});
  if (!conditions.is_array()) return false;
  for (const Json& condition : conditions) {
    if (GetString(condition, "type") != "Ready") continue;
    return GetInt(condition, "observedGeneration") == generation &&
           (phase == "Ready" || phase == "Failed");
  }
  return false;
}

Json Report(const Json& runtime) {
  const Json& status = At(runtime, {"status"});
  std::string message;
  const Json& conditions = At(status, {"conditions"});
  for (const Json& condition : conditions.is_array() ? conditions : Json::array()) {
    if (GetString(condition, "type") == "Ready") message = GetString(condition, "message");
  }
  const Json& tests = At(status, {"selfTests"});
  return {{"name", kube::NameOf(runtime)},
          {"ready", kube::ConditionStatus(runtime, "Ready") == "True" && Settled(runtime)},
          {"phase", GetString(status, "phase", "Pending")},
          {"message", message},
          {"selfTests", tests.is_array() ? tests : Json::array()}};
}

void PrintTable(const Json& reports) {
  std::vector<std::vector<std::string>> rows = {{"RUNTIME", "SELF-TEST", "RESULT", "MESSAGE"}};
  for (const Json& report : reports) {
    const std::string name = GetString(report, "name");
    for (const Json& test : At(report, {"selfTests"})) {
      rows.push_back({name, GetString(test, "name"), GetBool(test, "passed") ? "passed" : "failed",
                      GetString(test, "message")});
    }
    if (At(report, {"selfTests"}).empty() || !GetBool(report, "ready")) {
      rows.push_back({name, "-", GetString(report, "phase"), GetString(report, "message")});
    }
  }
  std::fputs(FormatTable(rows).c_str(), stdout);
}

Result<Json> ApplyAndWait(kube::Client& client, const std::vector<Json>& runtimes,
                          std::chrono::seconds timeout, std::stop_token stop) {
  for (const Json& runtime : runtimes) {
    const Result<Json> applied = kube::CreateOrPatch(client, kube::kRuntimes, "", runtime);
    if (!applied.ok()) return applied.status().WithContext(kube::NameOf(runtime));
  }
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  std::mutex mutex;
  std::condition_variable_any changed;
  while (true) {
    Json reports = Json::array();
    bool settled = true;
    for (const Json& runtime : runtimes) {
      ENVICUTOR_ASSIGN(const Json now, client.Get(kube::kRuntimes, "", kube::NameOf(runtime)));
      settled = settled && Settled(now);
      reports.push_back(Report(now));
    }
    if (settled || std::chrono::steady_clock::now() >= deadline) return reports;
    if (stop.stop_requested()) return Status(Code::kCancelled, "interrupted");
    std::unique_lock lock(mutex);
    changed.wait_for(lock, stop, kAskAgain, [] { return false; });
  }
}

}  // namespace

int TestRuntimesCommand(const Arguments& argv) {
  std::string kubeconfig;
  std::string output;
  int64_t timeout = 900;
  Flags flags(
      "test-runtimes DIR [flags]",
      "Applies the Runtimes of a folder, waits until each is Ready or has failed, and reports "
      "their self-tests. Exit code 1 when any is not Ready.");
  flags.Examples({"envicutor test-runtimes docs/examples/runtimes"});
  flags.String("kubeconfig", &kubeconfig, "FILE", "which API server");
  flags.String("output", &output, "json|yaml", "how to print", 'o');
  flags.Int("timeout", &timeout, "seconds to wait for all");
  int exit_code = 0;
  if (ParsedToEnd(flags, argv, &exit_code)) return exit_code;
  if (flags.positional().size() != 1) {
    std::fputs("error: exactly one DIR is needed\nSee 'envicutor test-runtimes --help'.\n", stderr);
    return 2;
  }
  if (const Status checked = CheckOutput(output); !checked.ok()) return Fail(checked);
  const Result<std::vector<Json>> runtimes = LoadRuntimes(flags.positional()[0]);
  if (!runtimes.ok()) return Fail(runtimes.status());
  SignalStop stop;
  Result<Connection> connection = Connect(kubeconfig);
  if (!connection.ok()) return Fail(connection.status());
  const Result<Json> reports =
      ApplyAndWait(*connection->client, *runtimes, std::chrono::seconds(timeout), stop.token());
  if (!reports.ok()) return Fail(reports.status());
  if (output.empty()) {
    PrintTable(*reports);
  } else {
    Print({{"runtimes", *reports}}, output);
  }
  const bool all = std::all_of(reports->begin(), reports->end(),
                               [](const Json& report) { return GetBool(report, "ready"); });
  return all ? 0 : 1;
}

}  // namespace envicutor::standalone
