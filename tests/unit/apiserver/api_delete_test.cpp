// delete: grace, finalizers, preconditions, garbage collection, namespaces, CRDs.
#include "tests/unit/apiserver/fixture.h"

namespace envicutor::standalone {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class ApiDeleteTest : public ApiTest {
 protected:
  Json OwnedBy(const Json& owner, const std::string& name, bool block = false) {
    Json object = ConfigMap(name);
    object["metadata"]["ownerReferences"] = Json::array({{{"apiVersion", owner["apiVersion"]},
                                                          {"kind", owner["kind"]},
                                                          {"name", NameOf(owner)},
                                                          {"uid", owner["metadata"]["uid"]},
                                                          {"blockOwnerDeletion", block}}});
    return object;
  }
  void Bind(const std::string& pod) {
    const auto bound = api_->BindPod("default", pod, {{"target", {{"name", "node-1"}}}}, {});
    ASSERT_TRUE(bound.ok()) << bound.error().message;
  }
};

TEST_F(ApiDeleteTest, AnswersAStatusThatNamesWhatWentAway) {
  const Json made = MustCreate("configmaps", ConfigMap("a"));
  const auto deleted = Delete("configmaps", "a");
  ASSERT_TRUE(deleted.ok());
  EXPECT_EQ(deleted->object["status"], "Success");
  EXPECT_EQ(deleted->object["details"]["uid"], made["metadata"]["uid"]);
  const auto again = Delete("configmaps", "a");
  EXPECT_EQ(again.error().code, 404);
  EXPECT_EQ(again.error().message, "configmaps \"a\" not found");
}

TEST_F(ApiDeleteTest, PreconditionsHold) {
  MustCreate("configmaps", ConfigMap("a"));
  DeleteQuery query;
  query.uid = "another";
  EXPECT_EQ(Delete("configmaps", "a", query).error().code, 409);
  query.uid = "";
  query.resource_version = "1";
  EXPECT_EQ(Delete("configmaps", "a", query).error().code, 409);
  EXPECT_FALSE(Get("configmaps", "a").is_null());
}

TEST_F(ApiDeleteTest, FinalizersHoldTheObjectUntilTheLastIsGone) {
  Json object = ConfigMap("a");
  object["metadata"]["finalizers"] = {"example.com/x", "example.com/y"};
  MustCreate("configmaps", object);
  ASSERT_TRUE(Delete("configmaps", "a").ok());
  EXPECT_TRUE(IsTerminating(Get("configmaps", "a")));
  const auto added = Patch("configmaps", "a", PatchKind::kMerge,
                           {{"metadata", {{"finalizers", {"example.com/x", "example.com/z"}}}}});
  EXPECT_THAT(added.error().message,
              HasSubstr("no new finalizers can be added if the object is being deleted"));
  ASSERT_TRUE(Patch("configmaps", "a", PatchKind::kMerge,
                    {{"metadata", {{"finalizers", {"example.com/x"}}}}})
                  .ok());
  EXPECT_FALSE(Get("configmaps", "a").is_null());
  ASSERT_TRUE(
      Patch("configmaps", "a", PatchKind::kMerge, {{"metadata", {{"finalizers", nullptr}}}}).ok());
  EXPECT_TRUE(Get("configmaps", "a").is_null());
}

TEST_F(ApiDeleteTest, AUserCannotForgeADeletion) {
  const Json made = MustCreate("configmaps", ConfigMap("a"));
  const auto patched = Patch("configmaps", "a", PatchKind::kMerge,
                             {{"metadata", {{"deletionTimestamp", "2020-01-01T00:00:00Z"}}}});
  ASSERT_TRUE(patched.ok());
  EXPECT_EQ(patched->object, made);
}

TEST_F(ApiDeleteTest, ABoundPodHasItsGraceAndTheNodeEndsIt) {
  MustCreate("pods", Pod("p"));
  Bind("p");
  const auto deleted = Delete("pods", "p");
  ASSERT_TRUE(deleted.ok());
  Json pod = Get("pods", "p");
  EXPECT_EQ(pod["metadata"]["deletionGracePeriodSeconds"], 30);
  EXPECT_EQ(pod["metadata"]["deletionTimestamp"], "2026-01-01T00:00:30Z");
  DeleteQuery shorter;
  shorter.grace_period_seconds = 5;
  ASSERT_TRUE(Delete("pods", "p", shorter).ok());
  EXPECT_EQ(Get("pods", "p")["metadata"]["deletionGracePeriodSeconds"], 5);
  shorter.grace_period_seconds = 60;
  ASSERT_TRUE(Delete("pods", "p", shorter).ok());
  EXPECT_EQ(Get("pods", "p")["metadata"]["deletionGracePeriodSeconds"], 5);
  DeleteQuery now;
  now.grace_period_seconds = 0;
  ASSERT_TRUE(Delete("pods", "p", now).ok());
  EXPECT_TRUE(Get("pods", "p").is_null());
}

TEST_F(ApiDeleteTest, AnUnboundOrFinishedPodGoesAtOnce) {
  MustCreate("pods", Pod("unbound"));
  ASSERT_TRUE(Delete("pods", "unbound").ok());
  EXPECT_TRUE(Get("pods", "unbound").is_null());
  MustCreate("pods", Pod("finished"));
  Bind("finished");
  ASSERT_TRUE(Patch("pods", "finished", PatchKind::kStrategicMerge,
                    {{"status", {{"phase", "Succeeded"}}}}, "status")
                  .ok());
  ASSERT_TRUE(Delete("pods", "finished").ok());
  EXPECT_TRUE(Get("pods", "finished").is_null());
}

TEST_F(ApiDeleteTest, BindingIsOnceAndSpecsOfPodsAreFixed) {
  const Json made = MustCreate("pods", Pod("p"));
  EXPECT_EQ(made["status"]["phase"], "Pending");
  EXPECT_EQ(made["spec"]["restartPolicy"], "Always");
  Bind("p");
  EXPECT_EQ(Get("pods", "p")["spec"]["nodeName"], "node-1");
  EXPECT_EQ(api_->BindPod("default", "p", {{"target", {{"name", "other"}}}}, {}).error().code, 409);
  EXPECT_EQ(Patch("pods", "p", PatchKind::kMerge, {{"spec", {{"nodeName", "other"}}}}).error().code,
            422);
  EXPECT_TRUE(
      Patch("pods", "p", PatchKind::kStrategicMerge,
            {{"spec", {{"containers", Json::array({{{"name", "agent"}, {"image", "x:2"}}})}}}})
          .ok());
}

TEST_F(ApiDeleteTest, DependentsGoWithTheirOwner) {
  const Json owner = MustCreate("configmaps", ConfigMap("owner"));
  MustCreate("configmaps", OwnedBy(owner, "child"));
  MustCreate("configmaps", ConfigMap("free"));
  Settle();
  ASSERT_TRUE(Delete("configmaps", "owner").ok());
  Settle();
  EXPECT_THAT(Names("configmaps", {}, "default"), ElementsAre("free"));
}

TEST_F(ApiDeleteTest, ADependentOfSeveralStaysUntilAllAreGone) {
  const Json a = MustCreate("configmaps", ConfigMap("a"));
  const Json b = MustCreate("configmaps", ConfigMap("b"));
  Json child = OwnedBy(a, "child");
  child["metadata"]["ownerReferences"].push_back(OwnedBy(b, "x")["metadata"]["ownerReferences"][0]);
  MustCreate("configmaps", child);
  Settle();
  ASSERT_TRUE(Delete("configmaps", "a").ok());
  Settle();
  EXPECT_EQ(Get("configmaps", "child")["metadata"]["ownerReferences"].size(), 1U);
  ASSERT_TRUE(Delete("configmaps", "b").ok());
  Settle();
  EXPECT_TRUE(Get("configmaps", "child").is_null());
}

TEST_F(ApiDeleteTest, AnOwnerOfTheSameNameButAnotherUidIsNoOwner) {
  Json owner = MustCreate("configmaps", ConfigMap("owner"));
  owner["metadata"]["uid"] = "11111111-1111-4111-8111-111111111111";
  MustCreate("configmaps", OwnedBy(owner, "child"));
  Settle();
  EXPECT_TRUE(Get("configmaps", "child").is_null());
}

TEST_F(ApiDeleteTest, ForegroundWaitsForBlockingDependents) {
  const Json owner = MustCreate("configmaps", ConfigMap("owner"));
  Json child = OwnedBy(owner, "child", true);
  child["metadata"]["finalizers"] = {"example.com/hold"};
  MustCreate("configmaps", child);
  Settle();
  DeleteQuery query;
  query.propagation = "Foreground";
  ASSERT_TRUE(Delete("configmaps", "owner", query).ok());
  Settle();
  EXPECT_TRUE(IsTerminating(Get("configmaps", "child")));
  EXPECT_FALSE(Get("configmaps", "owner").is_null());
  ASSERT_TRUE(Patch("configmaps", "child", PatchKind::kJson,
                    Json::array({{{"op", "remove"}, {"path", "/metadata/finalizers/0"}}}))
                  .ok());
  Settle();
  EXPECT_THAT(Names("configmaps", {}, "default"), IsEmpty());
}

TEST_F(ApiDeleteTest, OrphanLeavesDependentsWithoutTheReference) {
  const Json owner = MustCreate("configmaps", ConfigMap("owner"));
  MustCreate("configmaps", OwnedBy(owner, "child"));
  Settle();
  DeleteQuery query;
  query.propagation = "Orphan";
  ASSERT_TRUE(Delete("configmaps", "owner", query).ok());
  Settle();
  EXPECT_TRUE(Get("configmaps", "owner").is_null());
  const Json child = Get("configmaps", "child");
  ASSERT_FALSE(child.is_null());
  EXPECT_FALSE(child["metadata"].contains("ownerReferences"));
}

TEST_F(ApiDeleteTest, GarbageIsCollectedAfterARestartToo) {
  const Json owner = MustCreate("configmaps", ConfigMap("owner"));
  MustCreate("configmaps", OwnedBy(owner, "child"));
  ASSERT_TRUE(Delete("configmaps", "owner").ok());
  Restart();
  EXPECT_TRUE(Get("configmaps", "child").is_null());
}

TEST_F(ApiDeleteTest, ATerminatingNamespaceIsEmptiedAndTakesNothingNew) {
  MustCreate("namespaces", {{"metadata", {{"name", "team"}}}});
  Settle();
  Json held = ConfigMap("held");
  held["metadata"]["namespace"] = "team";
  held["metadata"]["finalizers"] = {"example.com/hold"};
  MustCreate("configmaps", held);
  ASSERT_TRUE(Delete("namespaces", "team").ok());
  EXPECT_EQ(Get("namespaces", "team")["status"]["phase"], "Terminating");
  Settle();
  Json late = ConfigMap("late");
  late["metadata"]["namespace"] = "team";
  const auto refused = Create("configmaps", late);
  EXPECT_EQ(refused.error().code, 403);
  EXPECT_THAT(refused.error().message, HasSubstr("because it is being terminated"));
  EXPECT_FALSE(Get("namespaces", "team").is_null());
  ASSERT_TRUE(api_->Patch(*Resource("configmaps"), "team", "held", "", PatchKind::kMerge,
                          {{"metadata", {{"finalizers", nullptr}}}}, {})
                  .ok());
  Settle();
  EXPECT_TRUE(Get("namespaces", "team").is_null());
  EXPECT_THAT(Names("serviceaccounts", {}, "team"), IsEmpty());
  EXPECT_EQ(Delete("namespaces", "default").error().code, 403);
}

TEST_F(ApiDeleteTest, EveryNamespaceHasItsServiceAccount) {
  EXPECT_THAT(Names("serviceaccounts", {}, "envicutor-system"), ElementsAre("default"));
}

TEST_F(ApiDeleteTest, ADeletedCrdTakesItsObjectsAlong) {
  MustCreate("customresourcedefinitions", WidgetCrd());
  MustCreate("widgets", Widget("a"));
  ASSERT_TRUE(Delete("customresourcedefinitions", "widgets.example.com").ok());
  EXPECT_EQ(Create("widgets", Widget("b")).error().code, 405);
  Settle();
  EXPECT_EQ(Resource("widgets"), nullptr);
  MustCreate("customresourcedefinitions", WidgetCrd());
  EXPECT_THAT(Names("widgets"), IsEmpty());
}

TEST_F(ApiDeleteTest, DeleteCollectionGoesBySelector) {
  for (const char* name : {"a", "b"}) {
    Json object = ConfigMap(name);
    object["metadata"]["labels"] = {{"app", name}};
    MustCreate("configmaps", object);
  }
  ListQuery query;
  query.label_selector = "app=a";
  const auto deleted = api_->DeleteCollection(*Resource("configmaps"), "default", query, {});
  ASSERT_TRUE(deleted.ok());
  EXPECT_EQ(deleted->object["items"].size(), 1U);
  EXPECT_THAT(Names("configmaps", {}, "default"), ElementsAre("b"));
}

TEST_F(ApiDeleteTest, EventsEndAnHourAfterTheyWereLastSeen) {
  const auto event = [](const std::string& name) {
    return Json{{"metadata", {{"name", name}}},
                {"involvedObject", {{"kind", "Pod"}, {"namespace", "default"}}}};
  };
  MustCreate("events", event("old"));
  MustCreate("events", event("seen-again"));
  clock_.Advance(std::chrono::minutes(40));
  ASSERT_TRUE(Patch("events", "seen-again", PatchKind::kMerge,
                    {{"lastTimestamp", FormatRfc3339(clock_.WallNow())}})
                  .ok());
  clock_.Advance(std::chrono::minutes(21));
  Settle();
  EXPECT_THAT(Names("events"), ElementsAre("seen-again"));
}

TEST_F(ApiDeleteTest, EvictionIsADelete) {
  MustCreate("pods", Pod("p"));
  ASSERT_TRUE(api_->EvictPod("default", "p", Json::object(), {}).ok());
  EXPECT_TRUE(Get("pods", "p").is_null());
}

}  // namespace
}  // namespace envicutor::standalone
