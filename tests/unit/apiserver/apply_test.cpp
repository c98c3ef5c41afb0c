// server-side apply and managedFields: who owns what, conflicts, removal, lists by keys.
#include "standalone/apiserver/core/apply/ownership.h"
#include "tests/unit/apiserver/apply_fixture.h"

namespace envicutor::standalone {
namespace {

using testing::HasSubstr;

TEST_F(ApplyTest, MakesWhatIsNotThereAndOwnsWhatItSaid) {
  const ApiResult<Answer> made = Apply("widgets", Widget("a", 3), "one");
  ASSERT_TRUE(made.ok()) << made.error().message;
  EXPECT_EQ(made->code, 201);
  EXPECT_EQ(made->object["spec"]["color"], "red");
  const Json& managed = made->object["metadata"]["managedFields"];
  ASSERT_EQ(managed.size(), 1U);
  EXPECT_EQ(managed[0], (Json{{"manager", "one"},
                              {"operation", "Apply"},
                              {"apiVersion", "example.com/v1"},
                              {"time", "2026-01-01T00:00:00Z"},
                              {"fieldsType", "FieldsV1"},
                              {"fieldsV1", {{"f:spec", {{"f:size", Json::object()}}}}}}));
}

TEST_F(ApplyTest, TheSameAgainWritesNothing) {
  const Json made = MustApply("widgets", Widget("a", 3), "one");
  clock_.Advance(std::chrono::seconds(5));
  const ApiResult<Answer> again = Apply("widgets", Widget("a", 3), "one");
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->code, 200);
  EXPECT_EQ(again->object, made);
  EXPECT_EQ(Get("widgets", "a"), made);
}

TEST_F(ApplyTest, AnothersFieldIsAConflictUnlessForced) {
  MustApply("configmaps", ConfigMap("a", {{"x", "1"}, {"y", "1"}}), "one");
  const auto refused = Apply("configmaps", ConfigMap("a", {{"x", "2"}}), "two");
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, 409);
  EXPECT_EQ(refused.error().message,
            "Apply failed with 1 conflict: conflict with \"one\": .data.x");
  EXPECT_EQ(refused.error().details["causes"], Json::array({{{"reason", "FieldManagerConflict"},
                                                             {"message", "conflict with \"one\""},
                                                             {"field", ".data.x"}}}));
  const auto both = Apply("configmaps", ConfigMap("a", {{"x", "2"}, {"y", "2"}}), "two");
  EXPECT_EQ(both.error().message,
            "Apply failed with 2 conflicts: conflicts with \"one\":\n- .data.x\n- .data.y");
  const Json forced = MustApply("configmaps", ConfigMap("a", {{"x", "2"}}), "two", true);
  EXPECT_EQ(forced["data"], (Json{{"x", "2"}, {"y", "1"}}));
  EXPECT_EQ(Owned(forced, "one"), (Json{{"f:data", {{"f:y", Json::object()}}}}));
  EXPECT_EQ(Owned(forced, "two"), (Json{{"f:data", {{"f:x", Json::object()}}}}));
}

TEST_F(ApplyTest, TheSameValueIsShared) {
  MustApply("configmaps", ConfigMap("a", {{"x", "1"}}), "one");
  const Json shared = MustApply("configmaps", ConfigMap("a", {{"x", "1"}}), "two");
  EXPECT_EQ(Owned(shared, "one"), Owned(shared, "two"));
  // One of them lets go: it stays, for the other.
  const Json left = MustApply("configmaps", ConfigMap("a"), "one");
  EXPECT_EQ(left["data"], (Json{{"x", "1"}}));
}

