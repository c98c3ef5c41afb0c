// RuntimeController: building, testing, serving, editing, deleting.
#include <gtest/gtest.h>

#include "operator/runtimes/runtime_controller.h"
#include "tests/unit/operator/fakes.h"

namespace envicutor::op {
namespace {

using testing::FakeBuilds;
using testing::FakeClient;
using testing::FakeInformer;
using testing::FakeRunner;

// FakeClient guards Submissions, whose phase Failed is final; a Runtime's is not.
class RuntimeClient final : public kube::Client {
 public:
  explicit RuntimeClient(FakeClient& store) : store_(store) {}
  Result<Json> Get(const kube::ResourceType& type, const std::string& ns,
                   const std::string& name) override {
    return store_.Get(type, ns, name);
  }
  Result<kube::List> ListAll(const kube::ResourceType& type, const std::string& ns,
                             const kube::ListOptions& options) override {
    return store_.ListAll(type, ns, options);
  }
  Result<Json> Create(const kube::ResourceType& type, const std::string& ns,
                      const Json& object) override {
    return store_.Create(type, ns, object);
  }
  Result<Json> Update(const kube::ResourceType& type, const Json& object,
                      const std::string& subresource) override {
    return store_.Update(type, object, subresource);
  }
  Result<Json> Patch(const kube::ResourceType& type, const std::string& ns, const std::string& name,
                     kube::PatchType, const Json& patch, const std::string&) override {
    ++store_.requests["patch"];
    if (store_.fault) ENVICUTOR_RETURN_IF_ERROR(store_.fault("patch"));
    ENVICUTOR_ASSIGN(Json object, store_.Get(type, ns, name));
    if (kube::ResourceVersionOf(patch) != kube::ResourceVersionOf(object)) {
      return Status(Code::kConflict, "the object has been modified");
    }
    object.merge_patch(patch);
    return store_.Put(type, std::move(object));
  }
  Status Delete(const kube::ResourceType& type, const std::string& ns, const std::string& name,
                const DeleteOptions& options) override {
    return store_.Delete(type, ns, name, options);
  }
  Status Watch(const kube::ResourceType&, const std::string&, const kube::WatchOptions&,
               const std::function<bool(kube::WatchEvent)>&, std::stop_token) override {
    return Status(Code::kUnimplemented, "watch");
  }
  Result<std::string> GetRaw(const std::string& target) override { return store_.GetRaw(target); }

 private:
  FakeClient& store_;
};

class RuntimeControllerTest : public ::testing::Test {
 protected:
  RuntimeControllerTest() : queue_(kube::NewWorkQueue("test", QueueOptions())), metrics_(nullptr) {
    client_.on_change = [this](const Json& object, bool deleted) {
      runtimes_.Deliver(object, deleted);
    };
    Restart();
  }

  kube::WorkQueueOptions QueueOptions() {
    kube::WorkQueueOptions options;
    options.clock = &clock_;
    return options;
  }

  void Restart() {
    runtimes_.handlers.clear();
    runner_.submitted.clear();
    controller_ = std::make_unique<RuntimeController>(
        RuntimeControllerDeps{writer_, runtimes_, submissions_, *queue_, runner_, builds_, nullptr,
                              metrics_, clock_, options_});
    controller_->Follow();
    changes_.clear();
    controller_->OnChange([this](const std::string& name) { changes_.push_back(name); });
    for (const auto& runtime : runtimes_.All()) queue_->Add(kube::NameOf(*runtime));
  }

  static Json Spec(const std::string& package = "python3") {
    return {
        {"environment", {{"packages", {package}}}},
        {"sourceFile", "main.py"},
        {"run", {{"script", "exec python3 main.py \"$@\""}}},
        {"selfTests",
         Json::array(
             {{{"name", "hello"}, {"source", "print('hi')"}, {"expect", {{"stdout", "hi\n"}}}}})}};
  }
  void Apply(const Json& spec, int64_t generation = 1) {
    const std::string key = FakeClient::KeyFor(kube::kRuntimes, "", "py");
    Json object = client_.objects.count(key) != 0
                      ? client_.objects.at(key)
                      : Json{{"apiVersion", "envicutor.io/v1alpha1"}, {"kind", "Runtime"}};
    object["metadata"]["name"] = "py";
    object["metadata"]["uid"] = "uid-py";
    object["metadata"]["generation"] = generation;
    object["spec"] = spec;
    client_.Put(kube::kRuntimes, object);
  }
  [[nodiscard]] const Json& Runtime() const {
    return client_.objects.at(FakeClient::KeyFor(kube::kRuntimes, "", "py"));
  }
  [[nodiscard]] const Json& RuntimeStatusNow() const { return At(Runtime(), {"status"}); }
  [[nodiscard]] std::string Phase() const { return GetString(RuntimeStatusNow(), "phase"); }
  [[nodiscard]] const Json& ConditionNow(const std::string& type) const {
    for (const Json& condition : At(RuntimeStatusNow(), {"conditions"})) {
      if (GetString(condition, "type") == type) return condition;
    }
    return At(Json(), {});
  }
  [[nodiscard]] std::string ReadyMessage() const {
    return GetString(ConditionNow("Ready"), "message");
  }

