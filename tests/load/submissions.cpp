#include "tests/load/submissions.h"

#include <unistd.h>

#include <algorithm>
#include <mutex>
#include <thread>

#include "common/base/encoding.h"
#include "common/base/file.h"
#include "common/kube/client.h"
#include "common/kube/resource.h"
#include "tests/load/api_requests.h"
#include "tests/load/ends.h"
#include "tests/load/figures.h"
#include "tests/load/pace.h"
#include "tests/load/processes.h"
#include "tests/load/trace.h"

namespace envicutor::load {

const std::vector<std::string> kSubmissionFlags = {
    "kubeconfig", "namespace",    "spec",   "count",        "concurrency", "rate", "timeout",
    "ttl",        "process-tree", "output", "operator-log", "agent-log",   "keep"};
const std::vector<std::string> kBareFlags = {"kubeconfig",   "namespace",   "spec",   "count",
                                             "timeout",      "concurrency", "status", "write",
                                             "process-tree", "output"};

namespace {

constexpr const char* kRunLabel = "envicutor.io/load";
constexpr int kDeleteThreads = 8;
// Of docs/guarantees.md, P4: what is shorter than this costs two writes.
constexpr Duration kQuiet = std::chrono::seconds(1);

struct Run {
  Amount amount;
  std::string ns;
  std::string id;  // in names and in a label: runs do not meet
  Json spec;
  std::unique_ptr<kube::Client> client;

