#include "common/kube/resource.h"

#include <gtest/gtest.h>

namespace envicutor::kube {
namespace {

TEST(ResourceType, Paths) {
  EXPECT_EQ("/api/v1/pods", kPods.Path(""));
  EXPECT_EQ("/api/v1/namespaces/ns/pods/p/log", kPods.Path("ns", "p", "log"));
  EXPECT_EQ("/api/v1/nodes/n", kNodes.Path("ignored", "n"));
  EXPECT_EQ("/api/v1/namespaces/a%2F..%2Fb/pods", kPods.Path("a/../b"));
  EXPECT_EQ("/apis/envicutor.io/v1alpha1/runtimes/a%2Fb", kRuntimes.Path("", "a/b"));
}

TEST(Metadata, KeysAndReaders) {
  const Json object = {{"metadata", {{"name", "n"}, {"namespace", "ns"}, {"uid", "u"}}}};
  EXPECT_EQ("ns/n", KeyOf(object));
  EXPECT_EQ("n", KeyOf({{"metadata", {{"name", "n"}}}}));
  EXPECT_EQ("u", UidOf(object));
  EXPECT_EQ("", ResourceVersionOf(object));
  EXPECT_EQ("", NameOf("no object"));
}

TEST(Conditions, TransitionTimeChangesWithTheStatusOnly) {
  Json conditions;
  EXPECT_TRUE(SetCondition(&conditions, {"Ready", "False", "Building", "m", 1}, "t1"));
  EXPECT_TRUE(SetCondition(&conditions, {"Ready", "False", "Testing", "m", 2}, "t2"));
  EXPECT_EQ("t1", GetString(conditions[0], "lastTransitionTime"));
  EXPECT_EQ(2, GetInt(conditions[0], "observedGeneration"));
  EXPECT_FALSE(SetCondition(&conditions, {"Ready", "False", "Testing", "m", 2}, "t3"));
  EXPECT_TRUE(SetCondition(&conditions, {"Ready", "True", "Done", "m", 2}, "t4"));
  EXPECT_EQ("t4", GetString(conditions[0], "lastTransitionTime"));
  EXPECT_TRUE(SetCondition(&conditions, {"Built", "True", "Done", "m", 0}, "t5"));
  EXPECT_EQ(2U, conditions.size());
  EXPECT_FALSE(conditions[1].contains("observedGeneration"));
  const Json object = {{"status", {{"conditions", conditions}}}};
  EXPECT_EQ("True", ConditionStatus(object, "Ready"));
  EXPECT_EQ("Unknown", ConditionStatus(object, "None"));
  EXPECT_EQ("Unknown", ConditionStatus(Json::array(), "Ready"));
  // Not as they should be: nothing is read of them, and they are replaced.
  Json wrong = {{"Ready", {{"type", "Ready"}, {"status", "True"}}}};
  EXPECT_EQ("Unknown", ConditionStatus({{"status", {{"conditions", wrong}}}}, "Ready"));
  EXPECT_TRUE(SetCondition(&wrong, {"Ready", "False", "Testing", "m", 1}, "t1"));
  EXPECT_EQ(1U, wrong.size());
  EXPECT_TRUE(wrong.is_array());
}

}  // namespace
}  // namespace envicutor::kube