  void Work() {
    for (int i = 0; i < 200; ++i) {
      const auto key = queue_->TryGet();
      if (!key) return;
      if (!controller_->Reconcile(*key).ok()) queue_->AddRateLimited(*key);
      queue_->Done(*key);
    }
    FAIL() << "the queue does not become empty";
  }
  std::string SetBuild(const Json& spec, BuildState::Phase phase, const std::string& message = "") {
    const auto environment = api::EnvironmentSpecFromJson(At(spec, {"environment"}), "");
    const std::string hash = builds_.HashOf(*environment);
    BuildState& state = builds_.states[hash];
    state.phase = phase;
    state.message = message;
    state.store_path = "/nix/store/" + hash;
    state.stage.emplace();
    state.stage->stderr_data = "log";
    builds_.changed(hash);
    return hash;
  }
  // Every run that is out ends: exit code 0, stdout "hi".
  void EndRuns(const std::string& output = "hi\n", api::Verdict verdict = api::Verdict::kAccepted) {
    std::vector<FakeRunner::Submitted> out;
    out.swap(runner_.submitted);
    for (const FakeRunner::Submitted& submitted : out) {
      api::RunResult result;
      result.uid = submitted.request.uid;
      result.verdict = verdict;
      result.run.emplace();
      result.run->exit_code = verdict == api::Verdict::kAccepted ? 0 : 1;
      result.run->stdout_data = output;
      result.run->cpu_time_millis = 3;
      result.run->memory_bytes = 4096;
      submitted.events.on_done(result, {});
    }
  }
  void MakeReady(const Json& spec, int64_t generation = 1) {
    Apply(spec, generation);
    Work();
    SetBuild(spec, BuildState::Phase::kReady);
    Work();
    EndRuns();
    Work();
    ASSERT_EQ(Phase(), "Ready") << Runtime();
  }

