#include "common/http/types.h"

#include <gtest/gtest.h>

#include "common/http/target.h"

namespace envicutor::http {
namespace {

TEST(Headers, CompareWithoutCaseAndSetReplacesAll) {
  Headers headers{{"Accept", "a"}, {"X", "1"}, {"accept", "b"}};
  EXPECT_EQ("a", headers.Get("ACCEPT"));
  headers.Set("aCCept", "c");
  EXPECT_EQ("c", headers.Get("Accept"));
  EXPECT_EQ(2U, headers.fields().size());
  EXPECT_EQ("", headers.Get("Accep"));
}

TEST(Percent, EncodesAllButUnreserved) {
  EXPECT_EQ("a%20b%2Fc", PercentEncode("a b/c"));
  EXPECT_EQ("AZaz09-._~", PercentEncode("AZaz09-._~"));
  EXPECT_EQ("%00%FF%25", PercentEncode(std::string_view("\0\xff%", 3)));
}

TEST(Percent, DecodeLeavesIllFormedEscapes) {
  EXPECT_EQ("a b/c", PercentDecode("a%20b%2fc"));
  EXPECT_EQ("%", PercentDecode("%"));
  EXPECT_EQ("%2", PercentDecode("%2"));
  EXPECT_EQ("%zz%", PercentDecode("%zz%"));
  EXPECT_EQ(std::string("\0", 1), PercentDecode("%00"));
  EXPECT_EQ("%41", PercentDecode("%2541")) << "once, not twice";
}

TEST(Target, BoundsTheNumberOfQueryPairs) {
  std::string target = "/?";
  for (int i = 0; i < 1024; ++i) target += "a&";
  EXPECT_TRUE(ParseTarget(target).ok());
  EXPECT_FALSE(ParseTarget(target + "a").ok());
}

TEST(Target, Forms) {
  EXPECT_EQ("/", ParseTarget("http://host")->path);
  EXPECT_EQ("/x", ParseTarget("https://host/x?y")->path);
  EXPECT_EQ("/x", ParseTarget("/x#fragment")->path);
  for (const char* bad : {"", "x", "*", "host:1", "?a=b", "/a/..", "/..%2f"}) {
    EXPECT_FALSE(ParseTarget(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace envicutor::http