TEST_F(ApplyTest, WhatIsNoMoreSaidGoesUnlessAnotherOwnsIt) {
  MustApply("configmaps", ConfigMap("a", {{"x", "1"}, {"y", "1"}, {"z", "1"}}), "one");
  MustApply("configmaps", ConfigMap("a", {{"y", "1"}}), "two");
  ASSERT_TRUE(
      Patch("configmaps", "a", PatchKind::kMerge, {{"data", {{"u", "1"}}}}, "", By("editor")).ok());
  const Json left = MustApply("configmaps", ConfigMap("a", {{"x", "1"}}), "one");
  EXPECT_EQ(left["data"], (Json{{"u", "1"}, {"x", "1"}, {"y", "1"}}));
}

TEST_F(ApplyTest, UpdatesMoveOwnership) {
  Json made = MustApply("widgets", Widget("a", 3), "one");
  ASSERT_TRUE(
      Patch("widgets", "a", PatchKind::kMerge, {{"spec", {{"size", 4}}}}, "", By("editor")).ok());
  made = Get("widgets", "a");
  EXPECT_TRUE(Owned(made, "one").is_null());
  EXPECT_EQ(Owned(made, "editor", "Update"), (Json{{"f:spec", {{"f:size", Json::object()}}}}));
  const auto refused = Apply("widgets", Widget("a", 3), "one");
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().message,
            "Apply failed with 1 conflict: conflict with \"editor\" using example.com/v1: "
            ".spec.size");
}

TEST_F(ApplyTest, AnUpdateAddsToWhatItsManagerHadAndTakesAwayWhatWent) {
  MustApply("configmaps", ConfigMap("a", {{"x", "1"}, {"y", "1"}}), "one");
  const Json leaf = Json::object();
  for (const char* name : {"u", "v"}) {
    clock_.Advance(std::chrono::seconds(1));
    ASSERT_TRUE(
        Patch("configmaps", "a", PatchKind::kMerge, {{"data", {{name, "1"}}}}, "", By("ed")).ok());
  }
  clock_.Advance(std::chrono::seconds(1));
  ASSERT_TRUE(
      Patch("configmaps", "a", PatchKind::kMerge, {{"data", {{"x", nullptr}}}}, "", By("no")).ok());
  const Json now = Get("configmaps", "a");
  EXPECT_EQ(Owned(now, "ed", "Update"), (Json{{"f:data", {{"f:u", leaf}, {"f:v", leaf}}}}));
  EXPECT_EQ(now["metadata"]["managedFields"][1]["time"], "2026-01-01T00:00:02Z");
  EXPECT_EQ(Owned(now, "one"), (Json{{"f:data", {{"f:y", leaf}}}}));
  EXPECT_TRUE(Owned(now, "no", "Update").is_null()) << "who only takes away owns nothing";
}

// managedFields that a client sends are taken where they can be: of the main resource, well-formed.
TEST_F(ApplyTest, AClientMayChangeWhoOwnsWhat) {
  MustApply("widgets", Widget("a", 3), "one");
  MustApply("widgets", Widget("a", 3), "two");
  Json object = Get("widgets", "a");
  const Json both = object["metadata"]["managedFields"];
  ASSERT_EQ(both.size(), 2U);
  const auto patched = [&](const Json& managed, const std::string& subresource) {
    const auto answer = Patch("widgets", "a", PatchKind::kMerge,
                              {{"metadata", {{"managedFields", managed}}}}, subresource);
    EXPECT_TRUE(answer.ok()) << answer.error().message;
    return Get("widgets", "a")["metadata"]["managedFields"];
  };
  Json wrong = both;
  wrong[0]["operation"] = "Eat";
  EXPECT_EQ(patched(wrong, ""), both);
  EXPECT_EQ(patched(Json::array(), ""), both);
  EXPECT_EQ(patched(Json::array({Json::object()}), "status"), both);
  EXPECT_EQ(patched(Json::array({both[0]}), "status"), both);
  EXPECT_EQ(patched(Json::array({both[0]}), ""), Json::array({both[0]}));
  EXPECT_TRUE(patched(Json::array({Json::object()}), "").is_null());
}

