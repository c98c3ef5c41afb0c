// What the store takes: it must be able to read it again, and whoever is allowed to must be able to
// change it.
#include "standalone/apiserver/http/json_reader.h"
#include "tests/unit/apiserver/fixture.h"

namespace envicutor::standalone {
namespace {

Json Deep(size_t levels) {
  Json value = "x";
  while (levels-- > 0) value = {{"f:a", std::move(value)}};
  return value;
}

// Ownership that a client brings, nested so that the whole object has `levels`.
Json Owned(const std::string& name, size_t levels) {
  constexpr size_t kAbove = 4;  // the object, metadata, the list and its entry
  return {{"metadata",
           {{"name", name},
            {"managedFields", Json::array({{{"manager", "me"},
                                            {"operation", "Update"},
                                            {"apiVersion", "v1"},
                                            {"time", "2026-01-01T00:00:00Z"},
                                            {"fieldsType", "FieldsV1"},
                                            {"fieldsV1", Deep(levels - kAbove)}}})}}}};
}

class StorableTest : public ApiTest {
 protected:
  ApiResult<Answer> CreateOwned(const std::string& name, size_t levels) {
    WriteOptions options;
    options.owned = true;
    return Create("configmaps", Owned(name, levels), options);
  }
  int made_ = 0;

