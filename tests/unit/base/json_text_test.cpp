// Reading and writing of JSON text against nlohmann's own, which ours must not
// differ from.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "common/base/json_parse.h"

namespace envicutor {
namespace {

using Reference = nlohmann::json;

std::string DumpReference(const Reference& value, int indent = -1) {
  return value.dump(indent, ' ', false, Reference::error_handler_t::replace);
}

std::optional<Json> Try(std::string_view text, int max_depth = 128) {
  bool duplicates = false;
  return TryParseJson(text, max_depth, &duplicates);
}

// Taken by both with the same result, or by neither; the text of ours, "" where
// it was refused.
std::string Same(const std::string& text) {
  const Reference reference = Reference::parse(text, nullptr, false);
  const std::optional<Json> value = Try(text);
  EXPECT_EQ(!reference.is_discarded(), value.has_value()) << text;
  EXPECT_EQ(!reference.is_discarded(), ParseJson(text).ok()) << text;
  if (!value || reference.is_discarded()) return "";
  std::string dumped = DumpJson(*value);
  EXPECT_EQ(DumpReference(reference), dumped) << text;
  EXPECT_EQ(DumpReference(reference, 2), DumpJson(*value, 2)) << text;
  return dumped;
}

TEST(JsonText, GrammarIsNlohmanns) {
  for (const std::string text : {"",
                                 " ",
                                 "{",
                                 "}",
                                 "[",
                                 "]",
                                 "[]",
                                 "{}",
                                 "[ ]",
                                 "{ }",
                                 "[1,]",
                                 "[,1]",
                                 "[1 2]",
                                 "{\"a\"}",
                                 "{\"a\":}",
                                 "{\"a\":1,}",
                                 "{,}",
                                 "{1:2}",
                                 "{\"a\" 1}",
                                 "{\"a\":1 \"b\":2}",
                                 "[1]x",
                                 "[1] ",
                                 "\t\r\n[]",
                                 "\v[]",
                                 "nul",
                                 "null",
                                 "nullx",
                                 "true",
                                 "tru",
                                 "false",
                                 "falsey",
                                 "NaN",
                                 "Infinity",
                                 "-Infinity",
                                 "'a'",
                                 "/**/1",
                                 "1//",
                                 "[[[[]]]]",
                                 "[[[]]",
                                 "[{}]",
                                 "{\"a\":[{\"b\":[]}]}",
                                 "{]",
                                 "[}",
                                 "\"",
                                 "\"a",
                                 "\"\\\"",
                                 "\"a\" \"b\"",
                                 ":",
                                 ","}) {
    Same(text);
  }
  EXPECT_EQ(R"({"a":[1,{"b":null}],"c":"d"})",
            Same(" { \"c\" : \"d\",\n\"a\":[ 1 ,{\"b\":null} ] } "));
}

TEST(JsonText, NumbersAreNlohmanns) {
  for (const std::string text : {"0",
                                 "-0",
                                 "00",
                                 "01",
                                 "-01",
                                 "-",
                                 "+1",
                                 "1.",
                                 ".5",
                                 "-.5",
                                 "1e",
                                 "1e+",
                                 "1E5",
                                 "1e-5",
                                 "1.5e3",
                                 "0.1",
                                 "0e0",
                                 "-0.0",
                                 "123456789012345678",
                                 "9223372036854775807",
                                 "9223372036854775808",
                                 "-9223372036854775808",
                                 "-9223372036854775809",
                                 "18446744073709551615",
                                 "18446744073709551616",
                                 "1e308",
                                 "1.7976931348623157e308",
                                 "2.2250738585072014e-308",
                                 "0.30000000000000004",
                                 "5e-1",
                                 "100000000000000000000000000000000000000000000",
                                 "1e999",
                                 "-1e999",
                                 "0x10",
                                 "1_000",
                                 "1e5.5",
                                 "3.141592653589793238462643383279502884",
                                 "12 ",
                                 "1,2",
                                 "1.0",
                                 "1.50",
                                 "123456789.0e-3"}) {
    Same(text);
    Same("[" + text + "]");
    Same("{\"a\":" + text + "}");
  }
  EXPECT_EQ(Json::value_t::number_integer, Try("-0")->type());
  EXPECT_EQ(Json::value_t::number_unsigned, Try("0")->type());
  EXPECT_EQ(Json::value_t::number_float, Try("18446744073709551616")->type());
  // Too small for a double: zero, by the slow reader.
  EXPECT_FALSE(Try("1e-999").has_value());
  EXPECT_EQ(0.0, ParseJson("1e-999").value());
  EXPECT_FALSE(ParseJson("1e999").ok());
}

TEST(JsonText, StringsAreNlohmanns) {
  for (const std::string inner : {"",
                                  "a",
                                  "1234567",
                                  "12345678",
                                  "123456789",
                                  "\\\"",
                                  "\\\\",
                                  "\\/",
                                  "\\b\\f\\n\\r\\t",
                                  "\\x",
                                  "\\",
                                  "\\u",
                                  "\\u12",
                                  "\\u123",
                                  "\\u123g",
                                  "\\u+123",
                                  "\\u0041",
                                  "\\u00e9",
                                  "\\u20ac",
                                  "\\uFFFF",
                                  "\\u0000",
                                  "\\u001f",
                                  "\\uD83D\\uDE00",
                                  "\\ud83d",
                                  "\\ude00",
                                  "\\ud83dx",
                                  "\\ud83d\\n",
                                  "\\ud83d\\ud83d",
                                  "\\ud83d\\u0041",
                                  "1234567\\n",
                                  "12345678\\n123456789",
                                  "\xC3\xA9",
                                  "\xE2\x82\xAC",
                                  "\xF0\x9F\x98\x80",
                                  "\x7f",
                                  "\xC0\xAF",
                                  "\xC1\xBF",
                                  "\xC2",
                                  "\xC2 ",
                                  "\xE0\x80\x80",
                                  "\xE0\x9F\xBF",
                                  "\xED\xA0\x80",
                                  "\xED\x9F\xBF",
                                  "\xEF\xBF\xBF",
                                  "\xF0\x80\x80\x80",
                                  "\xF0\x8F\xBF\xBF",
                                  "\xF4\x8F\xBF\xBF",
                                  "\xF4\x90\x80\x80",
                                  "\xF5\x80\x80\x80",
                                  "\xFF",
                                  "\x80",
                                  "\xE2\x82",
                                  "\xF0\x9F\x98",
                                  "abcdefg\xC3\xA9hijklmnop",
                                  "<script>&'"}) {
    Same("\"" + inner + "\"");
    Same("{\"" + inner + "\":\"" + inner + "\"}");
    Same("[\"" + inner + "\",\"" + inner);
  }
  for (int byte = 0; byte < 256; ++byte) {
    for (const size_t before : {0U, 3U, 7U, 8U, 13U}) {
      const std::string text = std::string(before, 'x') + static_cast<char>(byte) + "yyyyyyyyy";
      if (byte != 0) Same("\"" + text + "\"");
      EXPECT_EQ(DumpReference(text), DumpJson(text)) << byte;
    }
  }
}

TEST(JsonText, WhatIsLeftToNlohmannStaysAsItWas) {
  EXPECT_EQ("[1]",
            DumpJson(ParseJson("\xEF\xBB\xBF[1]").value()));  // a byte order mark
  EXPECT_EQ("[1]", DumpJson(ParseJson(std::string_view("[1]\0x", 5)).value()));
  EXPECT_NE(std::string::npos, ParseJson("[1,\n 2,}").status().message().find("line 2"));
}

TEST(JsonText, TheLastOfDuplicatesWinsInEveryOrder) {
  for (const std::string text :
       {R"({"a":1,"a":2})", R"({"b":1,"a":2,"b":3})", R"({"a":{"x":1},"a":{"y":2}})",
        R"({"c":1,"b":2,"a":3,"b":[4],"a":null})", R"({"":1,"":2})"}) {
    bool duplicates = false;
    EXPECT_TRUE(TryParseJson(text, 8, &duplicates).has_value());
    EXPECT_TRUE(duplicates) << text;
    Same(text);
  }
  bool duplicates = true;
  (void)TryParseJson(R"({"b":{"a":1},"a":1})", 8, &duplicates);
  EXPECT_FALSE(duplicates);
}

TEST(JsonText, DepthIsBoundedWhateverTheBound) {
  const auto nested = [](size_t depth) {
    return std::string(depth, '[') + std::string(depth, ']');
  };
  EXPECT_TRUE(Try(nested(5), 5).has_value());
  EXPECT_FALSE(Try(nested(6), 5).has_value());
  EXPECT_TRUE(Try("[[[]],[[]],[[]]]", 3).has_value()) << "depth is not a count";
  EXPECT_FALSE(Try(std::string(1'000'000, '['), 1'000'000).has_value());
  EXPECT_TRUE(ParseJson(nested(100'000), 100'000).ok()) << "by nlohmann's, without recursion";
}

TEST(JsonText, ManyMembersInAnyOrder) {
  std::mt19937 random(7);
  for (const int count : {1, 12, 13, 63, 64, 65, 129, 5'000}) {
    std::vector<int> names(static_cast<size_t>(count));
    for (int i = 0; i < count; ++i) names[static_cast<size_t>(i)] = i;
    for (const int order : {0, 1, 2}) {
      if (order == 1) std::reverse(names.begin(), names.end());
      if (order == 2) std::shuffle(names.begin(), names.end(), random);
      std::string text = "{";
      for (const int name : names) {
        text += (text.size() > 1 ? ",\"" : "\"") + std::to_string(name) + "\":[" +
                std::to_string(name) + "]";
      }
      EXPECT_FALSE(Same(text + "}").empty());
    }
  }
}

// Values of every type, nested, with strings of any bytes.
Reference Anything(std::mt19937* random, int depth) {
  const auto below = [&](unsigned bound) { return static_cast<unsigned>((*random)() % bound); };
  switch (below(depth > 3 ? 6 : 9)) {
    case 0:
      return nullptr;
    case 1:
      return below(2) == 0;
    case 2:
      return -static_cast<int64_t>((*random)());
    case 3:
      return static_cast<uint64_t>((*random)()) << below(33);
    case 4:
      return std::ldexp(static_cast<double>((*random)()), static_cast<int>(below(200)) - 100);
    case 5: {
      std::string text;
      for (unsigned i = below(40); i > 0; --i)
        text += static_cast<char>(below(4) == 0 ? below(256) : 'a' + below(26));
      return text;
    }
    case 6: {
      Reference array = Reference::array();
      for (unsigned i = below(6); i > 0; --i) array.push_back(Anything(random, depth + 1));
      return array;
    }
    default: {
      Reference object = Reference::object();
      for (unsigned i = below(20); i > 0; --i)
        object["k" + std::to_string(below(100))] = Anything(random, depth + 1);
      return object;
    }
  }
}

TEST(JsonText, WhateverIsWrittenIsReadBack) {
  std::mt19937 random(11);
  for (int i = 0; i < 2'000; ++i) {
    const std::string text = DumpReference(Anything(&random, 0));
    EXPECT_EQ(text, Same(text));
  }
}

TEST(JsonText, NumbersThatJsonDoesNotHave) {
  EXPECT_EQ("[null,null,null]",
            DumpJson(Json::array({std::nan(""), std::numeric_limits<double>::infinity(),
                                  -std::numeric_limits<double>::infinity()})));
  EXPECT_EQ("[-9223372036854775808,18446744073709551615,1.0,1e+25]",
            DumpJson(Json::array({INT64_MIN, UINT64_MAX, 1.0, 1e25})));
}

TEST(JsonText, AppendsAfterWhatIsThere) {
  std::string text = "x=";
  AppendJson({{"a", {1, "b\n"}}, {"c", Json::object()}, {"d", Json::array()}}, &text);
  EXPECT_EQ("x={\"a\":[1,\"b\\n\"],\"c\":{},\"d\":[]}", text);
  AppendJsonString("q\"\x01\xff", &text);
  EXPECT_EQ("\"q\\\"\\u0001\xEF\xBF\xBD\"", text.substr(text.size() - 14));
  const std::string large(1 << 20, '\n');  // more than the scratch of a thread, and all escaped
  EXPECT_EQ(DumpReference(large), DumpJson(large));
  EXPECT_EQ("[]", DumpJson(Json::array()));
}

}  // namespace
}  // namespace envicutor
