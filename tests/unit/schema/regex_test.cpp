#include "standalone/apiserver/schema/regex.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace envicutor::standalone::schema {
namespace {

bool Matches(const std::string& pattern, const std::string& text) {
  const Result<Regex> regex = Regex::Compile(pattern);
  EXPECT_TRUE(regex.ok()) << pattern << ": " << regex.status().message();
  if (!regex.ok()) return false;
  int64_t budget = 10'000'000;
  const Result<bool> found = regex->Search(text, &budget);
  EXPECT_TRUE(found.ok()) << pattern;
  return found.ok() && *found;
}

TEST(Regex, Matches) {
  const struct {
    const char* pattern;
    const char* text;
    bool matches;
  } cases[] = {
      {"abc", "xabcx", true},
      {"^abc$", "xabc", false},
      {"a.c", "abc", true},
      {"a.c", "a\nc", false},
      {"(?s)a.c", "a\nc", true},
      {"^a|b$", "xb", true},
      {"^(a|b)*$", "abba", true},
      {"^(a|b)*$", "abc", false},
      {"^a{2,3}$", "aa", true},
      {"^a{2,3}$", "aaaa", false},
      {"^a{2}$", "aaa", false},
      {"^a{2,}$", "aaaaa", true},
      {"a{,2}", "a{,2}", true},
      {"^[a-z0-9]+$", "az09", true},
      {"^[^a-z]+$", "AZ", true},
      {"^[]a]+$", "]a", true},
      {"^[a-]+$", "a-", true},
      {"^\\d+\\.\\d*$", "1.", true},
      {"^\\w+$", "a_9", true},
      {"^\\S+$", "a b", false},
      {"^[\\d_]+$", "1_2", true},
      {"\\bfoo\\b", "a foo b", true},
      {"\\bfoo\\b", "afoo", false},
      {"(?i)^hello$", "HeLLo", true},
      {"^[[:alpha:]]+$", "abc", true},
      {"^[[:^digit:]]+$", "a1", false},
      {"^é+$", "éé", true},
      {"^.$", "é", true},
      {"^\\x41\\x{1F600}$", "A😀", true},
      {"\\Qa.b\\E", "a.b", true},
      {"\\Qa.b\\E", "axb", false},
      {"^(?:ab)+$", "abab", true},
      {"^(?P<n>a)$", "a", true},
      {"(?m)^b$", "a\nb\nc", true},
      {"^b$", "a\nb\nc", false},
      {"", "anything", true},
      {"^$", "", true},
      {"(a*)*", "b", true},
      {"^(a*)*$", "aaaa", true},
      {"^(|a)+$", "aaa", true},
      {"^a??b$", "ab", true},
      {"x*", "", true},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(Matches(c.pattern, c.text), c.matches) << c.pattern << " on " << c.text;
  }
}

TEST(Regex, FindTakesTheLeftmost) {
  int64_t budget = 1'000'000;
  const Result<Regex> greedy = Regex::Compile("a+");
  const auto span = greedy->Find("baaab", 0, &budget);
  ASSERT_TRUE(span.ok() && span->has_value());
  EXPECT_EQ(**span, std::make_pair(size_t{1}, size_t{4}));
  const Result<Regex> lazy = Regex::Compile("a+?");
  const auto short_span = lazy->Find("baaab", 0, &budget);
  ASSERT_TRUE(short_span.ok() && short_span->has_value());
  EXPECT_EQ(**short_span, std::make_pair(size_t{1}, size_t{2}));
  EXPECT_FALSE(greedy->Find("baaab", 4, &budget)->has_value());
}

TEST(Regex, MistakesAreNamed) {
  for (const char* pattern : {"(", ")", "[a", "*a", "a**", "\\", "a{2,1}", "a{1001}", "[z-a]",
                              "\\q", "(?<", "[[:nope:]]", "\\p{L}", "(?P<>a)"}) {
    const Result<Regex> regex = Regex::Compile(pattern);
    EXPECT_FALSE(regex.ok()) << pattern;
    EXPECT_THAT(regex.status().message(), testing::HasSubstr("error parsing"));
  }
}

TEST(Regex, HostilePatternsAreBounded) {
  EXPECT_FALSE(Regex::Compile("((a{1000}){1000}){1000}").ok());
  EXPECT_TRUE(Regex::Compile("(((){1000}){1000}){1000}").ok());
  EXPECT_FALSE(Regex::Compile(std::string(5000, '(')).ok());
  EXPECT_FALSE(Regex::Compile(std::string(10'000, 'a')).ok());
  const Result<Regex> regex = Regex::Compile("^(([a-z])+.)+[A-Z]([a-z])+$");
  int64_t budget = 10'000'000;
  const Result<bool> found = regex->Search(std::string(50'000, 'a'), &budget);
  EXPECT_TRUE(found.ok());
  EXPECT_FALSE(*found);
  budget = 1000;
  EXPECT_EQ(regex->Search(std::string(50'000, 'a'), &budget).status().code(),
            Code::kResourceExhausted);
}

}  // namespace
}  // namespace envicutor::standalone::schema
