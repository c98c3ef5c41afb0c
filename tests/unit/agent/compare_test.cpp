#include "executor-agent/run/compare.h"

#include <gtest/gtest.h>

namespace envicutor::agent {
namespace {

using namespace std::string_view_literals;

TEST(Compare, IgnoresTrailingWhiteSpace) {
  EXPECT_FALSE(FirstDifference("1\n2\n", "1\n2", false));
  EXPECT_FALSE(FirstDifference("1\n2", "1  \t\r\n2\n\n\n", false));
  EXPECT_FALSE(FirstDifference("", "\n \n\t\n", false));
  EXPECT_FALSE(FirstDifference("a\n\nb", "a\n \nb \n", false));
  EXPECT_FALSE(FirstDifference("", "", false));
}

TEST(Compare, NamesTheFirstLineThatDiffers) {
  EXPECT_EQ(FirstDifference("1\n2\n3", "1\n2\n4", false), 3);
  EXPECT_EQ(FirstDifference("1\n2", "1", false), 2);
  EXPECT_EQ(FirstDifference("1", "1\n2", false), 2);
  EXPECT_EQ(FirstDifference("a\nb", "a\n\nb", false), 2);
  EXPECT_EQ(FirstDifference("", "x", false), 1);
  EXPECT_EQ(FirstDifference("x", "", false), 1);
}

TEST(Compare, LeadingAndInnerSpaceCounts) {
  EXPECT_EQ(FirstDifference(" 1", "1", false), 1);
  EXPECT_EQ(FirstDifference("1 2", "1  2", false), 1);
  EXPECT_EQ(FirstDifference("\n1", "1", false), 1);
}

TEST(Compare, NulIsContent) {
  EXPECT_EQ(FirstDifference("Hello", "Hello\0tail\n"sv, false), 1);
  EXPECT_EQ(FirstDifference("Hello", "Hello\0"sv, false), 1);
}

TEST(Compare, ExactIsExact) {
  EXPECT_FALSE(FirstDifference("a\n", "a\n", true));
  EXPECT_EQ(FirstDifference("a\n", "a", true), 1);
  EXPECT_EQ(FirstDifference("a\nb", "a\nb ", true), 2);
  EXPECT_EQ(FirstDifference("a", "b", true), 1);
}

}  // namespace
}  // namespace envicutor::agent
