#include "standalone/apiserver/core/patch.h"

#include <gtest/gtest.h>

namespace envicutor::standalone {
namespace {

Json Strategic(const Json& target, const Json& patch) {
  const ApiResult<Json> result = ApplyStrategicMergePatch(target, patch);
  EXPECT_TRUE(result.ok()) << result.error().message;
  return result.ok() ? *result : Json();
}

TEST(JsonPatch, AppliesInOrderAndRefusesAFailedTest) {
  const Json target = {{"a", 1}, {"list", {1, 2}}};
  const ApiResult<Json> done =
      ApplyJsonPatch(target, Json::array({{{"op", "test"}, {"path", "/a"}, {"value", 1}},
                                          {{"op", "replace"}, {"path", "/a"}, {"value", 2}},
                                          {{"op", "add"}, {"path", "/list/-"}, {"value", 3}},
                                          {{"op", "remove"}, {"path", "/list/0"}}}));
  ASSERT_TRUE(done.ok());
  EXPECT_EQ(*done, (Json{{"a", 2}, {"list", {2, 3}}}));
  const ApiResult<Json> failed =
      ApplyJsonPatch(target, Json::array({{{"op", "test"}, {"path", "/a"}, {"value", 9}}}));
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().code, 422);
}

TEST(JsonPatch, HostilePatchesAreRefused) {
  const Json target = {{"a", "x"}};
  EXPECT_EQ(ApplyJsonPatch(target, Json::object()).error().code, 400);
  EXPECT_EQ(ApplyJsonPatch(target, Json::array({1})).error().code, 400);
  EXPECT_EQ(
      ApplyJsonPatch(target, Json::array({{{"op", "remove"}, {"path", "/none"}}})).error().code,
      422);
  Json doubling =
      Json::array({{{"op", "add"}, {"path", "/list"}, {"value", {std::string(1000, 'x')}}}});
  for (int i = 0; i < 64; ++i) {
    doubling.push_back({{"op", "copy"}, {"from", "/list"}, {"path", "/list/-"}});
  }
  EXPECT_EQ(ApplyJsonPatch(target, doubling).error().code, 413);
}

TEST(JsonPatch, AChainCopiedToItsOwnEndDoesNotGrowWithoutBound) {
  Json operations = Json::array();
  std::string end = "/a";
  for (int i = 0; i < 10; ++i) {
    operations.push_back({{"op", "copy"}, {"from", "/a"}, {"path", end + "/a"}});
    end += end;
  }
  EXPECT_EQ(ApplyJsonPatch({{"a", Json::object()}}, operations).error().code, 400);
}

Json Big(int members) {
  Json big = Json::object();
  for (int i = 0; i < members; ++i) big[std::to_string(i)] = i;
  return big;
}

TEST(JsonPatch, WhatTheObjectHasAlreadyIsNotMovedWithoutBound) {
  const Json target = {{"big", Big(20'000)}};
  Json operations = Json::array();
  for (int i = 0; i < 20; ++i) {
    operations.push_back({{"op", "move"}, {"from", "/big"}, {"path", "/other"}});
    operations.push_back({{"op", "move"}, {"from", "/other"}, {"path", "/big"}});
  }
  const ApiResult<Json> refused = ApplyJsonPatch(target, operations);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, 413);
  operations.erase(operations.begin() + 20, operations.end());
  const ApiResult<Json> done = ApplyJsonPatch(target, operations);
  ASSERT_TRUE(done.ok()) << done.error().message;
  EXPECT_EQ(*done, target);
}

TEST(JsonPatch, LongListsAreNotShiftedWithoutBound) {
  Json list = Json::array();
  for (int i = 0; i < 20'000; ++i) list.push_back(0);
  const Json target = {{"list", std::move(list)}, {"one", 1}};
  const Json ends = Json::array({{{"op", "add"}, {"path", "/list/-"}, {"value", 1}},
                                 {{"op", "replace"}, {"path", "/list/0"}, {"value", 1}},
                                 {{"op", "test"}, {"path", "/list/0"}, {"value", 1}}});
  const std::vector<Json> shifts = {
      {{"op", "add"}, {"path", "/list/0"}, {"value", 1}},
      {{"op", "remove"}, {"path", "/list/0"}},
      {{"op", "copy"}, {"from", "/one"}, {"path", "/list/0"}},
      {{"op", "move"}, {"from", "/list/0"}, {"path", "/one"}},
  };
  for (const Json& shift : shifts) {
    Json operations = Json::array();
    for (int i = 0; i < 1000; ++i) {
      operations.push_back(shift);
      operations.insert(operations.end(), ends.begin(), ends.end());
    }
    const ApiResult<Json> refused = ApplyJsonPatch(target, operations);
    ASSERT_FALSE(refused.ok()) << shift;
    EXPECT_EQ(refused.error().code, 413) << shift;
    operations.erase(operations.begin() + 200, operations.end());
    EXPECT_TRUE(ApplyJsonPatch(target, operations).ok()) << shift;
  }
}

TEST(MergePatch, ManyMembersAtOnceAreAsOneByOne) {
  Json target = Big(300);
  target["7"] = {{"kept", 1}, {"gone", 2}};
  Json patch = Json::object();
  Json wanted = target;
  for (int i = 250; i < 600; ++i) {
    const std::string key = std::to_string(i);
    patch[key] = i % 3 == 0 ? Json() : Json({{"new", i}, {"none", nullptr}});
    if (i % 3 == 0) {
      wanted.erase(key);
    } else {
      wanted[key] = {{"new", i}};
    }
  }
  patch["7"] = {{"gone", nullptr}};
  wanted["7"] = {{"kept", 1}};
  Json from_nothing = "not an object";
  ApplyMergePatch(&from_nothing, patch);
  ApplyMergePatch(&target, patch);
  EXPECT_EQ(target, wanted);
  EXPECT_EQ(from_nothing["599"], wanted["599"]);
  EXPECT_FALSE(from_nothing.contains("300"));
  EXPECT_EQ(from_nothing["7"], Json::object());
}

TEST(MergePatch, NullRemovesAndListsAreReplaced) {
  Json target = {{"a", {{"b", 1}, {"c", 2}}}, {"list", {1, 2}}};
  ApplyMergePatch(&target, {{"a", {{"b", nullptr}, {"d", 3}}}, {"list", {9}}});
  EXPECT_EQ(target, (Json{{"a", {{"c", 2}, {"d", 3}}}, {"list", {9}}}));
}

TEST(StrategicMerge, ContainersMergeByName) {
  const Json pod = {
      {"spec",
       {{"containers", Json::array({{{"name", "a"}, {"image", "x:1"}, {"args", {"1"}}},
                                    {{"name", "b"}, {"image", "y:1"}}})}}}};
  const Json merged =
      Strategic(pod, {{"spec",
                       {{"containers", Json::array({{{"name", "b"}, {"image", "y:2"}},
                                                    {{"name", "c"}, {"image", "z:1"}}})}}}});
  const Json& containers = merged["spec"]["containers"];
  ASSERT_EQ(containers.size(), 3U);
  EXPECT_EQ(containers[0], pod["spec"]["containers"][0]);
  EXPECT_EQ(containers[1]["image"], "y:2");
  EXPECT_EQ(containers[2]["name"], "c");
}

TEST(StrategicMerge, ADirectiveSaidAThousandTimesIsDoneOnceOrRefused) {
  // Copied each time, it would be a billion members.
  Json large = Json::object();
  for (int i = 0; i < 10'000; ++i) large["k" + std::to_string(i)] = "v";
  const Json keep(std::vector<std::string>(100'000, "data"));
  EXPECT_EQ(Strategic({{"data", large}, {"gone", 1}}, {{"$retainKeys", keep}}),
            (Json{{"data", large}}));
  const Json args(std::vector<std::string>(100'000, "a"));
  const Json pod = {{"spec", {{"containers", Json::array({{{"name", "c"}, {"args", args}}})}}}};
  Json nothing = {{"name", "c"}, {"$deleteFromPrimitiveList/args", Json::array()}};
  const Json patch = {{"spec", {{"containers", std::vector<Json>(100, nothing)}}}};
  const ApiResult<Json> refused = ApplyStrategicMergePatch(pod, patch);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, 413);
}

TEST(StrategicMerge, DirectivesDeleteReplaceAndOrder) {
  const Json pod = {{"spec",
                     {{"containers", Json::array({{{"name", "a"}}, {{"name", "b"}}})},
                      {"volumes", Json::array({{{"name", "v"}, {"emptyDir", Json::object()}}})}}}};
  Json merged =
      Strategic(pod, {{"spec",
                       {{"containers", Json::array({{{"name", "a"}, {"$patch", "delete"}}})},
                        {"volumes", Json::array({{{"name", "v"},
                                                  {"$retainKeys", {"name", "hostPath"}},
                                                  {"hostPath", {{"path", "/x"}}}}})}}}});
  ASSERT_EQ(merged["spec"]["containers"].size(), 1U);
  EXPECT_EQ(merged["spec"]["containers"][0]["name"], "b");
  EXPECT_FALSE(merged["spec"]["volumes"][0].contains("emptyDir"));
  merged = Strategic(
      pod, {{"spec",
             {{"$setElementOrder/containers", Json::array({{{"name", "b"}}, {{"name", "a"}}})}}}});
  EXPECT_EQ(merged["spec"]["containers"][0]["name"], "b");
  merged = Strategic(pod, {{"spec", {{"$patch", "replace"}, {"x", 1}}}});
  EXPECT_EQ(merged["spec"], (Json{{"x", 1}}));
}

TEST(StrategicMerge, ConditionsMergeByTypeAndFinalizersAsASet) {
  const Json object = {
      {"metadata", {{"finalizers", {"a", "b"}}}},
      {"status", {{"conditions", Json::array({{{"type", "Ready"}, {"status", "False"}}})}}}};
  const Json merged = Strategic(
      object,
      {{"metadata", {{"finalizers", {"c"}}, {"$deleteFromPrimitiveList/finalizers", {"a"}}}},
       {"status",
        {{"conditions", Json::array({{{"type", "Ready"}, {"status", "True"}},
                                     {{"type", "Other"}, {"status", "True"}}})}}}});
  EXPECT_EQ(merged["metadata"]["finalizers"], (Json{"b", "c"}));
  ASSERT_EQ(merged["status"]["conditions"].size(), 2U);
  EXPECT_EQ(merged["status"]["conditions"][0]["status"], "True");
}

TEST(StrategicMerge, AnItemWithoutItsMergeKeyIsRefused) {
  const ApiResult<Json> result = ApplyStrategicMergePatch(
      Json::object(), {{"spec", {{"containers", Json::array({{{"image", "x"}}})}}}});
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, 400);
}

TEST(StrategicMerge, ListsOfManyThousandsByAsManyAreRefused) {
  const auto items = [](int first, int count) {
    Json list = Json::array();
    for (int i = 0; i < count; ++i) list.push_back({{"name", std::to_string(first + i)}});
    return list;
  };
  const auto scalars = [](int count) {
    Json list = Json::array();
    for (int i = 0; i < count; ++i) list.push_back(std::to_string(i));
    return list;
  };
  const Json target = {{"spec", {{"containers", items(0, 3000)}}},
                       {"metadata", {{"finalizers", scalars(3000)}}}};
  const std::vector<Json> patches = {
      {{"spec", {{"containers", items(3000, 3000)}}}},
      {{"spec", {{"$setElementOrder/containers", items(0, 3000)}}}},
      {{"spec", {{"containers", Json::array()}, {"$setElementOrder/containers", items(0, 3000)}}}},
      {{"metadata", {{"finalizers", scalars(3000)}}}},
      {{"metadata", {{"$deleteFromPrimitiveList/finalizers", scalars(3000)}}}},
  };
  for (const Json& patch : patches) {
    const ApiResult<Json> refused = ApplyStrategicMergePatch(target, patch);
    ASSERT_FALSE(refused.ok()) << DumpJson(patch).substr(0, 80);
    EXPECT_EQ(refused.error().code, 413);
  }
  EXPECT_TRUE(
      ApplyStrategicMergePatch(target, {{"spec", {{"containers", items(2900, 1000)}}}}).ok());
}

// Few enough, but to compare two of them is work.
TEST(StrategicMerge, ItemsCountByWhatTheyHold) {
  const auto long_ones = [](int count, int first) {
    Json list = Json::array();
    for (int i = 0; i < count; ++i) {
      Json item = std::vector<int>(3000, 0);
      item.push_back(first + i);
      list.push_back(std::move(item));
    }
    return list;
  };
  const auto named = [](const Json& names) {
    Json list = Json::array();
    for (const Json& name : names) list.push_back({{"name", name}});
    return list;
  };
  const auto texts = [](int count, int first) {
    Json list = Json::array();
    for (int i = 0; i < count; ++i) {
      list.push_back(std::string(100'000, 'x') + std::to_string(first + i));
    }
    return list;
  };
  const auto objects = [](int count, int first) {
    Json list = Json::array();
    for (int i = 0; i < count; ++i) {
      list.push_back({{std::string(100'000, 'x'), first + i}});
    }
    return list;
  };
  for (const auto& [items, wanted] :
       std::vector<std::pair<Json, Json>>{{long_ones(100, 0), long_ones(100, 100)},
                                          {texts(60, 10), texts(60, 100)},
                                          {objects(60, 0), objects(60, 100)}}) {
    const Json target = {{"spec", {{"containers", named(items)}}},
                         {"metadata", {{"finalizers", items}}}};
    for (const Json& patch :
         std::vector<Json>{{{"spec", {{"containers", named(wanted)}}}},
                           {{"spec", {{"$setElementOrder/containers", named(wanted)}}}},
                           {{"metadata", {{"finalizers", wanted}}}},
                           {{"metadata", {{"$deleteFromPrimitiveList/finalizers", wanted}}}}}) {
      const ApiResult<Json> refused = ApplyStrategicMergePatch(target, patch);
      ASSERT_FALSE(refused.ok()) << DumpJson(patch).substr(0, 80);
      EXPECT_EQ(refused.error().code, 413);
    }
  }
  // Large ones that are told apart by short names are none.
  Json pods = named(Json::array({"a", "b", "c"}));
  for (Json& container : pods) container["args"] = std::vector<int>(200'000, 0);
  EXPECT_EQ(Strategic({{"spec", {{"containers", pods}}}}, {{"spec", {{"containers", pods}}}}),
            (Json{{"spec", {{"containers", pods}}}}));
}

}  // namespace
}  // namespace envicutor::standalone
