#include "executor-agent/run/executor.h"

#include <algorithm>
#include <chrono>

#include "common/api/bounds.h"
#include "common/base/encoding.h"
#include "executor-agent/run/compare.h"
#include "executor-agent/run/simple_command.h"
#include "executor-agent/run/variables.h"
#include "executor-agent/run/verdict.h"

namespace envicutor::agent {
namespace {

using api::ExitStatus;
using api::Limit;
using api::RunRequest;
using api::RunResult;
using api::StageResult;
using api::Verdict;

int64_t UnixMillis(WallTime time) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
}

// A box is made once for all stages: it must have room for the one that may write most.
int64_t LargestDiskLimit(const RunRequest& request) {
  int64_t most = request.run.limits.Value(Limit::kMaxDisk);
  if (!request.archive.empty())
    most = std::max(most, request.extract_limits.Value(Limit::kMaxDisk));
  if (request.compile) most = std::max(most, request.compile->limits.Value(Limit::kMaxDisk));
  for (const api::TestCase& test : request.tests)
    most = std::max(most, test.limits.Value(Limit::kMaxDisk));
  return most;
}

// What a box holds at most, where the engine cannot tell: files of tmpfs were charged to the stages
// that wrote them.
int64_t EstimateBytes(Box& box, const RunRequest& request, const StageResult& compile,
                      const std::optional<StageResult>& extract, int64_t max_disk) {
  if (const int64_t known = box.BoxBytes(); known >= 0) return known;
  int64_t bytes = compile.memory_bytes + (extract ? extract->memory_bytes : 0);
  for (const api::RunFile& file : request.files) bytes += static_cast<int64_t>(file.content.size());
  return compile.memory_bytes > 0 ? std::min(bytes, max_disk) : max_disk;
}

std::string Plural(size_t count, std::string_view noun) {
  return std::to_string(count) + ' ' + std::string(noun) + (count == 1 ? "" : "s");
}

// One Execute: what its steps share. Each step returns false when the run has ended; `result_` says
// how.
class Execution {
 public:
  Execution(Sandbox& sandbox, CompileCache& cache, const RunRequest& request,
            const RunControl& control, const Executor::OnStage& on_stage,
            const Executor::OnStageDone& on_stage_done, RunResult& result)
      : sandbox_(sandbox),
        cache_(cache),
        request_(request),
        control_(control),
        on_stage_(on_stage),
        on_stage_done_(on_stage_done),
        result_(result),
        max_disk_(LargestDiskLimit(request)) {}

  void Run(const PreparedEnvironment& environment) {
    environment_ = &environment;
    if (!PrepareBox()) return;
    if (request_.tests.empty()) {
      RunOnce();
    } else {
      RunTests();
    }
  }

  // Wall time of the stages that ran here and now, cached ones not counted.
  [[nodiscard]] int64_t stages_millis() const { return stages_millis_; }

 private:
  bool End(Verdict verdict, std::string message) {
    result_.verdict = verdict;
    result_.message = std::move(message);
    return false;
  }
  bool EndWith(Verdict verdict, const Status& status, std::string_view what) {
    return End(verdict, std::string(what) + ": " + status.message());
  }

  // A stage's judged result; false as second when the run was stopped from outside meanwhile.
  StageResult Judge(std::string_view stage, StageOutcome outcome, const api::Limits& limits) {
    cancelled_ = cancelled_ || outcome.killed == StageOutcome::Killed::kCancelled;
    StageResult judged = JudgeStage(std::move(outcome), limits);
    stages_millis_ += judged.wall_time_millis;
    if (on_stage_done_ && !cancelled_) on_stage_done_(stage, judged);
    return judged;
  }
  [[nodiscard]] bool Stopped() const { return cancelled_ || control_.stopped(); }

  // A new or cloned box; where the sandbox has no more of them, cached ones give way.
  template <typename Make>
  Result<std::unique_ptr<Box>> MakeBox(const Make& make) {
    for (;;) {
      Result<std::unique_ptr<Box>> box = make();
      if (box.ok() || box.status().code() != Code::kResourceExhausted || !cache_.EvictOne())
        return box;
    }
  }