TEST_F(ApplyTest, ListsComeInTheOrderOfWhoAppliedLast) {
  const auto with = [](const std::vector<std::string>& names) {
    Json account = {{"metadata", {{"name", "s"}}}};
    for (const std::string& name : names) account["secrets"].push_back({{"name", name}});
    return account;
  };
  const auto order = [](const Json& account) {
    std::string names;
    for (const Json& entry : account["secrets"]) names += GetString(entry, "name");
    return names;
  };
  EXPECT_EQ(order(MustApply("serviceaccounts", with({"A", "B", "C"}), "one")), "ABC");
  EXPECT_EQ(order(MustApply("serviceaccounts", with({"C", "A"}), "two")), "BCA");
  EXPECT_EQ(order(MustApply("serviceaccounts", with({"D", "A", "E"}), "three")), "BCDAE");
}

TEST_F(ApplyTest, WhatIsEmptyTakesAwayWhatWasInIt) {
  MustApply("configmaps", ConfigMap("a", {{"x", "1"}, {"y", "1"}}), "one");
  ASSERT_TRUE(
      Patch("configmaps", "a", PatchKind::kMerge, {{"data", {{"u", "1"}}}}, "", By("editor")).ok());
  MustApply("configmaps", ConfigMap("a", {{"y", "1"}}), "two");
  const Json left = MustApply("configmaps", ConfigMap("a"), "one");
  EXPECT_EQ(left["data"], (Json{{"u", "1"}, {"y", "1"}}));
  Json held = {{"metadata", {{"name", "p"}, {"finalizers", {"x.io/a"}}}}};
  MustApply("configmaps", held, "one");
  held["metadata"]["finalizers"] = Json::array();
  EXPECT_TRUE(At(MustApply("configmaps", held, "one"), {"metadata", "finalizers"}).empty());
}

TEST_F(ApplyTest, ACreateOwnsItsFieldsAndContainers) {
  const ApiResult<Answer> made = Create("widgets", Widget("a", 3), By("maker"));
  ASSERT_TRUE(made.ok());
  const Json leaf = Json::object();
  EXPECT_EQ(Owned(made->object, "maker", "Update"),
            (Json{{"f:spec", {{".", leaf}, {"f:size", leaf}, {"f:color", leaf}}}}));
  // A status is another entry of the same manager.
  ASSERT_TRUE(Patch("widgets", "a", PatchKind::kMerge, {{"status", {{"phase", "Done"}}}}, "status",
                    By("maker"))
                  .ok());
  const Json now = Get("widgets", "a");
  ASSERT_EQ(now["metadata"]["managedFields"].size(), 2U);
  EXPECT_EQ(now["metadata"]["managedFields"][1]["subresource"], "status");
  EXPECT_EQ(now["metadata"]["managedFields"][1]["fieldsV1"],
            (Json{{"f:status", {{".", leaf}, {"f:phase", leaf}}}}));
}

TEST_F(ApplyTest, ElementsOfListsAreOwnedByTheirKeys) {
  Json pod = Pod("p");
  pod["spec"]["containers"][0]["env"] = {{{"name", "A"}, {"value", "1"}}};
  MustApply("pods", pod, "one");
  ASSERT_FALSE(Get("pods", "p").is_null());
  Json other = {{"metadata", {{"name", "p"}, {"finalizers", {"x.io/a"}}}},
                {"spec", {{"containers", Json::array({{{"name", "agent"}, {"image", "other"}}})}}}};
  const auto refused = Apply("pods", other, "two");
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().message, HasSubstr(".spec.containers[name=\"agent\"].image"));
  other.erase("spec");
  const Json now = MustApply("pods", other, "two");
  EXPECT_EQ(Owned(now, "two"),
            (Json{{"f:metadata", {{"f:finalizers", {{"v:\"x.io/a\"", Json::object()}}}}}}));
  EXPECT_TRUE(Owned(now, "one")["f:spec"]["f:containers"]["k:{\"name\":\"agent\"}"].contains("."));
  // The finalizer of another stays when one lets go of its own.
  MustApply("pods", {{"metadata", {{"name", "p"}, {"finalizers", {"x.io/b"}}}}}, "three");
  const Json left = MustApply("pods", {{"metadata", {{"name", "p"}}}}, "two");
  EXPECT_EQ(left["metadata"]["finalizers"], Json::array({"x.io/b"}));
}

