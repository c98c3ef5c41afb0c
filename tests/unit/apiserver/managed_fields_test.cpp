// Who owns which field: sets of them, managedFields as they are read and written.
#include <span>

#include "standalone/apiserver/core/apply/field_set.h"
#include "standalone/apiserver/core/apply/ownership.h"
#include "tests/unit/apiserver/apply_fixture.h"

namespace envicutor::standalone {
namespace {

TEST(FieldSets, OnlyTheFourFormsOfElements) {
  EXPECT_TRUE(IsFieldSet({{"f:a", {{".", Json::object()}, {"k:{\"n\":1}", Json::object()}}}}));
  EXPECT_TRUE(IsFieldSet({{"v:\"x\"", Json::object()}, {"i:0", Json::object()}}));
  EXPECT_FALSE(IsFieldSet({{"a", Json::object()}}));
  EXPECT_FALSE(IsFieldSet({{"f:a", 1}}));
  EXPECT_FALSE(IsFieldSet({{"k:x", Json::object()}}));
  EXPECT_FALSE(IsFieldSet(Json::array()));
  Json deep = Json::object();
  for (int i = 0; i < 200; ++i) deep = Json{{"f:a", std::move(deep)}};
  EXPECT_FALSE(IsFieldSet(deep));
}

TEST(FieldSets, Arithmetic) {
  const Json leaf = Json::object();
  const Json a = {{"f:x", {{".", leaf}, {"f:y", leaf}}}, {"f:z", leaf}};
  const Json b = {{"f:x", leaf}};
  EXPECT_EQ(Difference(a, b), (Json{{"f:x", {{"f:y", leaf}}}, {"f:z", leaf}}));
  EXPECT_EQ(Intersection(a, b), b);
  EXPECT_EQ(Union(Difference(a, b), b), a);
  EXPECT_EQ(Difference(a, a), Json::object());
  const Json c = {{"f:w", leaf}};
  EXPECT_EQ(UnionOf({}), leaf);
  const std::vector<const Json*> sets = {&b, &c, &a, &c, &b};
  for (size_t count = 1; count <= sets.size(); ++count) {
    Json all = leaf;
    for (size_t i = 0; i < count; ++i) all = Union(all, *sets[i]);
    EXPECT_EQ(UnionOf(std::span(sets).first(count)), all);
  }
}

Json Entries(const std::vector<std::pair<const char*, const char*>>& managers_and_times) {
  Json entries = Json::array();
  for (const auto& [manager, time] : managers_and_times) {
    entries.push_back({{"manager", manager}, {"operation", "Apply"}, {"time", time}});
  }
  return entries;
}

TEST(ManagedFields, SayTheSameWhateverTheirTimesAndOrder) {
  const Json entries = Entries({{"a", "1"}, {"b", "2"}, {"c", "3"}});
  EXPECT_TRUE(SameButTimes(entries, entries));
  EXPECT_TRUE(SameButTimes(entries, Entries({{"a", "1"}, {"b", "9"}, {"c", "3"}})));
  EXPECT_TRUE(SameButTimes(entries, Entries({{"c", "0"}, {"a", "1"}, {"b", "2"}})));
  EXPECT_FALSE(SameButTimes(entries, Entries({{"a", "1"}, {"b", "2"}, {"d", "3"}})));
  EXPECT_FALSE(SameButTimes(entries, Entries({{"a", "1"}, {"b", "2"}})));
  EXPECT_FALSE(SameButTimes(entries, nullptr));
  EXPECT_FALSE(SameButTimes(entries, Entries({{"a", "1"}, {"a", "1"}, {"b", "2"}})));
  EXPECT_TRUE(SameButTimes(nullptr, nullptr));
  EXPECT_TRUE(SameButTimes({1, 2}, {2, 1})) << "of another server's file";
}

// Every entry is looked at a few times, not beside every other one.
TEST_F(ApplyTest, AThousandManagersAreNoMoreWorkThanTheirFields) {
  constexpr int kManagers = 1000;
  Json map = ConfigMap("a");
  Json managed = Json::array();
  for (int i = 0; i < kManagers; ++i) {
    Json fields = Json::object();
    for (const char* field : {"x", "y"}) {
      const std::string name = field + std::to_string(i);
      map["data"][name] = "x";
      fields["f:" + name] = Json::object();
    }
    managed.push_back({{"manager", "m" + std::to_string(i)},
                       {"operation", "Apply"},
                       {"apiVersion", "v1"},
                       {"fieldsType", "FieldsV1"},
                       {"fieldsV1", {{"f:data", std::move(fields)}}}});
  }
  Json made = MustCreate("configmaps", map);
  made["metadata"]["managedFields"] = managed;
  const auto owned = Update("configmaps", made);
  ASSERT_TRUE(owned.ok()) << owned.error().message;
  ASSERT_EQ(owned->object["metadata"]["managedFields"].size(), managed.size());
  // Nothing changes.
  const auto same = Patch("configmaps", "a", PatchKind::kMerge, Json::object());
  ASSERT_TRUE(same.ok());
  EXPECT_EQ(same->object, owned->object);
  // All that the others have is taken from them by one.
  for (auto it = map["data"].begin(); it != map["data"].end(); ++it) *it = "y";
  EXPECT_EQ(Apply("configmaps", map, "m1").error().code, 409);
  const Json taken = MustApply("configmaps", map, "m1", true);
  ASSERT_EQ(taken["metadata"]["managedFields"].size(), 1U);
  EXPECT_EQ(Owned(taken, "m1")["f:data"].size(), map["data"].size());
  // What it no longer says goes.
  EXPECT_FALSE(MustApply("configmaps", ConfigMap("a"), "m1")["data"].contains("x1"));
}

TEST(FieldSets, ElementsThatCannotBe) {
  const Json leaf = Json::object();
  for (const char* element : {"", "f", ":", "g:a", "i:", "i:x", "i:1x", "k:", "k:1", "k:{}",
                              "k:[1]", "k:{", "v:", "v:x", "v:{"}) {
    EXPECT_FALSE(IsFieldSet({{"f:a", {{element, leaf}}}})) << element;
  }
  for (const char* element : {".", "f:", "f:a.b", "i:-1", "v:null", "v:[1]", "k:{\"a\":null}"}) {
    EXPECT_TRUE(IsFieldSet({{"f:a", {{element, leaf}}}})) << element;
  }
  EXPECT_FALSE(IsFieldSet({{"f:a", {{".", {{"f:b", leaf}}}}}}));
  EXPECT_FALSE(IsFieldSet(nullptr));
}

TEST(FieldSets, IntersectWhereAPathIsInBoth) {
  const Json leaf = Json::object();
  const Json above = {{"f:x", leaf}};
  const Json below = {{"f:x", {{"f:y", leaf}}}};
  const Json both = {{"f:x", {{".", leaf}, {"f:y", leaf}}}};
  EXPECT_FALSE(Intersect(above, below));
  EXPECT_FALSE(Intersect(below, above));
  EXPECT_TRUE(Intersect(both, above));
  EXPECT_TRUE(Intersect(both, below));
  EXPECT_TRUE(Intersect(below, both));
  EXPECT_FALSE(Intersect(both, {{"f:x", {{"f:z", leaf}}}}));
  EXPECT_FALSE(Intersect(leaf, both));
  for (const Json* a : {&leaf, &above, &below, &both}) {
    for (const Json* b : {&leaf, &above, &below, &both}) {
      EXPECT_EQ(Intersect(*a, *b), !Intersection(*a, *b).empty()) << *a << *b;
    }
  }
}

TEST(FieldSets, PathsAsErrorsNameThem) {
  const Json leaf = Json::object();
  const Json set = {{"f:a", {{".", leaf}, {"v:\"x\"", leaf}, {"i:3", leaf}}},
                    {"f:b", {{"k:{\"p\":80,\"q\":\"TCP\"}", {{"f:c", leaf}}}}}};
  std::vector<std::string> paths;
  ForEachPath(set, [&](const std::string& path) { paths.push_back(path); });
  EXPECT_EQ(paths, (std::vector<std::string>{".a", ".a[3]", ".a[=\"x\"]", ".b[p=80,q=\"TCP\"].c"}));
}

TEST(ManagedFields, AreReadOnlyWhenAllOfThemCanBe) {
  const Json good = {{"manager", "m"},
                     {"operation", "Update"},
                     {"apiVersion", "v1"},
                     {"subresource", "status"},
                     {"fieldsType", "FieldsV1"},
                     {"fieldsV1", {{"f:a", Json::object()}}},
                     {"time", "t"}};
  const auto read = ReadManaged(Json::array({good}));
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(WriteManaged(*read), Json::array({good}));
  const std::vector<Json> wrong = {
      1,
      {{"operation", "Eat"}},
      {{"operation", nullptr}},
      {{"fieldsType", "FieldsV2"}},
      {{"fieldsV1", {{"a", Json::object()}}}},
      {{"fieldsV1", nullptr}},
      {{"apiVersion", ""}},
      {{"manager", std::string(129, 'm')}},
  };
  for (const Json& change : wrong) {
    Json bad = good;
    if (change.is_object()) {
      bad.update(change);
    } else {
      bad = change;
    }
    EXPECT_FALSE(ReadManaged(Json::array({good, bad})).has_value()) << change;
  }
  EXPECT_FALSE(ReadManaged(good).has_value()) << "no list";
  Json longest = good;
  longest["manager"] = std::string(128, 'm');
  EXPECT_TRUE(ReadManaged(Json::array({longest})).has_value());
  EXPECT_TRUE(ReadManaged(Json(Json::array_t(1000, good))).has_value());
  EXPECT_FALSE(ReadManaged(Json(Json::array_t(1001, good))).has_value());
  EXPECT_TRUE(ReadManaged(nullptr)->empty());
  EXPECT_TRUE(WriteManaged({}).is_null());
}

TEST(ManagedFields, WhoAppliesComesFirstThenTheOldest) {
  const auto entry = [](const char* manager, bool apply, const char* time) {
    ManagedEntry made;
    made.manager = manager;
    made.apply = apply;
    made.api_version = "v1";
    made.time = time;
    return made;
  };
  std::string order;
  for (const Json& json : WriteManaged({entry("d", false, "1"), entry("c", false, "0"),
                                        entry("b", true, "9"), entry("a", true, "9")})) {
    order += GetString(json, "manager");
  }
  EXPECT_EQ(order, "abcd");
}

}  // namespace
}  // namespace envicutor::standalone
