// CustomResourceDefinitions that change and go, and what becomes of the objects of their kinds.
#include <atomic>
#include <barrier>
#include <filesystem>
#include <thread>

#include "standalone/apiserver/storage/sqlite_storage.h"
#include "tests/unit/apiserver/fixture.h"

namespace envicutor::standalone {
namespace {

constexpr const char* kCrdsName = "customresourcedefinitions";
constexpr const char* kWidgets = "widgets.example.com";

class DefinitionsTest : public ApiTest {
 public:
  using ApiTest::WidgetCrd;

 protected:
  void SetUp() override {
    ApiTest::SetUp();
    MustCreate(kCrdsName, WidgetCrd());
    Settle();
  }
  ApiResult<Answer> PatchCrd(const std::string& name, const Json& patch,
                             const std::string& subresource = "") {
    auto answer = Patch(kCrdsName, name, PatchKind::kMerge, patch, subresource);
    Settle();
    return answer;
  }
  void Unserve() {
    ASSERT_TRUE(
        Patch(kCrdsName, kWidgets, PatchKind::kJson,
              Json::array(
                  {{{"op", "replace"}, {"path", "/spec/versions/0/served"}, {"value", false}}}))
            .ok());
    Settle();
    ASSERT_EQ(Resource(kWidgets), nullptr);
  }
  [[nodiscard]] size_t Stored() const { return store_->CountHead("example.com/widgets", ""); }
  // The same kind of objects under another name.
  static Json Another(const std::string& plural) {
    Json crd = WidgetCrd();
    crd["spec"]["names"] = {{"plural", plural}, {"kind", "Widget"}};
    crd["metadata"]["name"] = plural + ".example.com";
    return crd;
  }
  std::string Condition(const std::string& name, const std::string& type) {
    const Json crd = Get(kCrdsName, name);
    for (const Json& condition : At(crd, {"status", "conditions"})) {
      if (GetString(condition, "type") == type) return GetString(condition, "status");
    }
    return "";
  }
};

TEST_F(DefinitionsTest, OneThatServesNothingTakesItsObjectsWithIt) {
  MustCreate("widgets", Widget("one"));
  Unserve();
  ASSERT_EQ(Stored(), 1U);
  ASSERT_TRUE(Delete(kCrdsName, kWidgets).ok());
  Settle();
  EXPECT_EQ(Get(kCrdsName, kWidgets), nullptr);
  EXPECT_EQ(Stored(), 0U);
}

TEST_F(DefinitionsTest, OneThatServesNothingWaitsForObjectsThatAreHeld) {
  Json held = Widget("one");
  held["metadata"]["finalizers"] = {"example.com/held"};
  MustCreate("widgets", held);
  Unserve();
  ASSERT_TRUE(Delete(kCrdsName, kWidgets).ok());
  Settle();
  const ObjectPtr object = store_->Get("example.com/widgets", "default/one");
  ASSERT_NE(object, nullptr);
  EXPECT_TRUE(object->IsTerminating());
  EXPECT_TRUE(IsTerminating(Get(kCrdsName, kWidgets)));
  // Served again, whoever holds it can let it go.
  ASSERT_TRUE(
      Patch(
          kCrdsName, kWidgets, PatchKind::kJson,
          Json::array({{{"op", "replace"}, {"path", "/spec/versions/0/served"}, {"value", true}}}))
          .ok());
  Settle();
  ASSERT_TRUE(
      Patch("widgets", "one", PatchKind::kMerge, {{"metadata", {{"finalizers", nullptr}}}}).ok());
  Settle();
  EXPECT_EQ(Get(kCrdsName, kWidgets), nullptr);
  EXPECT_EQ(Stored(), 0U);
}

TEST_F(DefinitionsTest, OneOfABuiltInKindGoesWithoutItsObjects) {
  MustCreate("leases", {{"metadata", {{"name", "held"}}}});
  Json crd = WidgetCrd();
  crd["metadata"]["name"] = "leases.coordination.k8s.io";
  crd["spec"]["group"] = "coordination.k8s.io";
  crd["spec"]["names"] = {{"plural", "leases"}, {"kind", "Leaze"}};
  const auto refused = Create(kCrdsName, crd);
  ASSERT_FALSE(refused.ok()) << "Kubernetes' own groups are not for everybody";
  EXPECT_EQ(refused.error().code, 422);
  EXPECT_THAT(refused.error().message, testing::HasSubstr("must have approval annotation"));
  crd["metadata"]["annotations"] = {{"api-approved.kubernetes.io", "https://example.com/1"}};
  MustCreate(kCrdsName, crd);
  Settle();
  EXPECT_EQ(Condition("leases.coordination.k8s.io", "Established"), "False");
  ASSERT_TRUE(Delete(kCrdsName, "leases.coordination.k8s.io").ok());
  Settle();
  EXPECT_EQ(Get(kCrdsName, "leases.coordination.k8s.io"), nullptr);
  EXPECT_NE(Get("leases", "held"), nullptr);
}

TEST_F(DefinitionsTest, AnEstablishedOneKeepsItsKindAndItsScope) {
  MustCreate("widgets", Widget("one"));
  const Json before = Get(kCrdsName, kWidgets);
  const auto refused =
      PatchCrd(kWidgets, {{"spec", {{"scope", "Cluster"}, {"names", {{"kind", "Gadget"}}}}}});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, 422);
  EXPECT_EQ(refused.error().message,
            "CustomResourceDefinition.apiextensions.k8s.io \"widgets.example.com\" is invalid: "
            "[spec.scope: Invalid value: \"Cluster\": field is immutable, spec.names.kind: Invalid "
            "value: \"Gadget\": field is immutable]");
  EXPECT_EQ(Get(kCrdsName, kWidgets), before);
  EXPECT_TRUE(PatchCrd(kWidgets, {{"spec", {{"names", {{"shortNames", {"wg"}}}}}}}).ok());
  EXPECT_TRUE(Delete("widgets", "one").ok());
}

TEST_F(DefinitionsTest, OneThatWaitsForItsNameMayTakeAnother) {
  MustCreate(kCrdsName, Another("gadgets"));
  Settle();
  ASSERT_EQ(Condition("gadgets.example.com", "Established"), "False");
  const auto renamed = PatchCrd(
      "gadgets.example.com", {{"spec", {{"scope", "Cluster"}, {"names", {{"kind", "Gadget"}}}}}});
  ASSERT_TRUE(renamed.ok()) << renamed.error().message;
  EXPECT_EQ(Condition("gadgets.example.com", "Established"), "True");
  EXPECT_NE(Resource("gadgets.example.com"), nullptr);
}

TEST_F(DefinitionsTest, OneThatWaitsIsServedWhenWhoHadItsNameIsGone) {
  MustCreate(kCrdsName, Another("gadgets"));
  MustCreate(kCrdsName, Another("things"));
  Settle();
  ASSERT_EQ(Condition("gadgets.example.com", "Established"), "False");
  ASSERT_EQ(Condition("things.example.com", "Established"), "False");
  const uint64_t revision = store_->PublishedRevision();
  Settle();
  EXPECT_EQ(store_->PublishedRevision(), revision) << "who waits is not written again and again";
  ASSERT_TRUE(Delete(kCrdsName, kWidgets).ok());
  Settle();
  EXPECT_EQ(Condition("gadgets.example.com", "NamesAccepted"), "True");
  EXPECT_EQ(Condition("gadgets.example.com", "Established"), "True");
  EXPECT_NE(Resource("gadgets.example.com"), nullptr);
  EXPECT_EQ(Condition("things.example.com", "Established"), "False");
}

// The server ended between the two.
TEST_F(DefinitionsTest, OneThatWaitsIsServedAfterARestartToo) {
  MustCreate(kCrdsName, Another("gadgets"));
  Settle();
  ASSERT_TRUE(Delete(kCrdsName, kWidgets).ok());
  ASSERT_TRUE(
      Patch(kCrdsName, kWidgets, PatchKind::kMerge, {{"metadata", {{"finalizers", nullptr}}}})
          .ok());
  ASSERT_EQ(Get(kCrdsName, kWidgets), nullptr);
  ASSERT_EQ(Condition("gadgets.example.com", "Established"), "False");
  Restart();
  EXPECT_EQ(Condition("gadgets.example.com", "Established"), "True");
}

// As older servers could leave them: two of one kind.
TEST_F(DefinitionsTest, AnEstablishedOneStaysSoWhoeverHasItsName) {
  Json twin = Another("gadgets");
  twin["apiVersion"] = "apiextensions.k8s.io/v1";
  twin["kind"] = "CustomResourceDefinition";
  twin["status"] = Get(kCrdsName, kWidgets)["status"];
  StoreWrite write;
  write.resource = std::string(kCrds);
  write.key = "gadgets.example.com";
  write.object = DraftObject(twin);
  ASSERT_EQ(store_->Write(&write).kind, WriteOutcome::Kind::kDone);
  ASSERT_NE(Resource("gadgets.example.com"), nullptr);
  ASSERT_TRUE(PatchCrd("gadgets.example.com", {{"metadata", {{"labels", {{"a", "b"}}}}}}).ok());
  EXPECT_EQ(Condition("gadgets.example.com", "NamesAccepted"), "False");
  EXPECT_EQ(Condition("gadgets.example.com", "Established"), "True");
  EXPECT_EQ(Get(kCrdsName, "gadgets.example.com")["status"]["acceptedNames"],
            twin["status"]["acceptedNames"]);
  EXPECT_NE(Resource("gadgets.example.com"), nullptr);
}

// Clients that decode a definition into its types could not read it any more.
TEST_F(DefinitionsTest, AStatusOfAWrongTypeIsRefused) {
  const Json before = Get(kCrdsName, kWidgets);
  const auto condition = [](const char* member, const Json& value) {
    Json next = {{"type", "Next"}, {"status", "True"}};
    next[member] = value;
    return Json{{"conditions", Json::array({{{"type", "Odd"}, {"status", "True"}}, next})}};
  };
  const std::vector<std::pair<Json, std::string>> refused = {
      {{{"conditions", "abc"}}, "status.conditions"},
      {{{"conditions", Json::object()}}, "status.conditions"},
      {{{"conditions", {"abc", 5}}}, "status.conditions[0]"},
      {condition("type", 5), "status.conditions[1].type"},
      {condition("status", true), "status.conditions[1].status"},
      {condition("reason", Json::array()), "status.conditions[1].reason"},
      {condition("message", 1.5), "status.conditions[1].message"},
      {condition("lastTransitionTime", "yesterday"), "status.conditions[1].lastTransitionTime"},
      {condition("lastTransitionTime", 5), "status.conditions[1].lastTransitionTime"},
      {{{"storedVersions", "v7"}}, "status.storedVersions"},
      {{{"storedVersions", {"v1", 5}}}, "status.storedVersions[1]"},
  };
  for (const auto& [status, field] : refused) {
    SCOPED_TRACE(DumpJson(status));
    const auto answer = PatchCrd(kWidgets, {{"status", status}}, "status");
    ASSERT_FALSE(answer.ok());
    EXPECT_EQ(answer.error().code, 422);
    const Json& causes = At(answer.error().details, {"causes"});
    ASSERT_EQ(causes.size(), 1U) << answer.error().message;
    EXPECT_EQ(causes[0]["field"], field);
    EXPECT_EQ(Get(kCrdsName, kWidgets), before);
  }
  for (const Json& status :
       {Json(nullptr), Json{{"conditions", nullptr}, {"storedVersions", {"v1", "v0"}}},
        condition("lastTransitionTime", "2026-01-01T00:00:00Z")}) {
    const auto answer = PatchCrd(kWidgets, {{"status", status}}, "status");
    EXPECT_TRUE(answer.ok()) << status << answer.error().message;
  }
}

// An older server took them.
TEST_F(DefinitionsTest, AStatusOfAWrongTypeGoesWithTheNextWrite) {
  Json crd = Get(kCrdsName, kWidgets);
  crd["status"]["storedVersions"] = {"v0", 5};
  crd["status"]["conditions"].push_back("abc");
  StoreWrite write;
  write.resource = std::string(kCrds);
  write.key = kWidgets;
  write.expected = store_->GetHead(write.resource, write.key);
  write.object = DraftObject(crd);
  ASSERT_EQ(store_->Write(&write).kind, WriteOutcome::Kind::kDone);
  ASSERT_TRUE(PatchCrd(kWidgets, {{"metadata", {{"labels", {{"a", "b"}}}}}}).ok());
  const Json now = Get(kCrdsName, kWidgets)["status"];
  EXPECT_EQ(now["storedVersions"], (Json{"v0", "v1"}));
  EXPECT_EQ(now["conditions"].size(), 2U);
}

// Over a disk: while the one waits for it the other is judged.
TEST(DefinitionsAtTheSameTime, OnlyOneOfTwoGetsAName) {
  std::string folder = testing::TempDir() + "definitions.XXXXXX";
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  {
    SqliteStorage storage(folder);
    Store store(&storage, 100);
    SystemClock clock;
    SystemIdSource ids;
    Api api(&store, &clock, &ids);
    ASSERT_TRUE(api.Start({}).ok());
    const ResourcePtr crds = api.registry()->Find("apiextensions.k8s.io", "v1", kCrdsName);
    constexpr int kRounds = 10;
    for (int round = 0; round < kRounds; ++round) {
      std::barrier together(2);
      std::atomic<int> established = 0;
      std::vector<std::thread> creators;
      for (const char* name : {"a", "b"}) {
        creators.emplace_back([&, name] {
          const std::string plural = name + std::to_string(round);
          Json crd = DefinitionsTest::WidgetCrd();
          crd["metadata"]["name"] = plural + ".example.com";
          crd["spec"]["names"] = {{"plural", plural}, {"kind", "Kind" + std::to_string(round)}};
          WriteOptions options;
          options.deferred = true;
          together.arrive_and_wait();
          const auto made = api.Create(*crds, "", std::move(crd), options);
          ASSERT_TRUE(made.ok()) << made.error().message;
          const Json& last = made->object["status"]["conditions"][1];
          ASSERT_EQ(last["type"], "Established");
          if (last["status"] == "True") ++established;
        });
      }
      for (std::thread& creator : creators) creator.join();
      EXPECT_EQ(established, 1) << "round " << round;
    }
    store.Drain();
  }
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace envicutor::standalone