TEST_F(ApplyTest, AStatusIsAppliedThroughItsSubresource) {
  MustApply("widgets", Widget("a", 3), "one");
  Json status = {{"metadata", {{"name", "a"}}}, {"status", {{"phase", "Done"}}}};
  EXPECT_TRUE(MustApply("widgets", status, "two")["status"].is_null());
  const Json now = MustApply("widgets", status, "two", false, "status");
  EXPECT_EQ(now["status"]["phase"], "Done");
  EXPECT_EQ(Owned(now, "two"), (Json{{"f:status", {{"f:phase", Json::object()}}}}));
  const auto refused =
      Apply("widgets", {{"metadata", {{"name", "a"}}}, {"status", {{"phase", "No"}}}}, "three",
            false, "status");
  EXPECT_EQ(refused.error().message,
            "Apply failed with 1 conflict: conflict with \"two\" with subresource \"status\": "
            ".status.phase");
}

TEST_F(ApplyTest, ADryRunChangesNothing) {
  WriteOptions options;
  options.dry_run = true;
  const auto made = Apply("configmaps", ConfigMap("a", {{"x", "1"}}), "one", false, "", options);
  ASSERT_TRUE(made.ok());
  EXPECT_EQ(made->object["data"]["x"], "1");
  EXPECT_TRUE(Get("configmaps", "a").is_null());
}

TEST_F(ApplyTest, ObjectsFromBeforeBelongToWhoeverMadeThem) {
  MustCreate("configmaps", ConfigMap("a", {{"x", "1"}}));
  Json reset = Get("configmaps", "a");
  reset["metadata"]["managedFields"] = Json::array({Json::object()});
  ASSERT_TRUE(Update("configmaps", reset).ok());
  ASSERT_FALSE(Get("configmaps", "a")["metadata"].contains("managedFields"));
  // Nobody follows it until somebody applies.
  ASSERT_TRUE(Patch("configmaps", "a", PatchKind::kMerge, {{"data", {{"y", "1"}}}}).ok());
  ASSERT_FALSE(Get("configmaps", "a")["metadata"].contains("managedFields"));
  const auto refused = Apply("configmaps", ConfigMap("a", {{"x", "2"}}), "one");
  EXPECT_THAT(refused.error().message, HasSubstr("conflict with \"before-first-apply\" using v1"));
}

TEST_F(ApplyTest, KubectlTakesOverFromItsOwnClientSideApply) {
  Json map = ConfigMap("a", {{"x", "1"}});
  map["metadata"]["annotations"] = {
      {"kubectl.kubernetes.io/last-applied-configuration", DumpJson({{"data", {{"x", "1"}}}})}};
  ASSERT_TRUE(Create("configmaps", map, By("kubectl-client-side-apply")).ok());
  EXPECT_FALSE(Apply("configmaps", ConfigMap("a", {{"x", "2"}}), "another").ok());
  const Json taken = MustApply("configmaps", ConfigMap("a", {{"x", "2"}}), "kubectl");
  EXPECT_EQ(taken["data"]["x"], "2");
  // and keeps the annotation up to date, for the way back.
  EXPECT_THAT(taken["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"]
                  .get<std::string>(),
              HasSubstr("\"x\":\"2\""));
}

