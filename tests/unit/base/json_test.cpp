#include "common/base/json.h"

#include <gtest/gtest.h>

namespace envicutor {
namespace {

TEST(ParseJson, TakesWhatIsJson) {
  for (const char* text : {"null", "1", "\"a\"", " [1, {\"a\": [true]}] ", "1e308", "-0"}) {
    EXPECT_TRUE(ParseJson(text).ok()) << text;
  }
}

TEST(ParseJson, RefusesWhatIsNot) {
  for (const std::string text : {"", "{", "[1,]", "{\"a\" 1}", "nul", "[1] x", "1e999", "\"\xff\"",
                                 "'a'", "NaN", "\"a\nb\""}) {
    EXPECT_EQ(Code::kInvalidArgument, ParseJson(text).status().code()) << text;
  }
}

TEST(ParseJson, BoundsTheDepth) {
  const auto nested = [](size_t depth) {
    return std::string(depth, '[') + std::string(depth, ']');
  };
  EXPECT_TRUE(ParseJson(nested(128)).ok());
  EXPECT_FALSE(ParseJson(nested(129)).ok());
  EXPECT_FALSE(ParseJson(nested(10'000'000)).ok());
  EXPECT_FALSE(ParseJson(std::string(5'000'000, '[')).ok());
  EXPECT_TRUE(ParseJson(nested(5), 5).ok());
  EXPECT_FALSE(ParseJson(nested(6), 5).ok());
  // Brackets in strings are not nesting, wherever the quotes are.
  EXPECT_TRUE(ParseJson(R"(["[[[[[[[\"[[[[\\"])", 5).ok());
  EXPECT_FALSE(ParseJson(R"(["\\", [[[[[]]]]]])", 5).ok());
}

TEST(DumpJson, ReplacesWhatIsNotUtf8) {
  EXPECT_EQ("\"a\xEF\xBF\xBD\"", DumpJson(std::string("a\xff")));
  EXPECT_EQ("{\n  \"a\": 1\n}", DumpJson({{"a", 1}}, 2));
}

TEST(Readers, GiveTheDefaultForAbsentNullOrOtherTypes) {
  const Json object = {{"s", "text"}, {"i", -3},   {"u", 18446744073709551615U},
                       {"f", 1.5},    {"b", true}, {"n", nullptr}};
  EXPECT_EQ("text", GetString(object, "s"));
  EXPECT_EQ("d", GetString(object, "i", "d"));
  EXPECT_EQ("d", GetString(object, "n", "d"));
  EXPECT_EQ(-3, GetInt(object, "i"));
  EXPECT_EQ(7, GetInt(object, "u", 7)) << "would be -1 if it were narrowed";
  EXPECT_EQ(7, GetInt(object, "f", 7));
  EXPECT_TRUE(GetBool(object, "b"));
  EXPECT_TRUE(GetBool(object, "i", true));
  EXPECT_EQ("d", GetString(Json::array(), "s", "d"));
}

TEST(Readers, ViewsAreOfTheObjectItself) {
  const Json object = {{"s", "text"}, {"i", 1}};
  const std::string& text = object["s"].get_ref<const std::string&>();
  EXPECT_EQ(text.data(), GetView(object, "s").data());
  EXPECT_EQ("d", GetView(object, "i", "d"));
  EXPECT_EQ("", GetView(object, "absent"));
  EXPECT_EQ("", GetView(Json(), "s"));
  EXPECT_EQ(&object["i"], &Member(object, "i"));
  EXPECT_TRUE(Member(object, "absent").is_null());
  EXPECT_TRUE(Member("text", "s").is_null());
}

TEST(Readers, AtFollowsAPathAndNeverThrows) {
  const Json object = {{"a", {{"b", {1, 2}}}}};
  EXPECT_EQ(2U, At(object, {"a", "b"}).size());
  EXPECT_TRUE(At(object, {"a", "b", "c"}).is_null());
  EXPECT_TRUE(At(object, {"x", "y"}).is_null());
  EXPECT_EQ(object, At(object, {}));
}

TEST(StrictReaders, NameTheFieldAndLeaveTheValue) {
  const Json object = {{"s", 1}, {"i", "x"}, {"b", 0}, {"u", 18446744073709551615U}, {"ok", 5}};
  std::string text = "before";
  int64_t number = 9;
  bool flag = true;
  EXPECT_EQ("field \"s\" must be a string", ReadString(object, "s", &text).message());
  EXPECT_EQ("field \"i\" must be an integer", ReadInt(object, "i", &number).message());
  EXPECT_FALSE(ReadInt(object, "u", &number).ok());
  EXPECT_EQ("field \"b\" must be true or false", ReadBool(object, "b", &flag).message());
  EXPECT_TRUE(ReadString(object, "absent", &text).ok());
  EXPECT_EQ("before", text);
  EXPECT_EQ(9, number);
  EXPECT_TRUE(ReadInt(object, "ok", &number).ok());
  EXPECT_EQ(5, number);
}

}  // namespace
}  // namespace envicutor
