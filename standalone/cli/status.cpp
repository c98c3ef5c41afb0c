// `envicutor status`.
#include <cstdio>
#include <map>

#include "common/kube/config.h"
#include "common/kube/resource.h"
#include "standalone/cli/command.h"
#include "standalone/cli/data_dir.h"

namespace envicutor::standalone {
namespace {

Json Counts(const std::vector<Json>& objects) {
  std::map<std::string, int64_t> counts;
  for (const Json& object : objects) {
    const std::string phase = GetString(At(object, {"status"}), "phase");
    ++counts[phase.empty() ? "Pending" : phase];
  }
  return counts.empty() ? Json::object() : Json(counts);
}

Json Processes(const RunRecord& record) {
  Json list = Json::array();
  const bool up = OpenProcess(record.supervisor).valid();
  list.push_back(
      {{"name", "up"}, {"pid", record.supervisor.pid}, {"running", up}, {"restarts", 0}});
  for (const RunningChild& child : record.children) {
    list.push_back({{"name", child.name},
                    {"pid", child.process.pid},
                    {"running", OpenProcess(child.process).valid()},
                    {"restarts", child.restarts}});
  }
  return list;
}

// What the API server says; an "error" member when it cannot be asked.
Json Cluster(const DataDir& data) {
  const auto ask = [&data]() -> Result<Json> {
    ENVICUTOR_ASSIGN(const kube::ClientConfig config, kube::LoadKubeconfig(data.Kubeconfig()));
    ENVICUTOR_ASSIGN(const auto client, kube::NewClient(config));
    Json cluster;
    kube::ListOptions of_executors;
    of_executors.label_selector = "app.kubernetes.io/component=executor";
    ENVICUTOR_ASSIGN(const kube::List pods,
                     client->ListAll(kube::kPods, "envicutor-executors", of_executors));
    cluster["executors"] = Json::array();
    for (const Json& pod : pods.items) {
      cluster["executors"].push_back({{"name", kube::NameOf(pod)},
                                      {"ready", kube::ConditionStatus(pod, "Ready") == "True"},
                                      {"ip", GetString(At(pod, {"status"}), "podIP")}});
    }
    ENVICUTOR_ASSIGN(const kube::List pools, client->ListAll(kube::kExecutorPools, "", {}));
    cluster["pools"] = Json::array();
    for (const Json& pool : pools.items) {
      const Json& status = At(pool, {"status"});
      cluster["pools"].push_back({{"name", kube::NameOf(pool)},
                                  {"slots", GetInt(status, "slots")},
                                  {"busySlots", GetInt(status, "busySlots")},
                                  {"queued", GetInt(status, "queued")}});
    }
    ENVICUTOR_ASSIGN(const kube::List runtimes, client->ListAll(kube::kRuntimes, "", {}));
    cluster["runtimes"] = Json::array();
    for (const Json& runtime : runtimes.items) {
      cluster["runtimes"].push_back({{"name", kube::NameOf(runtime)},
                                     {"phase", GetString(At(runtime, {"status"}), "phase")}});
    }
    ENVICUTOR_ASSIGN(const kube::List submissions, client->ListAll(kube::kSubmissions, "", {}));
    cluster["submissions"] = Counts(submissions.items);
    return cluster;
  };
  Result<Json> cluster = ask();
  if (cluster.ok()) return *cluster;
  return {{"error", cluster.status().message()}};
}

void PrintText(const Json& status) {
  std::printf("%s\n", GetString(status, "state").c_str());
  std::vector<std::vector<std::string>> rows = {{"PART", "PID", "STATE", "RESTARTS"}};
  for (const Json& part : At(status, {"processes"})) {
    rows.push_back({GetString(part, "name"), std::to_string(GetInt(part, "pid")),
                    GetBool(part, "running") ? "running" : "not running",
                    std::to_string(GetInt(part, "restarts"))});
  }
  std::fputs(FormatTable(rows).c_str(), stdout);
  std::printf(
      "\nAPI server: https://127.0.0.1:%lld   KUBECONFIG=%s\nMetrics:    http://%s/metrics\n"
      "Node:       %s (%s)\n",
      static_cast<long long>(GetInt(status, "apiPort")), GetString(status, "kubeconfig").c_str(),
      GetString(status, "metricsAddress").c_str(), GetString(status, "mode").c_str(),
      GetString(status, "explanation").c_str());
  const Json& cluster = At(status, {"cluster"});
  if (const std::string error = GetString(cluster, "error"); !error.empty()) {
    std::printf("\nThe API server does not answer: %s\n", error.c_str());
    return;
  }
  const auto table = [](const std::vector<std::vector<std::string>>& lines) {
    if (lines.size() > 1) std::printf("\n%s", FormatTable(lines).c_str());
  };
  std::vector<std::vector<std::string>> executors = {{"EXECUTOR", "READY", "ADDRESS"}};
  for (const Json& pod : At(cluster, {"executors"})) {
    executors.push_back(
        {GetString(pod, "name"), GetBool(pod, "ready") ? "yes" : "no", GetString(pod, "ip")});
  }
  table(executors);
  std::vector<std::vector<std::string>> pools = {{"POOL", "SLOTS", "BUSY", "QUEUED"}};
  for (const Json& pool : At(cluster, {"pools"})) {
    pools.push_back({GetString(pool, "name"), std::to_string(GetInt(pool, "slots")),
                     std::to_string(GetInt(pool, "busySlots")),
                     std::to_string(GetInt(pool, "queued"))});
  }
  table(pools);
  std::vector<std::vector<std::string>> runtimes = {{"RUNTIME", "PHASE"}};
  for (const Json& runtime : At(cluster, {"runtimes"})) {
    runtimes.push_back({GetString(runtime, "name"), GetString(runtime, "phase", "Pending")});
  }
  table(runtimes);
  std::vector<std::vector<std::string>> counts = {{"SUBMISSIONS", "COUNT"}};
  for (const auto& [phase, count] : At(cluster, {"submissions"}).items()) {
    counts.push_back({phase, DumpJson(count)});
  }
  table(counts);
}

}  // namespace

int StatusCommand(const Arguments& argv) {
  std::string data_dir = kDefaultDataDir;
  std::string output;
  Flags flags("status [flags]", "Says what runs, and how it is. Exit code 1 when nothing does.");
  flags.String("data-dir", &data_dir, "DIR", "of which installation");
  flags.String("output", &output, "json|yaml", "how to print", 'o');
  int exit_code = 0;
  if (ParsedToEnd(flags, argv, &exit_code)) return exit_code;
  if (const Status checked = CheckOutput(output); !checked.ok()) return Fail(checked);
  const DataDir data{data_dir};
  const Result<RunRecord> record = ReadRunRecord(data);
  if (!record.ok() || !OpenProcess(record->supervisor).valid()) {
    if (output.empty()) {
      std::puts("not running; `envicutor up` starts it");
    } else {
      Print({{"state", "not running"}}, output);
    }
    return 1;
  }
  const Json status = {{"state", record->ready ? "running" : "starting"},
                       {"processes", Processes(*record)},
                       {"apiPort", record->api_port},
                       {"kubeconfig", data.Kubeconfig()},
                       {"metricsAddress", record->metrics_address},
                       {"mode", record->mode},
                       {"explanation", record->explanation},
                       {"sandbox", record->sandbox},
                       {"slots", record->slots},
                       {"cluster", Cluster(data)}};
  if (output.empty()) {
    PrintText(status);
  } else {
    Print(status, output);
  }
  return 0;
}

}  // namespace envicutor::standalone