TEST_F(ApplyTest, KubectlTakesOverNothingElse) {
  const char* const annotation = "kubectl.kubernetes.io/last-applied-configuration";
  for (const std::string last :
       {"", "[1]", "{", R"({"data":{"y":"1"}})", R"({"data":{"x":"0"}})"}) {
    Json map = ConfigMap("a", {{"x", "1"}});
    map["metadata"]["annotations"] = {{annotation, last}};
    ASSERT_TRUE(Create("configmaps", map, By("kubectl-client-side-apply")).ok());
    EXPECT_EQ(Apply("configmaps", ConfigMap("a", {{"x", "2"}}), "kubectl").error().code, 409)
        << last;
    // Somebody else's apply leaves the annotation as it is.
    const Json others = MustApply("configmaps", ConfigMap("a", {{"x", "2"}}), "other", true);
    EXPECT_EQ(others["metadata"]["annotations"][annotation], last);
    // Its own text is not in the text.
    Json config = ConfigMap("a", {{"x", "2"}});
    config["metadata"]["annotations"] = {{annotation, "old"}, {"mine", "1"}};
    const Json own = MustApply("configmaps", config, "kubectl", true);
    const std::string text = own["metadata"]["annotations"][annotation].get<std::string>();
    EXPECT_THAT(text, HasSubstr("mine"));
    EXPECT_THAT(text, testing::Not(HasSubstr(annotation)));
    ASSERT_TRUE(Delete("configmaps", "a").ok());
  }
  MustApply("configmaps", ConfigMap("a", {{"x", "1"}}), "other");
  EXPECT_FALSE(
      MustApply("configmaps", ConfigMap("a", {{"y", "1"}}), "kubectl")["metadata"].contains(
          "annotations"));
}

TEST_F(ApplyTest, WhatCannotBeOwnedIsRefused) {
  Json config = Widget("a", 1);
  config["spec"]["sise"] = 1;
  const auto unknown = Apply("widgets", config, "one");
  ASSERT_FALSE(unknown.ok());
  EXPECT_EQ(unknown.error().message,
            "failed to create typed patch object (/a; example.com/v1, Kind=Widget): "
            ".spec.sise: field not declared in schema");
  Json twice = Pod("p");
  twice["spec"]["containers"].push_back({{"name", "agent"}, {"image", "b"}});
  EXPECT_THAT(Apply("pods", twice, "one").error().message, HasSubstr("duplicate entries for key"));
  Json managed = Widget("a", 1);
  managed["metadata"]["managedFields"] = Json::array({{{"manager", "x"}}});
  EXPECT_EQ(Apply("widgets", managed, "one").error().message, "metadata.managedFields must be nil");
}

TEST_F(ApplyTest, TheOldestManagersBecomeOne) {
  MustApply("configmaps", ConfigMap("a", {{"applied", "1"}}), "applier");
  for (int i = 0; i < 13; ++i) {
    clock_.Advance(std::chrono::seconds(1));
    const std::string name = "m" + std::to_string(i);
    ASSERT_TRUE(
        Patch("configmaps", "a", PatchKind::kMerge, {{"data", {{name, "1"}}}}, "", By(name)).ok());
    // Ten by update stay as they are, and who applies is none of them.
    EXPECT_EQ(Get("configmaps", "a")["metadata"]["managedFields"].size(),
              std::min<size_t>(static_cast<size_t>(i) + 1, kMaxUpdateManagers) + 1);
    EXPECT_EQ(i < 10, Owned(Get("configmaps", "a"), "ancient-changes", "Update").is_null()) << i;
  }
  const Json now = Get("configmaps", "a");
  const Json leaf = Json::object();
  EXPECT_EQ(Owned(now, "ancient-changes", "Update"),
            (Json{{"f:data", {{"f:m0", leaf}, {"f:m1", leaf}, {"f:m2", leaf}, {"f:m3", leaf}}}}));
  EXPECT_FALSE(Owned(now, "m4", "Update").is_null());
  EXPECT_FALSE(Owned(now, "m12", "Update").is_null());
  EXPECT_FALSE(Owned(now, "applier").is_null());
}

}  // namespace
}  // namespace envicutor::standalone
