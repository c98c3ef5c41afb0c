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

}  // namespace
}  // namespace envicutor::standalone