  // Leaves a box with everything that the run stage finds there: box_, or sealed_ to be cloned.
  bool PrepareBox() {
    std::string key;
    if (request_.compile) {
      key = CompileKey(request_, max_disk_);
      sealed_ = cache_.Find(key);
      if (sealed_) {
        result_.compile_cached = true;
        result_.extract = sealed_->extract();
        result_.compile = sealed_->compile();
        return true;
      }
    }
    Result<std::unique_ptr<Box>> box =
        MakeBox([&] { return sandbox_.NewBox(environment_->box, max_disk_); });
    if (!box.ok()) return EndWith(Verdict::kInternalError, box.status(), "no box could be made");
    box_ = *std::move(box);
    if (!Extract() || !WriteFiles() || !Compile()) return false;
    if (request_.compile) Seal(key);
    return true;
  }

  bool Extract() {
    if (request_.archive.empty()) return true;
    if (Stopped()) return false;
    on_stage_("extract");
    result_.extract =
        Judge("extract", box_->Extract(request_.archive, request_.extract_limits, control_.token()),
              request_.extract_limits);
    if (Stopped()) return false;
    const Verdict verdict = VerdictOfExtract(result_.extract->exit_status);
    if (verdict == Verdict::kNone) return true;
    return End(verdict, DescribeStage("the extraction of the archive", *result_.extract,
                                      request_.extract_limits));
  }

  // After the archive, so that files named in the spec win over the archive's.
  bool WriteFiles() {
    for (const api::RunFile& file : request_.files) {
      const Status written = box_->WriteFile(file);
      if (written.ok()) continue;
      // A box too small, or an archive's folder where a file should be: the submission's own doing.
      const bool own = written.code() == Code::kResourceExhausted ||
                       written.code() == Code::kInvalidArgument ||
                       written.code() == Code::kAlreadyExists;
      return EndWith(own ? Verdict::kExtractError : Verdict::kInternalError, written,
                     "file \"" + file.path + "\" could not be written to the box");
    }
    return true;
  }

  bool Compile() {
    if (!request_.compile) return true;
    if (Stopped()) return false;
    on_stage_("compile");
    StageSpec spec;
    spec.argv = {environment_->box.shell, "-c", request_.compile->script, "compile"};
    spec.env = StageVariables(environment_->built.variables, request_.compile->env);
    spec.direct = SimpleCommand(request_.compile->script, spec.env);
    spec.limits = request_.compile->limits;
    result_.compile = Judge("compile", box_->Run(spec, control_.token()), spec.limits);
    if (Stopped()) return false;
    const Verdict verdict = VerdictOfCompile(result_.compile->exit_status);
    if (verdict == Verdict::kNone) return true;
    return End(verdict, DescribeStage("the compiler", *result_.compile, spec.limits));
  }

  // From here on the compiled box is only cloned, whether the cache keeps it or not.
  void Seal(const std::string& key) {
    const int64_t bytes =
        EstimateBytes(*box_, request_, *result_.compile, result_.extract, max_disk_);
    sealed_ =
        std::make_shared<CompiledBox>(std::move(box_), result_.extract, result_.compile.value());
    // A compile with an OOM kill in it may differ the next time.
    if (!result_.compile->oom_killed) cache_.Insert(key, sealed_, bytes);
  }

  Result<std::unique_ptr<Box>> CloneForRun() {
    return MakeBox([&] { return sealed_ ? sealed_->Clone() : box_->Clone(); });
  }

