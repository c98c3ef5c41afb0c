// create, update, patch: identity, conflicts, isolation of subresources, validation.
#include "standalone/apiserver/http/output.h"
#include "tests/unit/apiserver/fixture.h"

namespace envicutor::standalone {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class ApiWriteTest : public ApiTest {
 protected:
  void SetUp() override {
    ApiTest::SetUp();
    MustCreate("customresourcedefinitions", WidgetCrd());
  }
};

TEST_F(ApiWriteTest, CreateFillsSystemMetadata) {
  const Json made = MustCreate(
      "widgets",
      {{"metadata", {{"name", "a"}, {"uid", "mine"}, {"selfLink", "/x"}, {"generation", 7}}},
       {"spec", {{"size", 1}}},
       {"status", {{"phase", "Forged"}}}});
  EXPECT_EQ(made["metadata"]["namespace"], "default");
  EXPECT_EQ(made["metadata"]["creationTimestamp"], "2026-01-01T00:00:00Z");
  EXPECT_EQ(made["metadata"]["generation"], 1);
  EXPECT_EQ(made["metadata"]["uid"].get<std::string>().size(), 36U);
  EXPECT_FALSE(made["metadata"].contains("selfLink"));
  EXPECT_FALSE(made.contains("status"));
  EXPECT_EQ(made["spec"]["color"], "red");
  EXPECT_EQ(Get("widgets", "a"), made);
}

TEST_F(ApiWriteTest, ASecondCreateOfANameIsAlreadyExists) {
  MustCreate("configmaps", ConfigMap("a"));
  const auto again = Create("configmaps", ConfigMap("a"));
  ASSERT_FALSE(again.ok());
  EXPECT_EQ(again.error().code, 409);
  EXPECT_EQ(again.error().reason, "AlreadyExists");
  EXPECT_EQ(again.error().message, "configmaps \"a\" already exists");
}

TEST_F(ApiWriteTest, GenerateNameMakesDistinctNames) {
  const Json object = {{"metadata", {{"generateName", "cm-"}}}};
  const std::string a = NameOf(MustCreate("configmaps", object));
  const std::string b = NameOf(MustCreate("configmaps", object));
  EXPECT_THAT(a, testing::MatchesRegex("cm-[a-z0-9]{5}"));
  EXPECT_NE(a, b);
}

TEST_F(ApiWriteTest, NamesAndNamespacesAreChecked) {
  EXPECT_EQ(Create("configmaps", ConfigMap("Bad_Name")).error().code, 422);
  EXPECT_THAT(Create("configmaps", ConfigMap("Bad_Name")).error().message,
              HasSubstr("a lowercase RFC 1123 subdomain must consist of"));
  EXPECT_THAT(Create("configmaps", {{"metadata", Json::object()}}).error().message,
              HasSubstr("name or generateName is required"));
  EXPECT_EQ(Create("namespaces", {{"metadata", {{"name", "a.b"}}}}).error().code, 422);
  Json object = ConfigMap("a");
  object["metadata"]["namespace"] = "nowhere";
  const auto missing = Create("configmaps", object);
  EXPECT_EQ(missing.error().code, 404);
  EXPECT_EQ(missing.error().message, "namespaces \"nowhere\" not found");
  object = ConfigMap("a");
  object["metadata"]["resourceVersion"] = "7";
  EXPECT_EQ(Create("configmaps", object).error().code, 400);
  object = ConfigMap("a");
  object["metadata"]["labels"] = {{"k", 3}};
  EXPECT_EQ(Create("configmaps", object).error().code, 400);
  object["metadata"]["labels"] = {{"k", "not valid!"}};
  EXPECT_EQ(Create("configmaps", object).error().code, 422);
}

TEST_F(ApiWriteTest, AStaleResourceVersionConflicts) {
  Json first = MustCreate("configmaps", ConfigMap("a", {{"k", "1"}}));
  Json second = first;
  first["data"]["k"] = "2";
  ASSERT_TRUE(Update("configmaps", first).ok());
  second["data"]["k"] = "3";
  const auto conflict = Update("configmaps", second);
  ASSERT_FALSE(conflict.ok());
  EXPECT_EQ(conflict.error().code, 409);
  EXPECT_EQ(conflict.error().reason, "Conflict");
  EXPECT_EQ(
      conflict.error().message,
      "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please "
      "apply your changes to the latest version and try again");
  second["metadata"].erase("resourceVersion");
  EXPECT_TRUE(Update("configmaps", second).ok());
  Json widget = MustCreate("widgets", Widget("w"));
  widget["metadata"].erase("resourceVersion");
  EXPECT_THAT(Update("widgets", widget).error().message,
              HasSubstr("must be specified for an update"));
  const auto patch = Patch("configmaps", "a", PatchKind::kMerge,
                           {{"metadata", {{"resourceVersion", "1"}}}, {"data", {{"k", "9"}}}});
  EXPECT_EQ(patch.error().code, 409);
}

TEST_F(ApiWriteTest, AnUpdateThatChangesNothingIsNoWrite) {
  const Json made = MustCreate("widgets", Widget("a"));
  const auto same = Update("widgets", made);
  ASSERT_TRUE(same.ok());
  EXPECT_EQ(same->object["metadata"]["resourceVersion"], made["metadata"]["resourceVersion"]);
  // Nor is one that only has other times of who owns what.
  Json again = made;
  again["metadata"]["managedFields"][0]["time"] = "2001-01-01T00:00:00Z";
  const auto answer = Update("widgets", again);
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->object, made);
}

