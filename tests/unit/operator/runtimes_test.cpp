// RuntimeController: building, testing, serving, editing, deleting.
#include "tests/unit/operator/runtime_controller_fixture.h"

namespace envicutor::op {
namespace {

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
