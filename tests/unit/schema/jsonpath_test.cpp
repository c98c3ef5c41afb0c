#include "standalone/apiserver/schema/jsonpath.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support.h"

namespace envicutor::standalone::schema {
namespace {

Json Find(const std::string& path, const Json& root) {
  const Result<JsonPath> parsed = JsonPath::Parse(path);
  EXPECT_TRUE(parsed.ok()) << path << ": " << parsed.status().message();
  Json found = Json::array();
  if (parsed.ok()) {
    for (const Json* each : parsed->Find(root)) found.push_back(*each);
  }
  return found;
}

TEST(JsonPath, Finds) {
  const Json root = FromYaml(R"({a: {b: 1, 'x.y': 2, 'k/l': 3}, list: [10, 20, 30],
    conditions: [{type: Ready, status: 'True', n: 1}, {type: Other, status: 'False', n: 5}]})");
  EXPECT_EQ(Find(".a.b", root), Json({1}));
  EXPECT_EQ(Find("a.b", root), Json({1}));
  EXPECT_EQ(Find("{.a.b}", root), Json({1}));
  EXPECT_EQ(Find(".a['x.y']", root), Json({2}));
  EXPECT_EQ(Find(".a.x\\.y", root), Json({2}));
  EXPECT_EQ(Find(".a[\"k/l\"]", root), Json({3}));
  EXPECT_EQ(Find(".list[0]", root), Json({10}));
  EXPECT_EQ(Find(".list[-1]", root), Json({30}));
  EXPECT_EQ(Find(".list[1:]", root), Json({20, 30}));
  EXPECT_EQ(Find(".list[0:3:2]", root), Json({10, 30}));
  EXPECT_EQ(Find(".list[*]", root), Json({10, 20, 30}));
  EXPECT_EQ(Find(".conditions[?(@.type==\"Ready\")].status", root), Json({"True"}));
  EXPECT_EQ(Find(".conditions[?(@.type == 'Other')].n", root), Json({5}));
  EXPECT_EQ(Find(".conditions[?(@.n>2)].type", root), Json({"Other"}));
  EXPECT_EQ(Find(".conditions[?(@.n)].type", root), Json({"Ready", "Other"}));
  EXPECT_EQ(Find(".conditions[*].type", root), Json({"Ready", "Other"}));
  EXPECT_EQ(Find(".a.nothing.more", root), Json::array());
  EXPECT_EQ(Find(".list[7]", root), Json::array());
  EXPECT_EQ(Find(".list.a", root), Json::array());
  EXPECT_EQ(JsonPath().First(root), nullptr);
}

TEST(JsonPath, RefusesWhatItDoesNotUnderstand) {
  for (const char* path :
       {".a[", ".a[x]", "..a", ".a[?(b)]", ".a[?(@.x==y)]", ".a[0:1:0]", "a..b"}) {
    EXPECT_FALSE(JsonPath::Parse(path).ok()) << path;
  }
  EXPECT_FALSE(JsonPath::Parse(std::string(5000, 'a')).ok());
}

}  // namespace
}  // namespace envicutor::standalone::schema