TEST_F(ApiWriteTest, GenerationFollowsTheSpecAndStatusIsWrittenBySubresourceOnly) {
  MustCreate("widgets", Widget("a", 1));
  auto answer =
      Patch("widgets", "a", PatchKind::kMerge,
            {{"metadata", {{"labels", {{"x", "y"}}}}}, {"status", {{"phase", "Forged"}}}});
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->object["metadata"]["generation"], 1);
  EXPECT_FALSE(answer->object.contains("status"));
  answer = Patch("widgets", "a", PatchKind::kMerge, {{"spec", {{"size", 2}}}});
  EXPECT_EQ(answer->object["metadata"]["generation"], 2);
  answer = Patch("widgets", "a", PatchKind::kMerge,
                 {{"metadata", {{"labels", {{"x", "z"}}}}},
                  {"spec", {{"size", 9}}},
                  {"status", {{"phase", "Done"}}}},
                 "status");
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->object["status"]["phase"], "Done");
  EXPECT_EQ(answer->object["spec"]["size"], 2);
  EXPECT_EQ(answer->object["metadata"]["labels"]["x"], "y");
  EXPECT_EQ(answer->object["metadata"]["generation"], 2);
}

TEST_F(ApiWriteTest, SchemaErrorsAreListedAndUnknownFieldsAreHandledAsAsked) {
  const auto invalid = Create("widgets", {{"metadata", {{"name", "a"}}}, {"spec", {{"size", 11}}}});
  ASSERT_FALSE(invalid.ok());
  EXPECT_EQ(invalid.error().code, 422);
  EXPECT_EQ(invalid.error().details["causes"][0]["field"], "spec.size");
  EXPECT_THAT(invalid.error().message, HasSubstr("Widget.example.com \"a\" is invalid: spec.size"));
  Json unknown = Widget("b");
  unknown["spec"]["nonsense"] = 1;
  WriteOptions strict;
  strict.field_validation = FieldValidation::kStrict;
  const auto refused = Create("widgets", unknown, strict);
  EXPECT_EQ(refused.error().code, 400);
  EXPECT_THAT(refused.error().message,
              HasSubstr("strict decoding error: unknown field \"spec.nonsense\""));
  const auto warned = Create("widgets", unknown);
  ASSERT_TRUE(warned.ok());
  EXPECT_THAT(warned->warnings, ElementsAre("unknown field \"spec.nonsense\""));
  EXPECT_FALSE(warned->object["spec"].contains("nonsense"));
}

