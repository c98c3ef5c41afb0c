#include "standalone/apiserver/core/selector.h"

#include <gtest/gtest.h>

namespace envicutor::standalone {
namespace {

bool Matches(std::string_view selector, const Json& labels) {
  const ApiResult<LabelSelector> parsed = LabelSelector::Parse(selector);
  EXPECT_TRUE(parsed.ok()) << parsed.error().message;
  return parsed.ok() && parsed->Matches({{"metadata", {{"labels", labels}}}});
}

TEST(LabelSelector, AllOperators) {
  const Json labels = {{"app", "x"}, {"tier/y", "2"}, {"empty", ""}};
  EXPECT_TRUE(Matches("", labels));
  EXPECT_TRUE(Matches("app=x", labels));
  EXPECT_TRUE(Matches("app==x,tier/y!=3", labels));
  EXPECT_FALSE(Matches("app=z", labels));
  EXPECT_TRUE(Matches("app in (a, x)", labels));
  EXPECT_FALSE(Matches("app notin (a,x)", labels));
  EXPECT_TRUE(Matches("missing notin (a)", labels));
  EXPECT_TRUE(Matches("missing!=a", labels));
  EXPECT_TRUE(Matches("app,!missing", labels));
  EXPECT_FALSE(Matches("!app", labels));
  EXPECT_TRUE(Matches("tier/y>1,tier/y<3", labels));
  EXPECT_FALSE(Matches("app>1", labels));
  EXPECT_TRUE(Matches("empty=", labels));
  EXPECT_FALSE(Matches("app=", labels));
}

TEST(LabelSelector, IllFormedOnesAreBadRequests) {
  for (const char* text : {"=x", "app in x", "app in (x", "a=b c", "a=b,", "a>x", "!"}) {
    const ApiResult<LabelSelector> parsed = LabelSelector::Parse(text);
    ASSERT_FALSE(parsed.ok()) << text;
    EXPECT_EQ(parsed.error().code, 400);
  }
}

TEST(FieldSelector, BuiltinFieldsOnly) {
  const ResourcePtr pods = Registry::Builtin()->Find("", "v1", "pods");
  const Json pod = {{"metadata", {{"name", "a"}, {"namespace", "n"}}},
                    {"spec", {{"nodeName", "node"}}},
                    {"status", {{"phase", "Running"}}}};
  const auto matches = [&](std::string_view text) {
    const ApiResult<FieldSelector> parsed = FieldSelector::Parse(text, *pods);
    EXPECT_TRUE(parsed.ok()) << text;
    return parsed.ok() && parsed->Matches(pod, *pods);
  };
  EXPECT_TRUE(matches("metadata.name=a,spec.nodeName=node"));
  EXPECT_TRUE(matches("status.phase!=Failed,status.phase!=Succeeded"));
  EXPECT_TRUE(matches("metadata.namespace=n"));
  EXPECT_FALSE(matches("metadata.namespace==other"));
  EXPECT_FALSE(matches("metadata.namespace=a"));  // its name
  EXPECT_FALSE(matches("spec.nodeName="));
  EXPECT_EQ(FieldSelector::Parse("spec.containers=x", *pods).error().code, 400);
  EXPECT_EQ(FieldSelector::Parse("nonsense", *pods).error().code, 400);
}

}  // namespace
}  // namespace envicutor::standalone
