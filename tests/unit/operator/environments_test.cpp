// EnvironmentBuilder: builds shared, bounded, adopted and tried again; the cache's collection.
#include <gtest/gtest.h>

#include "operator/environments/builder_pod.h"
#include "operator/environments/environment_builder.h"
#include "tests/unit/operator/environments.h"
#include "tests/unit/operator/fakes.h"

namespace envicutor::op {
namespace {

using testing::FakeClient;
using testing::FakeInformer;
using testing::Message;
using testing::Packages;

class EnvironmentBuilderTest : public ::testing::Test {
 protected:
  EnvironmentBuilderTest() : queue_(kube::NewWorkQueue("test", QueueOptions())), metrics_(nullptr) {
    client_.on_change = [this](const Json& object, bool deleted) {
      if (GetString(object, "kind") == "ConfigMap") return;
      pods_.Deliver(object, deleted);
    };
    Restart();
  }

  kube::WorkQueueOptions QueueOptions() {
    kube::WorkQueueOptions options;
    options.clock = &clock_;
    return options;
  }

  // A new operator: nothing but the API server's objects is left.
  void Restart() {
    pods_.handlers.clear();
    builder_ = std::make_unique<EnvironmentBuilder>(
        EnvironmentBuilderDeps{client_, pods_, *queue_, metrics_, clock_, options_});
    builder_->CollectCache([this] { return pinned_; }, nullptr);
    builder_->Follow();
    changes_.clear();
    builder_->OnChange([this](const std::string& hash) { changes_.push_back(hash); });
  }

  void Work() {
    for (int i = 0; i < 200; ++i) {
      const auto key = queue_->TryGet();
      if (!key) return;
      const Status status = builder_->Reconcile(*key);
      if (!status.ok()) queue_->AddRateLimited(*key);
      queue_->Done(*key);
    }
    FAIL() << "the queue does not become empty";
  }

  [[nodiscard]] std::vector<std::string> Pods() const {
    std::vector<std::string> names;
    for (const auto& [key, object] : client_.objects) {
      if (key.rfind("pods/", 0) == 0) names.push_back(kube::NameOf(object));
    }
    return names;
  }
  [[nodiscard]] bool HasConfigMap(const std::string& hash) const {
    return client_.objects.count(FakeClient::KeyFor(kube::kConfigMaps, options_.executor_namespace,
                                                    BuilderName(hash))) != 0;
  }

  void SetPod(const std::string& name, const Json& status) {
    Json pod =
        client_.objects.at(FakeClient::KeyFor(kube::kPods, options_.executor_namespace, name));
    pod["status"] = status;
    client_.Put(kube::kPods, pod);
  }
  void End(const std::string& name, const Json& message, const std::string& reason = "Completed") {
    const std::string outcome = GetString(message, "outcome");
    const bool built = outcome == "Built" || outcome == "Collected";
    SetPod(name,
           {{"phase", built ? "Succeeded" : "Failed"},
            {"containerStatuses",
             Json::array({{{"state",
                            {{"terminated",
                              {{"exitCode", built ? 0 : 1},
                               {"reason", reason},
                               {"message", message.is_null() ? "" : DumpJson(message)}}}}}}})}});
  }