  StageOutcome RunStage(Box& box, const std::vector<std::string>& args, const std::string& input,
                        const api::Limits& limits) {
    StageSpec spec;
    // The script is an argument: no file of ours is in the box that a program could find or
    // replace.
    spec.argv = {environment_->box.shell, "-c", request_.run.script, "run"};
    spec.argv.insert(spec.argv.end(), args.begin(), args.end());
    spec.env = StageVariables(environment_->built.variables, request_.run.env);
    spec.direct = SimpleCommand(request_.run.script, spec.env);
    spec.stdin_data = input;
    spec.merge_stderr = request_.run.merge_stderr;
    spec.limits = limits;
    return box.Run(spec, control_.token());
  }

  void RunOnce() {
    if (Stopped()) return;
    on_stage_("run");
    if (sealed_) {
      Result<std::unique_ptr<Box>> clone = CloneForRun();
      if (!clone.ok()) {
        EndWith(Verdict::kInternalError, clone.status(), "the compiled box could not be copied");
        return;
      }
      box_ = *std::move(clone);
    }
    const api::RunStage& run = request_.run;
    result_.run = Judge("run", RunStage(*box_, run.args, run.stdin_data, run.limits), run.limits);
    if (Stopped()) return;
    End(VerdictOfRun(result_.run->exit_status),
        DescribeStage("the program", *result_.run, run.limits));
    CollectFiles(*box_);
  }

  void RunTests() {
    on_stage_("tests");
    const size_t count = request_.tests.size();
    result_.tests.resize(count);
    for (size_t i = 0; i < count; ++i) result_.tests[i].name = request_.tests[i].name;
    std::unique_ptr<Box> last;
    for (size_t i = 0; i < count; ++i) {
      if (Stopped()) return Abandon();
      Result<std::unique_ptr<Box>> clone = CloneForRun();
      if (!clone.ok()) {
        EndWith(Verdict::kInternalError, clone.status(), "the box could not be copied for a test");
        return;
      }
      last = *std::move(clone);
      if (!RunTest(i, *last)) return Abandon();
      const bool failed = result_.tests[i].verdict != Verdict::kAccepted;
      if (failed && request_.stop_on_first_failure) break;
    }
    if (result_.verdict == Verdict::kNone) {
      End(Verdict::kAccepted,
          count == 1 ? "the test passed" : "all " + Plural(count, "test") + " passed");
    }
    if (last) CollectFiles(*last);
  }

  // Stopped among the tests: a verdict of half of them is none.
  void Abandon() { result_.verdict = Verdict::kNone; }

  // False when the run was stopped. The first test that is not Accepted gives verdict and message.
  bool RunTest(size_t index, Box& box) {
    const api::TestCase& test = request_.tests[index];
    api::TestResult& result = result_.tests[index];
    result.run = Judge("run", RunStage(box, test.args, test.stdin_data, test.limits), test.limits);
    if (Stopped()) return false;
    result.verdict = VerdictOfRun(result.run->exit_status);
    const std::string who = "test \"" + test.name + "\" (" + std::to_string(index + 1) + " of " +
                            std::to_string(request_.tests.size()) + ")";
    std::string message;
    if (result.verdict != Verdict::kAccepted) {
      message = DescribeStage(who, *result.run, test.limits);
    } else if (test.expected_stdout) {
      const auto line = FirstDifference(*test.expected_stdout, result.run->stdout_data, test.exact);
      if (line) {
        result.verdict = Verdict::kWrongAnswer;
        message =
            who + ": stdout differs from what is expected, first in line " + std::to_string(*line);
      }
    }
    if (result.verdict != Verdict::kAccepted && result_.verdict == Verdict::kNone) {
      End(result.verdict, std::move(message));
    }
    return true;
  }

  // A file that is not there is left out; one that could not be read must not cost the run its
  // result.
  void CollectFiles(Box& box) {
    size_t left = api::kMaxOutputFilesTotalBytes;
    for (const std::string& path : request_.output_files) {
      Result<api::OutputFile> file = box.ReadFile(path, std::min(left, api::kMaxOutputFileBytes));
      if (!file.ok()) {
        result_.message += "; output file \"" + path + "\": " + file.status().message();
        continue;
      }
      file->path = path;
      left -= std::min(left, file->content.size());
      result_.output_files.push_back(*std::move(file));
    }
  }