TEST_F(ApiWriteTest, DryRunStoresNothing) {
  WriteOptions dry;
  dry.dry_run = true;
  const uint64_t revision = store_->PublishedRevision();
  const auto created = Create("configmaps", ConfigMap("a"), dry);
  ASSERT_TRUE(created.ok());
  EXPECT_FALSE(created->object["metadata"].contains("resourceVersion"));
  EXPECT_TRUE(Get("configmaps", "a").is_null());
  MustCreate("configmaps", ConfigMap("b"));
  const auto patched =
      Patch("configmaps", "b", PatchKind::kMerge, {{"data", {{"k", "v"}}}}, "", dry);
  ASSERT_TRUE(patched.ok());
  EXPECT_EQ(GetString(patched->object["metadata"], "resourceVersion"),
            std::to_string(revision + 1));  // of what is there
  EXPECT_FALSE(Get("configmaps", "b")["data"].contains("k"));
  DeleteQuery query;
  query.dry_run = true;
  ASSERT_TRUE(Delete("configmaps", "b", query).ok());
  EXPECT_FALSE(Get("configmaps", "b").is_null());
  EXPECT_EQ(store_->PublishedRevision(), revision + 1);
}

TEST_F(ApiWriteTest, OversizedObjectsAreRefused) {
  Json object = Widget("a");
  object["spec"]["color"] = std::string(1600U << 10U, 'x');
  EXPECT_EQ(Create("widgets", object).error().code, 413);
  EXPECT_EQ(
      Create("configmaps", ConfigMap("a", {{"k", std::string((1U << 20U) + 1, 'x')}})).error().code,
      422);
}

TEST_F(ApiWriteTest, StrategicMergeIsForBuiltinKindsOnly) {
  MustCreate("widgets", Widget("a"));
  EXPECT_EQ(Patch("widgets", "a", PatchKind::kStrategicMerge, Json::object()).error().code, 415);
}

TEST_F(ApiWriteTest, ScaleReadsAndWritesItsPaths) {
  MustCreate("widgets", Widget("a", 3));
  const ResourcePtr widgets = Resource("widgets");
  const auto scale = api_->GetScale(*widgets, "default", "a");
  ASSERT_TRUE(scale.ok());
  EXPECT_EQ(scale->object["kind"], "Scale");
  EXPECT_EQ(scale->object["spec"]["replicas"], 3);
  const auto patched = api_->PatchScale(*widgets, "default", "a", PatchKind::kMerge,
                                        {{"spec", {{"replicas", 5}}}}, {});
  ASSERT_TRUE(patched.ok()) << patched.error().message;
  EXPECT_EQ(patched->object["spec"]["replicas"], 5);
  EXPECT_EQ(Get("widgets", "a")["spec"]["size"], 5);
  EXPECT_EQ(api_->PatchScale(*widgets, "default", "a", PatchKind::kMerge,
                             {{"spec", {{"replicas", 50}}}}, {})
                .error()
                .code,
            422);
}

TEST_F(ApiWriteTest, SecretsDecodeStringDataAndRefuseBadBase64) {
  const Json made =
      MustCreate("secrets", {{"metadata", {{"name", "s"}}}, {"stringData", {{"k", "v"}}}});
  EXPECT_EQ(made["data"]["k"], "dg==");
  EXPECT_EQ(made["type"], "Opaque");
  EXPECT_FALSE(made.contains("stringData"));
  EXPECT_EQ(Create("secrets", {{"metadata", {{"name", "t"}}}, {"data", {{"k", "?"}}}}).error().code,
            400);
}

TEST_F(ApiWriteTest, ImmutableConfigMapsStay) {
  Json object = ConfigMap("a", {{"k", "1"}});
  object["immutable"] = true;
  MustCreate("configmaps", object);
  EXPECT_EQ(Patch("configmaps", "a", PatchKind::kMerge, {{"data", {{"k", "2"}}}}).error().code,
            422);
  EXPECT_EQ(Patch("configmaps", "a", PatchKind::kMerge, {{"immutable", false}}).error().code, 422);
}