  FakeClock clock_;
  FakeClient client_;
  RuntimeClient writer_{client_};
  FakeInformer runtimes_;
  FakeInformer submissions_;
  std::unique_ptr<kube::WorkQueue> queue_;
  FakeRunner runner_;
  FakeBuilds builds_;
  metrics::OperatorMetrics metrics_;
  Options options_;
  std::unique_ptr<RuntimeController> controller_;
  std::vector<std::string> changes_;
};

TEST_F(RuntimeControllerTest, IsBuiltThenTestedThenServes) {
  EXPECT_EQ(controller_->Find("py").state, RuntimeLookup::State::kNotFound);
  Apply(Spec());
  EXPECT_EQ(controller_->Find("py").state, RuntimeLookup::State::kNotReady);
  Work();
  EXPECT_EQ(Phase(), "Building");
  EXPECT_EQ(GetString(ConditionNow("Ready"), "reason"), "Building");
  EXPECT_EQ(controller_->Find("py").state, RuntimeLookup::State::kNotReady);
  EXPECT_NE(controller_->Find("py").message.find("Runtime py is Building"), std::string::npos);

  const std::string hash = SetBuild(Spec(), BuildState::Phase::kReady);
  Work();
  EXPECT_EQ(Phase(), "Testing");
  EXPECT_EQ(GetString(ConditionNow("Built"), "status"), "True");
  EXPECT_EQ(GetString(ConditionNow("Published"), "status"), "True");
  ASSERT_EQ(runner_.submitted.size(), 2U) << "the self-test and the empty program";
  const api::RunRequest& request = runner_.submitted[0].request;
  EXPECT_EQ(request.uid, "selftest-uid-py-1-0");
  EXPECT_EQ(request.environment_hash, hash);
  ASSERT_EQ(request.files.size(), 1U);
  EXPECT_EQ(request.files[0].path, "main.py");
  EXPECT_EQ(request.run.script, "exec python3 main.py \"$@\"");
  EXPECT_EQ(runner_.submitted[1].request.run.script, "true");
  EXPECT_EQ(runner_.submitted[0].pool, "default");

  changes_.clear();
  EndRuns();
  Work();
  EXPECT_EQ(Phase(), "Ready");
  EXPECT_EQ(GetString(ConditionNow("Ready"), "status"), "True");
  EXPECT_EQ(GetInt(ConditionNow("Ready"), "observedGeneration"), 1);
  EXPECT_EQ(At(RuntimeStatusNow(), {"selfTests"})[0],
            Json({{"name", "hello"}, {"passed", true}, {"message", ""}}));
  EXPECT_EQ(At(RuntimeStatusNow(), {"resourceUsage"}),
            Json({{"cpuTimeMillis", 3}, {"memoryBytes", 4096}}));
  EXPECT_EQ(GetString(At(RuntimeStatusNow(), {"environment"}), "hash"), hash);
  EXPECT_EQ(GetString(At(RuntimeStatusNow(), {"build"}), "stderr"), "log");
  EXPECT_EQ(changes_, std::vector<std::string>{"py"});
  const RuntimeLookup found = controller_->Find("py");
  EXPECT_EQ(found.state, RuntimeLookup::State::kServing);
  EXPECT_EQ(found.runtime.environment_hash, hash);
  EXPECT_EQ(found.runtime.spec, Spec());
}

TEST_F(RuntimeControllerTest, WritesNothingWhenNothingChanges) {
  MakeReady(Spec());
  const auto requests = client_.requests;
  const auto submitted = runner_.submitted.size();
  for (int i = 0; i < 5; ++i) {
    queue_->Add("py");
    clock_.Advance(std::chrono::minutes(10));
    Work();
  }
  EXPECT_EQ(client_.requests, requests);
  EXPECT_EQ(runner_.submitted.size(), submitted);
}

TEST_F(RuntimeControllerTest, AFailedBuildSaysWhy) {
  Apply(Spec());
  Work();
  SetBuild(Spec(), BuildState::Phase::kFailed, "EvaluationFailed: undefined variable 'x'");
  Work();
  EXPECT_EQ(Phase(), "Failed");
  EXPECT_EQ(GetString(ConditionNow("Built"), "reason"), "BuildFailed");
  EXPECT_NE(ReadyMessage().find("undefined variable"), std::string::npos);
  EXPECT_TRUE(controller_->Find("py").failed);
}

TEST_F(RuntimeControllerTest, ABuiltEnvironmentThatIsNotInTheCacheYetSaysWhy) {
  RuntimeView view;
  view.state = RuntimeView::State::kPublishing;
  view.hash = "h";
  view.message = "will be tried again: HTTP error 500";
  view.build = BuildState();
  view.build->unpublished = "CacheUnavailable";
  view.build->store_path = "/nix/store/x";
  const auto status = [&view] {
    return RuntimeStatus({{"metadata", {{"generation", 1}}}}, view, "2026-01-01T00:00:00Z");
  };
  const auto condition = [](const Json& of, const std::string& type) {
    for (const Json& each : At(of, {"conditions"})) {
      if (GetString(each, "type") == type) {
        return GetString(each, "status") + " " + GetString(each, "reason");
      }
    }
    return std::string();
  };
  EXPECT_EQ(GetString(status(), "phase"), "Building");
  EXPECT_EQ(condition(status(), "Built"), "True Built");
  EXPECT_EQ(condition(status(), "Published"), "False CacheUnavailable");
  EXPECT_EQ(condition(status(), "Ready"), "False NotPublished");
  EXPECT_EQ(GetString(At(status(), {"environment"}), "storePath"), "/nix/store/x");
  view.state = RuntimeView::State::kReady;
  view.build->phase = BuildState::Phase::kReady;
  view.build->signed_by = "cache-1";
  EXPECT_EQ(condition(status(), "Published"), "True Published");
  view.build->signed_by = "";
  EXPECT_EQ(condition(status(), "Published"), "True OnStore");
}

TEST_F(RuntimeControllerTest, AFailedSelfTestSaysWhichAndShowsTheOutput) {
  Apply(Spec());
  Work();
  SetBuild(Spec(), BuildState::Phase::kReady);
  Work();
  EndRuns("ho\n");
  Work();
  EXPECT_EQ(Phase(), "Failed");
  EXPECT_EQ(GetString(ConditionNow("Tested"), "reason"), "SelfTestFailed");
  EXPECT_NE(ReadyMessage().find("self-test hello: expected stdout \"hi\\n\", got \"ho\\n\""),
            std::string::npos)
      << ReadyMessage();
  EXPECT_EQ(At(RuntimeStatusNow(), {"selfTests"})[0]["passed"], false);
  EXPECT_EQ(controller_->Find("py").state, RuntimeLookup::State::kNotReady);
}

TEST_F(RuntimeControllerTest, TheOldSpecServesWhileTheNewOneIsMade) {
  MakeReady(Spec());
  const Json edited = Spec("python4");
  Apply(edited, 2);
  Work();
  EXPECT_EQ(Phase(), "Building");
  EXPECT_EQ(controller_->Find("py").state, RuntimeLookup::State::kServing);
  EXPECT_EQ(controller_->Find("py").runtime.generation, 1);
  EXPECT_NE(ReadyMessage().find("generation 1 goes on serving"), std::string::npos);

  // Through a restart, too.
  Restart();
  EXPECT_EQ(controller_->Find("py").runtime.spec, Spec());
  Work();
  EXPECT_EQ(controller_->Find("py").runtime.spec, Spec());

  SetBuild(edited, BuildState::Phase::kReady);
  Work();
  EXPECT_EQ(controller_->Find("py").runtime.generation, 1);
  EndRuns();
  Work();
  EXPECT_EQ(Phase(), "Ready");
  EXPECT_EQ(controller_->Find("py").runtime.generation, 2);
  EXPECT_EQ(controller_->Find("py").runtime.spec, edited);
  EXPECT_EQ(At(RuntimeStatusNow(), {"served", "spec"}), edited);
}

TEST_F(RuntimeControllerTest, AFailedEditLeavesTheOldOneServingAndSaysSo) {
  MakeReady(Spec());
  const Json edited = Spec("nosuch");
  Apply(edited, 2);
  Work();
  SetBuild(edited, BuildState::Phase::kFailed, "EvaluationFailed: no nosuch");
  Work();
  EXPECT_EQ(Phase(), "Failed");
  EXPECT_NE(ReadyMessage().find("no nosuch; generation 1 goes on serving submissions"),
            std::string::npos)
      << ReadyMessage();
  EXPECT_EQ(controller_->Find("py").runtime.spec, Spec());
  // And back again.
  Apply(Spec(), 3);
  Work();
  EndRuns();
  Work();
  EXPECT_EQ(Phase(), "Ready") << ReadyMessage();
  EXPECT_EQ(controller_->Find("py").runtime.generation, 3);
}

TEST_F(RuntimeControllerTest, ARemovedFieldOfTheSpecIsGoneFromWhatServes) {
  Json first = Spec();
  first["compile"] = {{"script", "true"}, {"limits", {{"memory", "64Mi"}}}};
  MakeReady(first);
  Apply(Spec(), 2);
  Work();
  EndRuns();
  Work();
  EXPECT_EQ(At(RuntimeStatusNow(), {"served", "spec"}), Spec());
}

TEST_F(RuntimeControllerTest, AnInvalidSpecListsEverythingAtOnce) {
  Json spec = Spec();
  spec["run"]["limits"] = {{"memory", "12Qi"}, {"wallTime", "9s"}};
  spec["run"]["maxLimits"] = {{"wallTime", "2s"}};
  spec["env"] = Json::array({{{"name", "A=B"}, {"value", ""}}});
  spec["selfTests"][0]["files"] = Json::array({{{"path", "../x"}, {"content", ""}}});
  Apply(spec);
  Work();
  EXPECT_EQ(Phase(), "Failed");
  EXPECT_EQ(GetString(ConditionNow("Ready"), "reason"), "InvalidSpec");
  for (const char* part :
       {"12Qi", "9s is more than the maximum 2s", "A=B", "selfTests[0].files[0]"}) {
    EXPECT_NE(ReadyMessage().find(part), std::string::npos) << part << " in " << ReadyMessage();
  }
  EXPECT_TRUE(runner_.submitted.empty());
}

TEST_F(RuntimeControllerTest, ALostExecutorIsAnotherAttemptNotAFailure) {
  Apply(Spec());
  Work();
  SetBuild(Spec(), BuildState::Phase::kReady);
  Work();
  const auto first = runner_.submitted;
  runner_.submitted.clear();
  for (const auto& submitted : first)
    submitted.events.on_done(Unavailable("the executor is lost"), {});
  Work();
  EXPECT_EQ(Phase(), "Testing");
  ASSERT_EQ(runner_.submitted.size(), 2U);
  EXPECT_EQ(runner_.submitted[0].request.attempt, 2);
  EndRuns();
  Work();
  EXPECT_EQ(Phase(), "Ready");
}

TEST_F(RuntimeControllerTest, AnEnvironmentThatCannotBeFetchedIsTriedUntilItCan) {
  Apply(Spec());
  Work();
  SetBuild(Spec(), BuildState::Phase::kReady);
  Work();
  // Longer than any bound of tries: neither the Runtime nor its executor is at fault.
  for (int i = 0; i < 8; ++i) {
    const auto tries = runner_.submitted;
    ASSERT_EQ(tries.size(), 2U) << i;
    runner_.submitted.clear();
    for (const auto& submitted : tries) {
      api::RunResult result;
      result.uid = submitted.request.uid;
      result.attempt = submitted.request.attempt;
      result.verdict = api::Verdict::kEnvironmentError;
      result.environment_unavailable = true;
      result.message = "refused, not signed by a trusted key";
      submitted.events.on_done(result, {});
    }
    Work();
    EXPECT_TRUE(runner_.submitted.empty()) << "not at once";
    EXPECT_EQ(Phase(), "Testing");
    EXPECT_NE(ReadyMessage().find("EnvironmentUnavailable"), std::string::npos);
    EXPECT_NE(ReadyMessage().find("not signed by a trusted key"), std::string::npos);
    clock_.Advance(std::chrono::seconds(31));
    Work();
  }
  EXPECT_EQ(runner_.submitted.back().request.attempt, 9);
  EndRuns();
  Work();
  EXPECT_EQ(Phase(), "Ready");
}

TEST_F(RuntimeControllerTest, SaysThatItWaitsForAnExecutor) {
  runner_.wait = RunWait{true, 0, "no executor is up"};
  Apply(Spec());
  Work();
  SetBuild(Spec(), BuildState::Phase::kReady);
  Work();
  EXPECT_NE(ReadyMessage().find("waiting for an executor of pool default: no executor is up"),
            std::string::npos);
}

TEST_F(RuntimeControllerTest, AfterARestartOfTheOperatorItGoesOnServingUntouched) {
  MakeReady(Spec());
  builds_.states.clear();  // the builds are asked again
  builds_.states[builds_.HashOf(*api::EnvironmentSpecFromJson(At(Spec(), {"environment"}), ""))]
      .phase = BuildState::Phase::kBuilding;
  Restart();
  const auto patches = client_.requests["patch"];
  Work();
  EXPECT_EQ(controller_->Find("py").state, RuntimeLookup::State::kServing);
  EXPECT_EQ(client_.requests["patch"], patches);
  EXPECT_TRUE(runner_.submitted.empty()) << "not tested again";
  EXPECT_EQ(Phase(), "Ready");
}

TEST_F(RuntimeControllerTest, TheAnnotationTestsAgain) {
  MakeReady(Spec());
  Json object = Runtime();
  object["metadata"]["annotations"][kRetestAnnotation] = "1";
  client_.Put(kube::kRuntimes, object);
  Work();
  EXPECT_EQ(Phase(), "Testing");
  EXPECT_EQ(controller_->Find("py").state, RuntimeLookup::State::kServing);
  EndRuns();
  Work();
  EXPECT_EQ(Phase(), "Ready");
}

TEST_F(RuntimeControllerTest, ADeletionWaitsForRunningSubmissionsThenFreesTheEnvironment) {
  MakeReady(Spec());
  const std::string hash = controller_->Find("py").runtime.environment_hash;
  ASSERT_EQ(At(Runtime(), {"metadata", "finalizers"}), Json({kRuntimeFinalizer}));
  Json submission = {{"metadata",
                      {{"name", "s"},
                       {"namespace", "default"},
                       {"uid", "s"},
                       {"resourceVersion", "1"},
                       {"creationTimestamp", FormatRfc3339(clock_.WallNow())}}},
                     {"spec", {{"runtimeRef", {{"name", "py"}}}}},
                     {"status", {{"phase", "Running"}}}};
  submissions_.Deliver(submission, false);
  clock_.Advance(std::chrono::seconds(5));
  Json object = Runtime();
  object["metadata"]["deletionTimestamp"] = FormatRfc3339(clock_.WallNow());
  client_.Put(kube::kRuntimes, object);
  // One that came later does not hold it up.
  Json late = submission;
  late["metadata"]["name"] = "late";
  late["metadata"]["creationTimestamp"] = FormatRfc3339(clock_.WallNow() + std::chrono::seconds(1));
  submissions_.Deliver(late, false);
  Work();
  clock_.Advance(std::chrono::minutes(1));
  Work();
  EXPECT_EQ(At(Runtime(), {"metadata", "finalizers"}), Json({kRuntimeFinalizer}));
  EXPECT_EQ(controller_->Find("py").state, RuntimeLookup::State::kNotReady);
  EXPECT_TRUE(builds_.discarded.empty());

  submission["status"]["phase"] = "Completed";
  submission["metadata"]["resourceVersion"] = "2";
  submissions_.Deliver(submission, false);
  clock_.Advance(std::chrono::seconds(2));
  Work();
  EXPECT_EQ(At(Runtime(), {"metadata", "finalizers"}), Json::array());
  EXPECT_EQ(builds_.discarded, std::vector<std::string>{hash});
}

TEST_F(RuntimeControllerTest, ADeletionIsBounded) {
  MakeReady(Spec());
  submissions_.Deliver({{"metadata",
                         {{"name", "s"},
                          {"namespace", "default"},
                          {"resourceVersion", "1"},
                          {"creationTimestamp", FormatRfc3339(clock_.WallNow())}}},
                        {"spec", {{"runtimeRef", {{"name", "py"}}}}}},
                       false);
  Json object = Runtime();
  object["metadata"]["deletionTimestamp"] = FormatRfc3339(clock_.WallNow());
  client_.Put(kube::kRuntimes, object);
  Work();
  clock_.Advance(std::chrono::hours(1));
  Work();
  EXPECT_EQ(At(Runtime(), {"metadata", "finalizers"}), Json::array());
}

TEST_F(RuntimeControllerTest, ConflictsAreTriedAgain) {
  Apply(Spec());
  int faults = 2;
  client_.fault = [&](const std::string& verb) {
    return verb == "patch" && faults-- > 0 ? Status(Code::kConflict, "modified") : OkStatus();
  };
  Work();
  clock_.Advance(std::chrono::seconds(1));
  Work();
  clock_.Advance(std::chrono::seconds(1));
  Work();
  EXPECT_EQ(Phase(), "Building");
}

TEST(JudgeSelfTest, ComparesAsSubmissionsDo) {
  api::RunResult result;
  result.verdict = api::Verdict::kRuntimeError;
  result.run.emplace();
  result.run->exit_code = 3;
  result.run->stdout_data = "a  \nb\n\n";
  result.run->stderr_data = "trace";
  const auto judge = [&result](const Json& expect) {
    return JudgeSelfTest({{"name", "t"}, {"expect", expect}}, 0, result);
  };
  EXPECT_TRUE(judge({{"exitCode", 3}, {"stdout", "a\nb"}}).passed);
  EXPECT_TRUE(judge({{"verdict", "RuntimeError"}}).passed);
  EXPECT_FALSE(judge({{"exitCode", 4}}).passed);
  EXPECT_FALSE(judge({{"exitCode", 3}, {"stdout", "a"}}).passed);
  const SelfTestResult failed = judge(Json::object());
  EXPECT_FALSE(failed.passed);
  EXPECT_NE(failed.message.find("expected verdict Accepted, got RuntimeError"), std::string::npos);
  EXPECT_NE(failed.message.find("run stderr: \"trace\""), std::string::npos) << failed.message;
  result.run->stdout_data = std::string(100'000, '\xff');
  EXPECT_LT(judge({{"exitCode", 4}}).message.size(), 4096U);
}

TEST(MergePatchBetween, MakesTheOneOfTheOther) {
  const Json from = {{"a", 1}, {"b", {{"c", 2}, {"d", {1, 2}}}}, {"e", "x"}};
  const Json to = {{"b", {{"d", {3}}, {"f", nullptr}}}, {"e", "x"}, {"g", {{"h", 1}}}};
  Json patched = from;
  Json expected = to;
  expected["b"].erase("f");
  patched.merge_patch(MergePatchBetween(from, to));
  EXPECT_EQ(patched, expected);
  EXPECT_TRUE(MergePatchBetween(from, from).empty());
}

}  // namespace
}  // namespace envicutor::op