  Sandbox& sandbox_;
  CompileCache& cache_;
  const RunRequest& request_;
  const RunControl& control_;
  const Executor::OnStage& on_stage_;
  const Executor::OnStageDone& on_stage_done_;
  RunResult& result_;
  const int64_t max_disk_;
  const PreparedEnvironment* environment_ = nullptr;
  std::unique_ptr<Box> box_;
  std::shared_ptr<CompiledBox> sealed_;
  bool cancelled_ = false;
  int64_t stages_millis_ = 0;
};

void FinishStopped(StopReason reason, RunResult& result) {
  result.verdict = Verdict::kNone;
  result.output_files.clear();
  result.deadline_exceeded = reason == StopReason::kDeadline;
  result.cancelled = !result.deadline_exceeded;
  switch (reason) {
    case StopReason::kDeadline:
      result.message = "stopped: its deadline passed";
      break;
    case StopReason::kSuperseded:
      result.message = "stopped: a later attempt took its place";
      break;
    case StopReason::kShutdown:
      result.message = "stopped: the executor ends";
      break;
    case StopReason::kNone:
    case StopReason::kCancelled:
      result.message = "stopped: it was cancelled";
      break;
  }
}

}  // namespace

Result<std::shared_ptr<const PreparedEnvironment>> Executor::GetEnvironment(
    const RunRequest& request, const RunControl& control, const OnStage& on_stage,
    RunResult* result) {
  auto environment = store_.Get(request.environment_hash);
  if (environment.ok() || environment.status().code() != Code::kNotFound ||
      request.environment_store_path.empty()) {
    return environment;
  }
  on_stage("environment");
  const SteadyTime begin = clock_.Now();
  environment =
      store_.Get(request.environment_hash, request.environment_store_path, control.token());
  result->environment_fetch_millis = std::max<int64_t>(
      1, std::chrono::duration_cast<std::chrono::milliseconds>(clock_.Now() - begin).count());
  return environment;
}

RunResult Executor::Execute(const RunRequest& request, const RunControl& control,
                            const OnStage& on_stage) {
  const SteadyTime begin = clock_.Now();
  RunResult result;
  result.uid = request.uid;
  result.attempt = request.attempt;
  result.started_unix_millis = UnixMillis(clock_.WallNow());
  Execution execution(sandbox_, cache_, request, control, on_stage, on_stage_done_, result);
  const auto environment = GetEnvironment(request, control, on_stage, &result);
  if (environment.ok()) {
    execution.Run(**environment);
  } else if (!control.stopped()) {
    const Code code = environment.status().code();
    // What is here but of no use stays so; the rest may pass, or be better elsewhere.
    result.environment_unavailable =
        code != Code::kFailedPrecondition && code != Code::kInvalidArgument;
    result.verdict = Verdict::kEnvironmentError;
    result.message =
        "the environment is not usable on this executor: " + environment.status().message();
  }
  // A result that was complete before the stop came is kept.
  if (result.verdict == Verdict::kNone) FinishStopped(control.reason(), result);
  result.message = std::string(Utf8Prefix(result.message, api::kMaxMessageBytes));
  result.finished_unix_millis = UnixMillis(clock_.WallNow());
  const auto taken =
      std::chrono::duration_cast<std::chrono::milliseconds>(clock_.Now() - begin).count();
  result.overhead_millis = std::max<int64_t>(0, taken - execution.stages_millis());
  return result;
}

int64_t LargestMemoryLimit(const RunRequest& request) {
  int64_t most = request.run.limits.Value(Limit::kMemory);
  if (!request.archive.empty()) most = std::max(most, request.extract_limits.Value(Limit::kMemory));
  if (request.compile) most = std::max(most, request.compile->limits.Value(Limit::kMemory));
  for (const api::TestCase& test : request.tests)
    most = std::max(most, test.limits.Value(Limit::kMemory));
  return most;
}

}  // namespace envicutor::agent