  FakeClock clock_;
  FakeClient client_;
  FakeInformer pods_;
  std::unique_ptr<kube::WorkQueue> queue_;
  metrics::OperatorMetrics metrics_;
  Options options_;
  std::vector<KeptEnvironment> pinned_;
  std::unique_ptr<EnvironmentBuilder> builder_;
  std::vector<std::string> changes_;
};

TEST_F(EnvironmentBuilderTest, BuildsOnceWhoeverAsks) {
  const api::EnvironmentSpec spec = Packages("bash");
  const std::string hash = builder_->HashOf(spec);
  EXPECT_EQ(builder_->Ensure(spec).phase, BuildState::Phase::kBuilding);
  EXPECT_EQ(builder_->Ensure(spec).phase, BuildState::Phase::kBuilding);
  Work();
  EXPECT_EQ(Pods(), std::vector<std::string>{"builder-" + hash});
  ASSERT_TRUE(HasConfigMap(hash));
  const Json& map = client_.objects.at(
      FakeClient::KeyFor(kube::kConfigMaps, options_.executor_namespace, BuilderName(hash)));
  const auto request = ParseJson(GetString(At(map, {"data"}), "request.json"));
  EXPECT_EQ(GetString(*request, "hash"), hash);
  EXPECT_EQ(At(*request, {"environment", "packages"}), Json({"bash"}));

  SetPod(BuilderName(hash), {{"phase", "Running"}});
  Work();
  EXPECT_EQ(builder_->Ensure(spec).message, "the environment is being built");
  changes_.clear();
  End(BuilderName(hash), Message("Built", "built"));
  Work();
  const BuildState state = builder_->Ensure(spec);
  EXPECT_EQ(state.phase, BuildState::Phase::kReady);
  EXPECT_EQ(state.store_path, "/nix/store/x");
  EXPECT_EQ(state.closure_size_bytes, 9);
  EXPECT_EQ(state.closure_paths, 2);
  EXPECT_EQ(changes_, std::vector<std::string>{hash});
  // Nothing is left of it, and nothing more happens.
  EXPECT_TRUE(Pods().empty());
  EXPECT_FALSE(HasConfigMap(hash));
  const auto requests = client_.requests;
  static_cast<void>(builder_->Ensure(spec));
  Work();
  EXPECT_EQ(client_.requests, requests);
}

TEST_F(EnvironmentBuilderTest, AFailedBuildStaysFailedUntilItIsRetried) {
  const api::EnvironmentSpec spec = Packages("nosuch");
  const std::string hash = builder_->HashOf(spec);
  static_cast<void>(builder_->Ensure(spec));
  Work();
  End(BuilderName(hash), Message("EvaluationFailed", "nixpkgs has no package nosuch"));
  Work();
  clock_.Advance(std::chrono::hours(1));
  const BuildState state = builder_->Ensure(spec);
  EXPECT_EQ(state.phase, BuildState::Phase::kFailed);
  EXPECT_FALSE(state.infrastructure);
  EXPECT_EQ(state.message, "EvaluationFailed: nixpkgs has no package nosuch");
  EXPECT_TRUE(Pods().empty());
  builder_->Retry(hash);
  Work();
  EXPECT_EQ(Pods().size(), 1U);
  EXPECT_EQ(builder_->Ensure(spec).phase, BuildState::Phase::kBuilding);
}

TEST_F(EnvironmentBuilderTest, AShortTimeOutIsNobodyElsesFailure) {
  api::EnvironmentSpec hurried = Packages("gcc");
  hurried.build_timeout_millis = 1'000;
  const std::string hash = builder_->HashOf(hurried);
  ASSERT_EQ(hash, builder_->HashOf(Packages("gcc")));
  static_cast<void>(builder_->Ensure(hurried));
  Work();
  End(BuilderName(hash), Message("TimedOut", "not within 1s"));
  Work();
  EXPECT_EQ(builder_->Ensure(hurried).phase, BuildState::Phase::kFailed);
  EXPECT_EQ(builder_->Ensure(Packages("gcc")).phase, BuildState::Phase::kBuilding);
  Work();
  EXPECT_EQ(Pods().size(), 1U);
  End(BuilderName(hash), Message("TimedOut", "not within 15m"));
  Work();
  EXPECT_EQ(builder_->Ensure(Packages("gcc")).phase, BuildState::Phase::kFailed);
}

TEST_F(EnvironmentBuilderTest, RetriesWhatIsNotTheEnvironmentsFault) {
  const api::EnvironmentSpec spec = Packages("bash");
  const std::string hash = builder_->HashOf(spec);
  static_cast<void>(builder_->Ensure(spec));
  for (int attempt = 0; attempt < 4; ++attempt) {
    Work();
    ASSERT_EQ(Pods().size(), 1U) << attempt;
    if (attempt % 2 == 0) {
      End(BuilderName(hash), Message("InternalError", "the disk is full"));
    } else {
      ASSERT_TRUE(
          client_.Delete(kube::kPods, options_.executor_namespace, BuilderName(hash), {}).ok());
    }
    Work();
    EXPECT_TRUE(Pods().empty()) << "not before its time";
    if (attempt < 3) {
      EXPECT_EQ(builder_->Ensure(spec).phase, BuildState::Phase::kBuilding);
    }
    clock_.Advance(std::chrono::minutes(2));
  }
  // Given up for now; whoever asks later gets another try.
  Work();
  EXPECT_TRUE(Pods().empty());
  EXPECT_EQ(builder_->Ensure(spec).phase, BuildState::Phase::kBuilding);
  Work();
  End(BuilderName(hash), Message("Built", ""));
  Work();
  EXPECT_EQ(builder_->Ensure(spec).phase, BuildState::Phase::kReady);
}

TEST_F(EnvironmentBuilderTest, WhatFailsForGoodNamesItsNodeAndHowOftenItWasTried) {
  const api::EnvironmentSpec spec = Packages("bash");
  const std::string hash = builder_->HashOf(spec);
  static_cast<void>(builder_->Ensure(spec));
  for (int attempt = 0; attempt < 4; ++attempt) {
    clock_.Advance(std::chrono::minutes(2));
    Work();
    ASSERT_EQ(Pods().size(), 1U) << attempt;
    client_.objects.at(FakeClient::KeyFor(kube::kPods, options_.executor_namespace,
                                          BuilderName(hash)))["spec"]["nodeName"] = "n1";
    End(BuilderName(hash), Message("InternalError", "builder.nixpkgs is not on this node"));
    Work();
  }
  const BuildState state = builder_->Ensure(spec);
  EXPECT_EQ(state.phase, BuildState::Phase::kFailed);
  EXPECT_TRUE(state.infrastructure);
  EXPECT_EQ(state.message, "builder.nixpkgs is not on this node (tried 4 times, last on node n1)");
}

TEST_F(EnvironmentBuilderTest, AdoptsARunningPodAfterARestart) {
  const api::EnvironmentSpec spec = Packages("bash");
  const std::string hash = builder_->HashOf(spec);
  static_cast<void>(builder_->Ensure(spec));
  Work();
  SetPod(BuilderName(hash), {{"phase", "Running"}});
  Work();
  const int created = client_.requests["create"];
  Restart();
  EXPECT_EQ(builder_->Ensure(spec).phase, BuildState::Phase::kBuilding);
  Work();
  EXPECT_EQ(client_.requests["create"], created);
  End(BuilderName(hash), Message("Built", ""));
  Work();
  EXPECT_EQ(builder_->Ensure(spec).phase, BuildState::Phase::kReady);
}

TEST_F(EnvironmentBuilderTest, TakesTheResultOfAPodThatEndedWhileNobodyWasThere) {
  const api::EnvironmentSpec spec = Packages("bash");
  const std::string hash = builder_->HashOf(spec);
  static_cast<void>(builder_->Ensure(spec));
  Work();
  Restart();
  End(BuilderName(hash), Message("Built", ""));
  Work();
  ASSERT_EQ(Pods().size(), 1U) << "kept for whoever asks";
  static_cast<void>(builder_->Ensure(spec));
  Work();
  EXPECT_EQ(builder_->Ensure(spec).phase, BuildState::Phase::kReady);
  EXPECT_TRUE(Pods().empty());
}

TEST_F(EnvironmentBuilderTest, RemovesEndedPodsThatNobodyAsksFor) {
  const api::EnvironmentSpec spec = Packages("bash");
  static_cast<void>(builder_->Ensure(spec));
  Work();
  Restart();
  End(BuilderName(builder_->HashOf(spec)), Message("Built", ""));
  Work();
  clock_.Advance(std::chrono::minutes(3));
  Work();
  EXPECT_TRUE(Pods().empty());
  EXPECT_FALSE(HasConfigMap(builder_->HashOf(spec)));
}

TEST_F(EnvironmentBuilderTest, BuildsNoMoreAtOnceThanConfiguredFirstComeFirst) {
  options_.builder.concurrency = 2;
  std::vector<std::string> hashes;
  for (const char* name : {"a", "b", "c", "d"}) {
    static_cast<void>(builder_->Ensure(Packages(name)));
    hashes.push_back(builder_->HashOf(Packages(name)));
  }
  Work();
  EXPECT_EQ(Pods().size(), 2U);
  EXPECT_TRUE(HasConfigMap(hashes[0]) && HasConfigMap(hashes[1]));
  End(BuilderName(hashes[1]), Message("BuildFailed", ""));
  Work();
  EXPECT_TRUE(HasConfigMap(hashes[0]) && HasConfigMap(hashes[2]));
  End(BuilderName(hashes[0]), Message("Built", ""));
  Work();
  EXPECT_TRUE(HasConfigMap(hashes[2]) && HasConfigMap(hashes[3]));
}

TEST_F(EnvironmentBuilderTest, SurvivesRefusedAndLostRequests) {
  const api::EnvironmentSpec spec = Packages("bash");
  int faults = 3;
  client_.fault = [&](const std::string&) {
    return faults-- > 0 ? Unavailable("down") : OkStatus();
  };
  int lost = 2;
  client_.lose_answer = [&](const std::string& verb) { return verb == "create" && lost-- > 0; };
  static_cast<void>(builder_->Ensure(spec));
  for (int i = 0; i < 10; ++i) {
    Work();
    clock_.Advance(std::chrono::seconds(1));
  }
  EXPECT_EQ(Pods().size(), 1U);
  EXPECT_EQ(builder_->Ensure(spec).phase, BuildState::Phase::kBuilding);
}

TEST_F(EnvironmentBuilderTest, DiscardRemovesFromTheStoreAndEndsARunningBuild) {
  const api::EnvironmentSpec spec = Packages("bash");
  const std::string hash = builder_->HashOf(spec);
  static_cast<void>(builder_->Ensure(spec));
  Work();
  builder_->Discard(hash);
  Work();
  EXPECT_TRUE(Pods().empty()) << "its build is ended first";
  clock_.Advance(std::chrono::seconds(1));
  Work();
  ASSERT_EQ(Pods(), std::vector<std::string>{RemoverName(hash)});
  End(RemoverName(hash), Message("Built", "removed"));
  Work();
  EXPECT_TRUE(Pods().empty());
  clock_.Advance(std::chrono::hours(1));
  Work();
  EXPECT_TRUE(Pods().empty()) << "once is enough";
  EXPECT_FALSE(HasConfigMap(hash));
}

TEST_F(EnvironmentBuilderTest, WhatIsNotPublishedIsTriedAgainAndSaysWhy) {
  const api::EnvironmentSpec spec = Packages("bash");
  const std::string hash = builder_->HashOf(spec);
  static_cast<void>(builder_->Ensure(spec));
  Json message = Message("Built", "the cache is down");
  message["outcome"] = "PublishFailed";
  message["reason"] = "CacheUnavailable";
  for (int i = 0; i < 3; ++i) {
    Work();
    End(BuilderName(hash), message);
    Work();
    const BuildState state = builder_->Ensure(spec);
    EXPECT_EQ(state.phase, BuildState::Phase::kBuilding);
    EXPECT_EQ(state.unpublished, "CacheUnavailable");
    EXPECT_EQ(state.store_path, "/nix/store/x");
    EXPECT_EQ(state.message, "will be tried again: the cache is down");
    clock_.Advance(std::chrono::minutes(2));
  }
  Work();
  EXPECT_EQ(builder_->Ensure(spec).unpublished, "CacheUnavailable") << "while it is tried again";
  End(BuilderName(hash), message);
  Work();
  const BuildState failed = builder_->Ensure(spec);
  EXPECT_TRUE(failed.infrastructure || failed.phase == BuildState::Phase::kBuilding);
  clock_.Advance(std::chrono::minutes(2));
  static_cast<void>(builder_->Ensure(spec));
  Work();
  End(BuilderName(hash), Message("Built", "built"));
  Work();
  EXPECT_EQ(builder_->Ensure(spec).phase, BuildState::Phase::kReady);
  EXPECT_EQ(builder_->Ensure(spec).unpublished, "");
}

TEST_F(EnvironmentBuilderTest, WhatAnExecutorCouldNotGetIsReadToItsLastByte) {
  const api::EnvironmentSpec spec = Packages("bash");
  const std::string hash = builder_->HashOf(spec);
  const auto arguments = [&] {
    const std::string key =
        FakeClient::KeyFor(kube::kPods, options_.executor_namespace, BuilderName(hash));
    return client_.objects.contains(key) ? DumpJson(client_.objects.at(key)) : "";
  };
  static_cast<void>(builder_->Ensure(spec));
  Work();
  EXPECT_EQ(arguments().find("--doubt-cache"), std::string::npos);
  End(BuilderName(hash), Message("Built", "built"));
  Work();
  clock_.Advance(std::chrono::minutes(2));
  builder_->Recheck(hash);
  Work();
  EXPECT_NE(arguments().find("--doubt-cache"), std::string::npos);
  End(BuilderName(hash), Message("Built", "built"));
  Work();
  EXPECT_EQ(builder_->Ensure(spec).phase, BuildState::Phase::kReady);
}

class CollectionTest : public EnvironmentBuilderTest {
 protected:
  CollectionTest() {
    options_.cache.url = "http://cache";
    options_.cache.gc_interval_millis = 60'000;
    Restart();
  }

