// JSON of clients, by the fast reader and by the one that names what is wrong.
#include "standalone/apiserver/http/json_reader.h"

#include <gtest/gtest.h>

namespace envicutor::standalone {
namespace {

// A key that comes twice is what the fast reader leaves to the other.
ReadJson ReadIn(const std::string& value, bool twice, int max_depth = 128) {
  return ReadClientJson((twice ? R"({"d":1,"d":2,"v":)" : R"({"v":)") + value + "}", max_depth);
}

TEST(JsonReader, WholeNumbersAreIntegersAsGoWritesThem) {
  for (const bool twice : {false, true}) {
    const ReadJson read = ReadIn(
        "[30.0,3e1,-2.0,0.0,-0.0,1.5,9007199254740992.0,9007199254740994.0,1e20,{\"a\":[4.0]}]",
        twice);
    EXPECT_EQ(read.error, "");
    EXPECT_EQ(DumpJson(read.value["v"]),
              "[30,30,-2,0,-0.0,1.5,9007199254740992,9.007199254740994e+15,1e+20,{\"a\":[4]}]");
    EXPECT_TRUE(read.value["v"][3].is_number_unsigned());
    EXPECT_TRUE(read.value["v"][2].is_number_integer());
  }
}

TEST(JsonReader, DepthIsThatInsideOfTheOutermost) {
  for (const bool twice : {false, true}) {
    for (const auto& [open, close] : {std::pair("[", "]"), std::pair("{\"a\":", "}")}) {
      const auto nested = [&, open = open, close = close](int depth) {
        std::string text = "1";
        for (int i = 0; i < depth; ++i) text = open + text + close;
        return ReadIn(text, twice, 4);
      };
      const ReadJson most = nested(4);
      EXPECT_FALSE(most.too_deep);
      EXPECT_EQ(most.error, "");
      EXPECT_TRUE(most.value.is_object());
      const ReadJson more = nested(5);
      EXPECT_TRUE(more.too_deep);
      EXPECT_EQ(more.error, "");
      EXPECT_TRUE(more.value.is_null());
    }
  }
}

TEST(JsonReader, WhatCannotBeReadHasNoValue) {
  for (const char* text : {"", "1 x", "[1,}", "{\"a\":1}{", "[1e999]", "\"\xff\""}) {
    const ReadJson read = ReadClientJson(text, 8);
    EXPECT_NE(read.error, "") << text;
    EXPECT_TRUE(read.value.is_null()) << text;
    EXPECT_FALSE(read.too_deep) << text;
  }
}

// In whatever order their keys sort.
TEST(JsonReader, TheFirstHundredKeysThatComeTwiceAreNamed) {
  constexpr int kKeys = 150;
  for (const bool rising : {true, false}) {
    std::string text = "{";
    const auto key = [&](int i) { return std::to_string(rising ? 1000 + i : 2000 - i); };
    for (int i = 0; i < kKeys; ++i) {
      for (int time = 0; time < 2; ++time) {
        text += (text.size() > 1 ? ",\"" : "\"") + key(i) + "\":" + std::to_string(time);
      }
    }
    const ReadJson read = ReadClientJson(text + "}", 8);
    ASSERT_EQ(read.duplicates.size(), 100U);
    for (int i = 0; i < 100; ++i) EXPECT_EQ(read.duplicates[static_cast<size_t>(i)], key(i));
    EXPECT_EQ(read.value.size(), static_cast<size_t>(kKeys));
    EXPECT_EQ(read.value[key(149)], 1) << "the last one holds";
  }
}

}  // namespace
}  // namespace envicutor::standalone