  // Its tree goes, as when many newer ones have come.
  Json Reread(const std::string& name) {
    const ObjectPtr object = store_->Get("/configmaps", "default/" + name);
    if (object == nullptr) return nullptr;
    object->DropTree();
    return object->Tree().Copy();
  }
};

TEST_F(StorableTest, TooDeepIsRefusedAndWhatIsTakenCanBeReadAndChanged) {
  for (const size_t levels : {121U, 124U, 128U, 133U}) {
    const auto refused = CreateOwned("deep", levels);
    ASSERT_FALSE(refused.ok()) << levels;
    EXPECT_EQ(refused.error().code, 400);
    EXPECT_THAT(refused.error().message,
                testing::HasSubstr("nested " + std::to_string(levels) + " levels deep"));
  }
  const auto taken = CreateOwned("deep", 120);
  ASSERT_TRUE(taken.ok()) << taken.error().message;
  EXPECT_EQ(DepthOf(Reread("deep")), 120U);
  ASSERT_TRUE(Patch("configmaps", "deep", PatchKind::kMerge, {{"data", {{"a", "b"}}}}).ok());
  EXPECT_EQ(Reread("deep")["data"]["a"], "b");
  Restart();
  EXPECT_EQ(Reread("deep")["data"]["a"], "b");
}

// A file that an older server wrote: it opens, and the object can go.
TEST_F(StorableTest, DeeperOnesOfOlderServersAreRead) {
  Json json = Owned("old", 131);
  json["metadata"].update({{"namespace", "default"}, {"resourceVersion", "7"}});
  const Result<ObjectPtr> object = ReadObject(DumpJson(json), 7);
  ASSERT_TRUE(object.ok()) << object.status().ToString();
  EXPECT_EQ(DepthOf((*object)->Tree().Copy()), 131U);
}

TEST_F(StorableTest, WhatFillsItsRoomCanStillGo) {
  MustCreate("customresourcedefinitions", WidgetCrd());
  Settle();
  constexpr size_t kLimit = 1536U << 10U;
  const auto config = [](size_t bytes) {  // other maps are bounded below that
    Json object = Widget("full");
    object["spec"]["color"] = std::string(bytes, 'x');
    object["metadata"]["finalizers"] = {"example.com/held"};
    return object;
  };
  const size_t around = [&] {
    MustCreate("widgets", config(0));
    const size_t bytes = store_->Get("example.com/widgets", "default/full")->TextBytes();
    EXPECT_TRUE(Delete("widgets", "full").ok());
    EXPECT_TRUE(
        Patch("widgets", "full", PatchKind::kMerge, {{"metadata", {{"finalizers", nullptr}}}})
            .ok());
    return bytes;
  }();
  const auto refused = Create("widgets", config(kLimit - around + 16));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, 413);
  EXPECT_THAT(refused.error().message, testing::HasSubstr("with its managedFields"));
  MustCreate("widgets", config(kLimit - around - 16));
  const auto grown =
      Patch("widgets", "full", PatchKind::kMerge, {{"metadata", {{"labels", {{"b", "more"}}}}}});
  ASSERT_FALSE(grown.ok());
  EXPECT_EQ(grown.error().code, 413);
  ASSERT_TRUE(Delete("widgets", "full").ok());
  EXPECT_TRUE(IsTerminating(Get("widgets", "full")));
  WriteOptions another;  // one owner of fields more
  another.manager = "who-held-it";
  const auto gone = Patch("widgets", "full", PatchKind::kMerge,
                          {{"metadata", {{"finalizers", nullptr}}}}, "", another);
  EXPECT_TRUE(gone.ok()) << gone.error().message;
  EXPECT_EQ(Get("widgets", "full"), nullptr);
}

TEST_F(StorableTest, WhatClientsDoNotWriteKeepsItsKindOfNumber) {
  Json crd = WidgetCrd();
  MustCreate("customresourcedefinitions", crd);
  Settle();
  Json widget = MustCreate("widgets", Widget("one"));
  ASSERT_TRUE(
      Patch("widgets", "one", PatchKind::kMerge, {{"status", {{"count", 5}}}}, "status").ok());
  // Not through the reader of bodies, which makes integers of them.
  for (const double generation : {1.0, 4.0}) {
    ASSERT_TRUE(Patch("widgets", "one", PatchKind::kMerge,
                      {{"metadata", {{"generation", generation}}}, {"status", {{"count", 5.0}}}})
                    .ok());
    const Json now = Get("widgets", "one");
    EXPECT_TRUE(now["metadata"]["generation"].is_number_integer()) << now;
    EXPECT_EQ(GetInt(now["metadata"], "generation"), 1);
    EXPECT_EQ(GetInt(now["status"], "count"), 5);
  }
}

TEST(IdenticalTest, KindsOfNumbersDiffer) {
  EXPECT_TRUE(Identical({{"a", {1, "x", nullptr, 1.5}}}, {{"a", {1, "x", nullptr, 1.5}}}));
  EXPECT_TRUE(Identical(int64_t{30}, uint64_t{30}));
  EXPECT_FALSE(Identical(30, 30.0));
  EXPECT_FALSE(Identical(int64_t{-1}, ~uint64_t{0}));
  EXPECT_FALSE(Identical(9007199254740993, 9007199254740992.0));
  EXPECT_FALSE(Identical({{"a", {30}}}, {{"a", {30.0}}}));
  EXPECT_FALSE(Identical({{"a", 1}}, {{"b", 1}}));
  EXPECT_FALSE(Identical(Json::array({1}), Json::array({1, 2})));
  EXPECT_FALSE(Identical(true, 1));
}

TEST(MakeIntegersTest, NumbersAreWhatGoWritesOfThem) {
  const ReadJson read =
      ReadClientJson(R"({"a":30.0,"b":[3e1,-2.0,1.5,-0.0,1e300,9007199254740992.0]})", 8);
  EXPECT_EQ(DumpJson(read.value), R"({"a":30,"b":[30,-2,1.5,-0.0,1e+300,9007199254740992]})");
  const ReadJson twice = ReadClientJson(R"({"a":1,"a":30.0})", 8);
  EXPECT_TRUE(twice.value["a"].is_number_integer());
}

// A file that an older server wrote, which did not count managedFields: it goes, however large.
TEST_F(StorableTest, LargerOnesOfOlderServersCanGoAndDoNotGrow) {
  constexpr size_t kTooMuch = 1700U << 10U;
  MustCreate("customresourcedefinitions", WidgetCrd());
  Settle();
  Json old = MustCreate("widgets", Widget("old"));
  old["spec"]["color"] = std::string(kTooMuch, 'x');
  old["metadata"]["finalizers"] = {"example.com/held"};
  StoreWrite write;
  write.resource = "example.com/widgets";
  write.key = "default/old";
  write.expected = store_->Get(write.resource, write.key);
  write.object = DraftObject(old);
  const auto ticket = store_->Begin(&write);
  ASSERT_NE(ticket, nullptr);
  ASSERT_EQ(store_->Wait(ticket).kind, WriteOutcome::Kind::kDone);
  EXPECT_EQ(Patch("widgets", "old", PatchKind::kMerge, {{"metadata", {{"labels", {{"a", "b"}}}}}})
                .error()
                .code,
            413);
  const auto deleted = Delete("widgets", "old");
  ASSERT_TRUE(deleted.ok()) << deleted.error().message;
  const auto gone =
      Patch("widgets", "old", PatchKind::kMerge, {{"metadata", {{"finalizers", nullptr}}}});
  EXPECT_TRUE(gone.ok()) << gone.error().message;
  EXPECT_EQ(Get("widgets", "old"), nullptr);
}

TEST_F(StorableTest, AWriteOfItsStatusDoesNotUnserveADefinition) {
  MustCreate("customresourcedefinitions", WidgetCrd());
  Settle();
  const Json now = Get("customresourcedefinitions", "widgets.example.com")["status"];
  for (const Json& status :
       {Json{{"conditions", Json::array()}, {"acceptedNames", nullptr}},
        Json{{"conditions", Json::array({{{"type", "Established"}, {"status", "False"}}})}}}) {
    ASSERT_TRUE(Patch("customresourcedefinitions", "widgets.example.com", PatchKind::kMerge,
                      {{"status", status}}, "status")
                    .ok());
    EXPECT_EQ(Get("customresourcedefinitions", "widgets.example.com")["status"], now);
    MustCreate("widgets", Widget("w" + std::to_string(made_++)));
  }
}

// Names free again: the definition that waited for them is served without a restart.
TEST_F(StorableTest, ADefinitionIsServedWhenItIsEstablished) {
  Json crd = WidgetCrd();
  MustCreate("customresourcedefinitions", crd);
  Settle();
  ASSERT_NE(Resource("widgets.example.com"), nullptr);
  Json other = crd;
  other["spec"]["names"]["plural"] = "gadgets";
  other["spec"]["names"].erase("singular");
  other["metadata"]["name"] = "gadgets.example.com";
  MustCreate("customresourcedefinitions", other);
  Settle();
  ASSERT_EQ(Resource("gadgets.example.com"), nullptr);  // its kind is taken
  ASSERT_TRUE(Delete("customresourcedefinitions", "widgets.example.com").ok());
  Settle();
  EXPECT_NE(Resource("gadgets.example.com"), nullptr);
}

}  // namespace
}  // namespace envicutor::standalone