  [[nodiscard]] std::string Name(int64_t i) const { return "load-" + id + "-" + std::to_string(i); }
  [[nodiscard]] Json Submission(int64_t i) const {
    return {{"apiVersion", "envicutor.io/v1alpha1"},
            {"kind", "Submission"},
            {"metadata", {{"name", Name(i)}, {"namespace", ns}, {"labels", {{kRunLabel, id}}}}},
            {"spec", spec}};
  }
};

Result<Run> NewRun(const Flags& flags) {
  Run run;
  ENVICUTOR_ASSIGN(run.amount, AmountFrom(flags));
  run.ns = flags.Text("namespace", "default");
  run.id = RandomHex(4);
  ENVICUTOR_ASSIGN(run.spec,
                   ParseJson(flags.Text("spec", R"({"runtimeRef":{"name":"load"},"source":""})")));
  ENVICUTOR_ASSIGN(const double ttl, flags.Number("ttl", 0, 0, 86'400));
  if (ttl > 0) run.spec["ttlSecondsAfterFinished"] = static_cast<int64_t>(ttl);
  ENVICUTOR_ASSIGN(const kube::ClientConfig config, kube::DefaultConfig(flags.Text("kubeconfig")));
  ENVICUTOR_ASSIGN(run.client, kube::NewClient(config));
  return run;
}

// With a TTL the system deletes them; else the run leaves nothing behind.
Status CleanUp(Run& run) {
  Amount all = run.amount;
  all.rate = 0;
  all.concurrency = kDeleteThreads;
  return RunPaced(all, [&run](int64_t i, SteadyTime) {
    const Status deleted = run.client->Delete(kube::kSubmissions, run.ns, run.Name(i));
    return deleted.code() == Code::kNotFound ? OkStatus() : deleted;
  });
}

// CPU time and memory of the processes below `root` (0: none) and of this one, from here on.
class Meter {
 public:
  Meter(pid_t root, int64_t count)
      : root_(root),
        count_(count),
        before_(Tree(root)),
        self_before_(ReadProcessTree(::getpid())) {}

  // Sets "processes"; CPU ms for each of `count`, all together.
  double Read(Json* report) const {
    Json use = UseBetween(before_, Tree(root_));
    use.update(UseBetween(self_before_, ReadProcessTree(::getpid())));
    double cpu = 0;
    for (const auto& [name, process] : use.items()) {
      cpu += process["cpuSeconds"].get<double>() + process["childrenCpuSeconds"].get<double>();
    }
    (*report)["processes"] = std::move(use);
    return cpu * 1000 / static_cast<double>(count_);
  }

 private:
  static std::map<pid_t, ProcessUse> Tree(pid_t root) {
    return root > 0 ? ReadProcessTree(root) : std::map<pid_t, ProcessUse>();
  }

  const pid_t root_;
  const int64_t count_;
  const std::map<pid_t, ProcessUse> before_;
  const std::map<pid_t, ProcessUse> self_before_;
};

struct Stamps {
  SteadyTime due;
  SteadyTime acknowledged;
};

// Steady time on the wall clock, as logs have it.
WallTime Wall(SteadyTime time) {
  const SystemClock clock;
  return clock.WallNow() + std::chrono::duration_cast<Duration>(time - clock.Now());
}

Result<Json> Steps(const Run& run, const std::vector<Stamps>& stamps,
                   const std::unordered_map<std::string, End>& ends,
                   const std::vector<std::string>& logs) {
  std::unordered_map<std::string, Moments> moments;
  for (size_t i = 0; i < stamps.size(); ++i) {
    const std::string name = run.Name(static_cast<int64_t>(i));
    Moments& one = moments[name];
    one.at[kCreateSent] = Wall(stamps[i].due);
    one.at[kCreateAcknowledged] = Wall(stamps[i].acknowledged);
    one.at[kSeenByClient] = Wall(ends.at(name).seen);
  }
  for (const std::string& log : logs) {
    if (!log.empty()) ENVICUTOR_RETURN_IF_ERROR(ReadMoments(log, &moments));
  }
  return StepSummaries(moments);
}

// Creates all and waits for their ends.
Status Drive(Run& run, Ends& ends, std::vector<Stamps>* stamps, SteadyTime deadline) {
  stamps->resize(static_cast<size_t>(run.amount.count));
  const bool closed = run.amount.rate <= 0;
  const auto create = [&](int64_t i, SteadyTime due) -> Status {
    Stamps& own = (*stamps)[static_cast<size_t>(i)];
    own.due = due;
    ENVICUTOR_RETURN_IF_ERROR(
        run.client->CreateForVersion(kube::kSubmissions, run.ns, run.Submission(i)).status());
    own.acknowledged = std::chrono::steady_clock::now();
    return closed ? ends.Wait(run.Name(i), deadline).status() : OkStatus();
  };
  ENVICUTOR_RETURN_IF_ERROR(RunPaced(run.amount, create));
  return ends.WaitForAll(stamps->size(), deadline);
}

Json Report(const Run& run, const std::vector<Stamps>& stamps,
            const std::unordered_map<std::string, End>& ends) {
  std::vector<double> total;
  std::vector<double> acknowledge;
  std::vector<double> overhead;
  std::map<std::string, int64_t> verdicts;
  std::map<int, int64_t> writes;  // the creator's included
  int64_t unexplained = 0;
  SteadyTime last{};
  for (size_t i = 0; i < stamps.size(); ++i) {
    const End& end = ends.at(run.Name(static_cast<int64_t>(i)));
    total.push_back(MillisOf(end.seen - stamps[i].due));
    acknowledge.push_back(MillisOf(stamps[i].acknowledged - stamps[i].due));
    overhead.push_back(static_cast<double>(end.overhead_millis));
    ++verdicts[end.verdict.empty() ? end.phase : end.verdict];
    ++writes[1 + end.changes];
    // One that lasts for a second is told of once more.
    if (end.changes > 1 && end.seen - stamps[i].due < kQuiet) ++unexplained;
    last = std::max(last, end.seen);
  }
  const double seconds = MillisOf(last - stamps.front().due) / 1000;
  Json report;
  report["submissions"] = run.amount.count;
  report["mode"] = run.amount.rate > 0 ? "open loop, Poisson" : "closed loop";
  report["concurrency"] = run.amount.concurrency;
  if (run.amount.rate > 0) report["arrivalsPerSecond"] = run.amount.rate;
  report["seconds"] = Rounded(seconds);
  report["submissionsPerSecond"] = Rounded(static_cast<double>(run.amount.count) / seconds);
  report["createToFinishedMillis"] = Summary(std::move(total));
  report["createAcknowledgedMillis"] = Summary(std::move(acknowledge));
  report["overheadMillis"] = Summary(std::move(overhead));
  report["verdicts"] = verdicts;
  for (const auto& [count, submissions] : writes) {
    report["writesPerSubmission"][std::to_string(count)] = submissions;
  }
  report["shortOnesWithMoreThanTwoWrites"] = unexplained;
  return report;
}

}  // namespace

Result<Json> RunSubmissions(const Flags& flags) {
  ENVICUTOR_ASSIGN(Run run, NewRun(flags));
  ENVICUTOR_ASSIGN(const double root, flags.Number("process-tree", 0, 0, 1 << 22));
  const auto deadline =
      std::chrono::steady_clock::now() +
      std::chrono::duration_cast<Duration>(std::chrono::duration<double>(run.amount.seconds));
  Ends ends;
  ENVICUTOR_RETURN_IF_ERROR(ends.Start(*run.client, run.ns, std::string(kRunLabel) + "=" + run.id));
  const Meter meter(static_cast<pid_t>(root), run.amount.count);
  ENVICUTOR_ASSIGN(const ApiRequests requests_before, ReadApiRequests(*run.client));
  std::vector<Stamps> stamps;
  ENVICUTOR_RETURN_IF_ERROR(Drive(run, ends, &stamps, deadline));
  ENVICUTOR_ASSIGN(const ApiRequests requests_after, ReadApiRequests(*run.client));
  const std::unordered_map<std::string, End> seen = ends.Take();
  Json report = Report(run, stamps, seen);
  report["apiRequestsPerSubmission"] =
      RequestsEach(requests_before, requests_after, run.amount.count);
  const double cpu = meter.Read(&report);
  if (root > 0) report["cpuMillisPerSubmission"] = Rounded(cpu);
  if (const std::string log = flags.Text("operator-log"); !log.empty()) {
    ENVICUTOR_ASSIGN(report["stepsMillis"],
                     Steps(run, stamps, seen, {log, flags.Text("agent-log")}));
  }
  if (flags.Text("ttl").empty() && flags.Text("keep").empty()) {
    ENVICUTOR_RETURN_IF_ERROR(CleanUp(run));
  }
  return report;
}

Result<Json> RunBare(const Flags& flags) {
  ENVICUTOR_ASSIGN(Run run, NewRun(flags));
  ENVICUTOR_ASSIGN(const Json status, ParseJson(flags.Text("status", "{}")));
  const std::string stub = R"({"phase":"Completed","verdict":"Accepted","message":"it ran"})";
  Json patch_status = status;
  if (patch_status.empty()) {
    ENVICUTOR_ASSIGN(patch_status, ParseJson(stub));
  }
  // "patch", as most clients do it, or "put": what the operator does.
  const std::string write = flags.Text("write", "patch");
  if (write != "patch" && write != "put") {
    return InvalidArgument("--write: \"" + write + "\" is not one of patch, put");
  }
  const bool put = write == "put";
  ENVICUTOR_ASSIGN(const double root, flags.Number("process-tree", 0, 0, 1 << 22));
  const Meter meter(static_cast<pid_t>(root), run.amount.count);
  std::mutex mutex;
  std::vector<double> creates;
  std::vector<double> patches;
  const SteadyTime start = std::chrono::steady_clock::now();
  const auto pair = [&](int64_t i, SteadyTime due) -> Status {
    ENVICUTOR_ASSIGN(const std::string version,
                     run.client->CreateForVersion(kube::kSubmissions, run.ns, run.Submission(i)));
    const SteadyTime created = std::chrono::steady_clock::now();
    Json status_only = {{"metadata", {{"resourceVersion", version}}}, {"status", patch_status}};
    if (put) {
      status_only.update(
          {{"apiVersion", kube::kSubmissions.ApiVersion()}, {"kind", kube::kSubmissions.kind}});
      status_only["metadata"].update({{"name", run.Name(i)}, {"namespace", run.ns}});
      ENVICUTOR_RETURN_IF_ERROR(
          run.client->Update(kube::kSubmissions, status_only, "status").status());
    } else {
      ENVICUTOR_RETURN_IF_ERROR(run.client
                                    ->Patch(kube::kSubmissions, run.ns, run.Name(i),
                                            kube::PatchType::kMerge, status_only, "status")
                                    .status());
    }
    const SteadyTime patched = std::chrono::steady_clock::now();
    const std::lock_guard lock(mutex);
    creates.push_back(MillisOf(created - due));
    patches.push_back(MillisOf(patched - created));
    return OkStatus();
  };
  ENVICUTOR_RETURN_IF_ERROR(RunPaced(run.amount, pair));
  const double seconds = MillisOf(std::chrono::steady_clock::now() - start) / 1000;
  Json report = {{"pairs", run.amount.count},
                 {"concurrency", run.amount.concurrency},
                 {"seconds", Rounded(seconds)},
                 {"pairsPerSecond", Rounded(static_cast<double>(run.amount.count) / seconds)},
                 {"createMillis", Summary(std::move(creates))},
                 {"patchMillis", Summary(std::move(patches))}};
  const double cpu = meter.Read(&report);
  if (root > 0) report["cpuMillisPerPair"] = Rounded(cpu);
  ENVICUTOR_RETURN_IF_ERROR(CleanUp(run));
  return report;
}

}  // namespace envicutor::load