  std::string Built(const std::string& name) {
    const std::string hash = builder_->HashOf(Packages(name));
    static_cast<void>(builder_->Ensure(Packages(name)));
    Work();
    End(BuilderName(hash), Message("Built", "built"));
    Work();
    return hash;
  }

  [[nodiscard]] Json Request() const {
    const Json& map = client_.objects.at(
        FakeClient::KeyFor(kube::kConfigMaps, options_.executor_namespace, kCollectorName));
    return *ParseJson(GetString(At(map, {"data"}), "collect.json"));
  }
};

TEST_F(CollectionTest, ComesAtItsTimeWithWhatIsLiveAndWhatWasUsedLast) {
  const std::string hash = Built("bash");
  pinned_ = {{std::string(32, 'a'), "/nix/store/a", false, 0}};
  EXPECT_TRUE(Pods().empty());
  clock_.Advance(std::chrono::minutes(1));
  Work();
  ASSERT_EQ(Pods(), std::vector<std::string>{kCollectorName});
  const Json request = Request();
  EXPECT_EQ(GetInt(request, "maxBytes"), 50LL << 30);
  EXPECT_EQ(GetInt(request, "graceSeconds"), 3600);
  ASSERT_EQ(At(request, {"live"}).size(), 2U);
  EXPECT_EQ(At(request, {"live"})[0]["hash"], std::string(32, 'a'));
  EXPECT_EQ(At(request, {"live"})[0]["pinned"], true);
  EXPECT_EQ(At(request, {"live"})[1]["hash"], hash);
  EXPECT_EQ(At(request, {"live"})[1]["pinned"], false);
  End(kCollectorName,
      {{"outcome", "Collected"}, {"message", "1 gone"}, {"environments", Json::array({hash})}});
  Work();
  EXPECT_TRUE(Pods().empty());
  // It is not in the cache any more: whoever asks has it built again.
  EXPECT_EQ(builder_->Ensure(Packages("bash")).phase, BuildState::Phase::kBuilding);
}

TEST_F(CollectionTest, TakesTurnsWithBuilds) {
  const std::string hash = builder_->HashOf(Packages("bash"));
  static_cast<void>(builder_->Ensure(Packages("bash")));
  Work();
  SetPod(BuilderName(hash), {{"phase", "Running"}});
  clock_.Advance(std::chrono::minutes(1));
  Work();
  EXPECT_EQ(Pods(), std::vector<std::string>{BuilderName(hash)}) << "a build is going on";
  static_cast<void>(builder_->Ensure(Packages("gcc")));
  Work();
  End(BuilderName(hash), Message("Built", "built"));
  Work();
  clock_.Advance(std::chrono::seconds(6));
  Work();
  EXPECT_EQ(Pods(), std::vector<std::string>{kCollectorName}) << "what waits, waits for it";
  SetPod(kCollectorName, {{"phase", "Running"}});
  Work();
  // Another operator leads: it does not build beside it either.
  Restart();
  queue_->Add(kCollectorLabel);
  Work();
  static_cast<void>(builder_->Ensure(Packages("gcc")));
  Work();
  EXPECT_EQ(Pods(), std::vector<std::string>{kCollectorName});
  End(kCollectorName, {{"outcome", "InternalError"}, {"message", "the cache is down"}});
  Work();
  EXPECT_EQ(Pods(), std::vector<std::string>{BuilderName(builder_->HashOf(Packages("gcc")))});
}

TEST_F(CollectionTest, ALostCollectorHoldsNothingUp) {
  clock_.Advance(std::chrono::minutes(1));
  Work();
  static_cast<void>(client_.Delete(kube::kPods, options_.executor_namespace, kCollectorName, {}));
  Work();
  EXPECT_EQ(Pods(), std::vector<std::string>{kCollectorName}) << "it is due all the same";
  End(kCollectorName, {{"outcome", "Collected"}, {"message", ""}});
  Work();
  EXPECT_TRUE(Pods().empty());
  Built("bash");
}

}  // namespace
}  // namespace envicutor::op