TEST_F(ApiWriteTest, CrdsAreEstablishedAtOnceAndServed) {
  const Json crd = Get("customresourcedefinitions", "widgets.example.com");
  const Json& status = crd["status"];
  EXPECT_EQ(status["storedVersions"], (Json{"v1"}));
  EXPECT_EQ(status["acceptedNames"]["singular"], "widget");
  std::vector<std::string> types;
  for (const Json& condition : status["conditions"]) {
    EXPECT_EQ(condition["status"], "True");
    types.push_back(condition["type"]);
  }
  EXPECT_THAT(types, ElementsAre("NamesAccepted", "Established"));
  Json broken = WidgetCrd();
  broken["metadata"]["name"] = "other.example.com";
  EXPECT_EQ(Create("customresourcedefinitions", broken).error().code, 422);
  Restart();
  ASSERT_NE(Resource("widgets"), nullptr);
  MustCreate("widgets", Widget("after"));
}

TEST_F(ApiWriteTest, EachVersionIsShownAsItself) {
  Json crd = WidgetCrd();
  crd["metadata"]["name"] = "gadgets.example.com";
  crd["spec"]["names"] = {{"plural", "gadgets"}, {"kind", "Gadget"}};
  Json& versions = crd["spec"]["versions"];
  versions.push_back(Json(versions[0]));
  versions[1]["name"] = "v2";
  versions[1]["storage"] = false;
  MustCreate("customresourcedefinitions", crd);
  const ResourcePtr stored = api_->registry()->Find("example.com", "v1", "gadgets");
  const ResourcePtr other = api_->registry()->Find("example.com", "v2", "gadgets");
  ASSERT_NE(other, nullptr);
  WriteOptions options;
  options.stored_is_enough = true;
  for (const ResourcePtr& made_as : {stored, other}) {
    Json widget = Widget(made_as->version);
    widget["apiVersion"] = made_as->ApiVersion();
    widget["kind"] = "Gadget";
    const auto made = api_->Create(*made_as, "default", widget, options);
    ASSERT_TRUE(made.ok()) << made.error().message;
    const Json answer = made->stored != nullptr ? made->stored->Tree().Copy() : made->object;
    EXPECT_EQ(answer["apiVersion"], made_as->ApiVersion());
    for (const ResourcePtr& read_as : {stored, other}) {
      const auto object = api_->Get(*read_as, "default", made_as->version);
      ASSERT_TRUE(object.ok());
      EXPECT_EQ(Json::parse(ObjectText(*read_as, **object, {}))["apiVersion"],
                read_as->ApiVersion());
      const auto list = api_->List(*read_as, "default", {});
      ASSERT_TRUE(list.ok());
      for (const Json& item : Json::parse(ListText(*read_as, *list, {}))["items"]) {
        EXPECT_EQ(item["apiVersion"], read_as->ApiVersion());
      }
      const Json event = Json::parse(EventText("ADDED", *read_as, **object, {}, false));
      EXPECT_EQ(event["object"]["apiVersion"], read_as->ApiVersion());
    }
  }
}

TEST_F(ApiWriteTest, AStricterSchemaHoldsUpOnlyWhatChanges) {
  MustCreate("widgets", Widget("a", 10));
  const Json stricter = Json::array(
      {{{"op", "replace"},
        {"path", "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/size/maximum"},
        {"value", 5}}});
  ASSERT_TRUE(
      Patch("customresourcedefinitions", "widgets.example.com", PatchKind::kJson, stricter).ok());
  EXPECT_TRUE(
      Patch("widgets", "a", PatchKind::kMerge, {{"status", {{"phase", "Done"}}}}, "status").ok());
  const auto changed = Patch("widgets", "a", PatchKind::kMerge, {{"spec", {{"color", "blue"}}}});
  ASSERT_FALSE(changed.ok());
  EXPECT_THAT(changed.error().message, HasSubstr("should be less than or equal to 5"));
}

}  // namespace
}  // namespace envicutor::standalone
