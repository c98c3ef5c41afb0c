#include "common/kube/object_text.h"

#include <gtest/gtest.h>

#include "common/base/json.h"

namespace envicutor::kube {
namespace {

constexpr std::array<TextPath, 5> kPaths{TextPath{"metadata", "uid"}, TextPath{"metadata"},
                                         TextPath{"a", "b", "c", "d"}, TextPath{"n"},
                                         TextPath{"a", "b"}};

std::array<std::string_view, kPaths.size()> Found(std::string_view text) {
  std::array<std::string_view, kPaths.size()> values;
  EXPECT_TRUE(FindMembers(text, kPaths, values)) << text;
  return values;
}

TEST(ObjectText, FindsMembersWhereverTheyStand) {
  const auto values = Found(R"( { "x" : [ {"uid":"no"}, "}]", 1 ] , "n":-1.5e3 ,
      "metadata" : {"labels":{"uid":"no"},"uid":"u\"1"}, "a":{"b":{"c":{"d":[1,{"d":2}]}}} } )");
  EXPECT_EQ(values[0], R"("u\"1")");
  EXPECT_EQ(values[1], R"({"labels":{"uid":"no"},"uid":"u\"1"})");
  EXPECT_EQ(values[2], R"([1,{"d":2}])");
  EXPECT_EQ(values[3], "-1.5e3");
  EXPECT_EQ(values[4], R"({"c":{"d":[1,{"d":2}]}})");
  EXPECT_EQ(Found("\t{\r\"n\"\t:\r1\t}\r")[3], "1");
}

// One that is wanted elsewhere is not taken for it.
TEST(ObjectText, NamesCountOnlyWhereTheirPathsLead) {
  const auto values = Found(R"({"metadata":{"b":1,"metadata":2},"a":{"uid":3,"n":4},"b":5})");
  EXPECT_EQ(values[0], "");
  EXPECT_EQ(values[3], "");
  EXPECT_EQ(values[4], "");
}

// And so not refused for what is in it.
TEST(ObjectText, WhatIsAskedForIsNotLookedInto) {
  EXPECT_EQ(Found(R"({"a":{"b":{"c":{"d":{"\u0061":1,"":2}}}}})")[2], R"({"\u0061":1,"":2})");
  EXPECT_EQ(Found(R"({"n":{"\u0061":1,"":2}})")[3], R"({"\u0061":1,"":2})");
}

TEST(ObjectText, AtMost32PathsAndAValueForEach) {
  const std::vector<TextPath> paths(33, TextPath{"n"});
  std::vector<std::string_view> values(33, "before");
  const std::span<const TextPath> most(paths.data(), 32);
  EXPECT_TRUE(FindMembers(R"({"n":1})", most, values));
  for (size_t i = 0; i < 32; ++i) EXPECT_EQ(values[i], "1");
  EXPECT_FALSE(FindMembers(R"({"n":1})", paths, values));
  std::vector<std::string_view> few(31);
  EXPECT_FALSE(FindMembers(R"({"n":1})", most, few));
  EXPECT_TRUE(FindMembers("{}", most, values));
  EXPECT_EQ(values[31], "") << "of the text before";
}

TEST(ObjectText, WhatIsNotThereIsEmpty) {
  for (const std::string_view value : Found("{}")) EXPECT_EQ(value, "");
  for (const std::string_view value : Found(R"({"uid":"x","b":{"c":1},"A":{"b":1}})")) {
    EXPECT_EQ(value, "");
  }
  // Of another kind than the path expects.
  const auto values = Found(R"({"metadata":"uid","a":[{"b":1}]})");
  EXPECT_EQ(values[0], "");
  EXPECT_EQ(values[1], R"("uid")");
  EXPECT_EQ(values[4], "");
}

TEST(ObjectText, OfANameThatComesTwiceTheLastCounts) {
  const auto values =
      Found(R"({"metadata":{"uid":"1","uid":"2"},"n":1,"metadata":{"x":1},"n":{"n":2}})");
  EXPECT_EQ(values[0], "");
  EXPECT_EQ(values[1], R"({"x":1})");
  EXPECT_EQ(values[3], R"({"n":2})");
}

TEST(ObjectText, WhatItCannotBeSureOfIsLeftToTheParser) {
  std::array<std::string_view, kPaths.size()> values;
  for (const char* text :
       {"", "[]", "1", "{", R"({"n")", R"({"n":)", R"({"n":1)", R"({"n":"x)", R"({"n":"x\"})",
        R"({"n":[1,{"x":2}})", R"({"n":1 "m":2})", R"({n:1})", R"({"n":1]})", R"({"\u006e":1})",
        R"({"metadata":{"u\u0069d":"x"}})", R"({"n":})"}) {
    EXPECT_FALSE(FindMembers(text, kPaths, values)) << text;
  }
  // Every text that is cut short.
  const std::string whole = R"({"metadata":{"uid":"u"},"a":{"b":{"c":{"d":[{"e":"f\\"}]}}},"n":1})";
  EXPECT_TRUE(FindMembers(whole, kPaths, values));
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(FindMembers(whole.substr(0, size), kPaths, values)) << size;
  }
}

TEST(ObjectText, DepthOfWhatIsSkippedIsNoMatter) {
  const std::string deep(200'000, '[');
  const std::string text = "{\"x\":" + deep + std::string(deep.size(), ']') + ",\"n\":7}";
  const auto values = Found(text);
  EXPECT_EQ(values[3], "7");
}

TEST(ObjectText, StringsAreUnescaped) {
  EXPECT_EQ(TextString("\"plain-1\""), "plain-1");
  EXPECT_EQ(TextString(R"("a\u0026\"b")"), "a&\"b");
  EXPECT_EQ(TextString("\"\xc3\xa9\""), "\xc3\xa9");
  EXPECT_EQ(TextString("12"), "");
  EXPECT_EQ(TextString("1\"2\""), "");
  EXPECT_EQ(TextString("\""), "");
  EXPECT_EQ(TextString("\"a\nb\""), "") << "no string of JSON";
  EXPECT_EQ(TextString(""), "");
  EXPECT_EQ(TextString("\"\xff\""), "");
}

TEST(ObjectText, ResourceVersionOfAnAnswer) {
  EXPECT_EQ(ResourceVersionInText(R"({"metadata":{"resourceVersion":"12"}})"), "12");
  EXPECT_EQ(ResourceVersionInText(R"({"metad\u0061ta":{"resourceVersion":"12"}})"), "12");
  EXPECT_EQ(ResourceVersionInText(R"({"status":{"resourceVersion":"12"}})"), "");
  EXPECT_EQ(ResourceVersionInText("OK"), "");
}

}  // namespace
}  // namespace envicutor::kube
