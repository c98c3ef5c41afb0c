#include <gtest/gtest.h>

#include <cstdint>

#include "common/api/limits.h"

namespace envicutor::api {
namespace {

int64_t Quantity(std::string_view text) {
  const Result<int64_t> value = ParseQuantity(text);
  EXPECT_TRUE(value.ok()) << text << ": " << value.status().ToString();
  return value.ok() ? *value : -1;
}

int64_t Millis(std::string_view text) {
  const Result<int64_t> value = ParseDurationMillis(text);
  EXPECT_TRUE(value.ok()) << text << ": " << value.status().ToString();
  return value.ok() ? *value : -1;
}

TEST(Quantity, KnowsEverySuffix) {
  EXPECT_EQ(Quantity("4096"), 4096);
  EXPECT_EQ(Quantity("256Mi"), 268435456);
  EXPECT_EQ(Quantity("1Ki"), 1024);
  EXPECT_EQ(Quantity("3Gi"), int64_t{3} << 30);
  EXPECT_EQ(Quantity("3Ti"), int64_t{3} << 40);
  EXPECT_EQ(Quantity("3Pi"), int64_t{3} << 50);
  EXPECT_EQ(Quantity("7Ei"), int64_t{7} << 60);
  EXPECT_EQ(Quantity("100k"), 100'000);
  EXPECT_EQ(Quantity("5M"), 5'000'000);
  EXPECT_EQ(Quantity("5G"), 5'000'000'000);
  EXPECT_EQ(Quantity("5T"), 5'000'000'000'000);
  EXPECT_EQ(Quantity("5P"), 5'000'000'000'000'000);
  EXPECT_EQ(Quantity("9E"), 9'000'000'000'000'000'000);
  EXPECT_EQ(Quantity("1e6"), 1'000'000);
  EXPECT_EQ(Quantity("1.5E3"), 1500);
  EXPECT_EQ(Quantity("2500e-2"), 25);
  EXPECT_EQ(Quantity("+12"), 12);
  EXPECT_EQ(Quantity(".5Ki"), 512);
  EXPECT_EQ(Quantity("5."), 5);
}

TEST(Quantity, IsExactAndRoundsUp) {
  EXPECT_EQ(Quantity("1.5Gi"), 1610612736);
  EXPECT_EQ(Quantity("0.1Ki"), 103);  // 102.4
  EXPECT_EQ(Quantity("1m"), 1);
  EXPECT_EQ(Quantity("2000m"), 2);
  EXPECT_EQ(Quantity("1n"), 1);
  EXPECT_EQ(Quantity("0"), 0);
  EXPECT_EQ(Quantity("0.0000000000000000000000000000001"), 1);
  EXPECT_EQ(Quantity("0e9999"), 0);
  // A double has 53 bits of mantissa: these would be rounded.
  EXPECT_EQ(Quantity("9007199254740993"), 9007199254740993);
  EXPECT_EQ(Quantity("9223372036854775807"), INT64_MAX);
  EXPECT_EQ(Quantity("7.9999999999999999Ei"), 9223372036854775693);
}

TEST(Quantity, RefusesOverflowAndNonsense) {
  for (const char* text : {"9223372036854775808", "8Ei", "10E", "1e19", "1e99999999999", "9e999",
                           "7.99999999999999999999Ei"}) {
    const Result<int64_t> value = ParseQuantity(text);
    ASSERT_FALSE(value.ok()) << text << " = " << *value;
    EXPECT_NE(value.status().message().find("too large"), std::string::npos)
        << value.status().message();
  }
  for (const char* text : {"", "Mi", "12Qi", "1 Mi", " 1", "1 ", "1ki", "1K", "0x10", "1e", "1.2.3",
                           ".", "1e6k", "NaN", "inf", "1,5", "--1", "1Mi1"}) {
    EXPECT_FALSE(ParseQuantity(text).ok()) << text;
  }
  EXPECT_EQ(ParseQuantity("12Qi").status().message(),
            "\"12Qi\" is not a quantity (examples: 256Mi, 1G, 4096)");
  EXPECT_EQ(ParseQuantity("-1Mi").status().message(), "\"-1Mi\" must not be negative");
  EXPECT_FALSE(ParseQuantity(std::string(1'000'000, '9')).ok());
}

TEST(Quantity, FormatIsTheShortestAndParsesBack) {
  EXPECT_EQ(FormatQuantity(268435456), "256Mi");
  EXPECT_EQ(FormatQuantity(0), "0");
  EXPECT_EQ(FormatQuantity(1000), "1000");
  EXPECT_EQ(FormatQuantity(1536), "1536");
  EXPECT_EQ(FormatQuantity(2048), "2Ki");
  EXPECT_EQ(FormatQuantity(int64_t{1} << 60), "1Ei");
  for (const int64_t value : {int64_t{1}, int64_t{12345}, int64_t{1} << 40, INT64_MAX}) {
    EXPECT_EQ(Quantity(FormatQuantity(value)), value);
  }
}

TEST(Duration, KnowsGoFormsAndBareSeconds) {
  EXPECT_EQ(Millis("1500ms"), 1500);
  EXPECT_EQ(Millis("2s"), 2000);
  EXPECT_EQ(Millis("1m30s"), 90'000);
  EXPECT_EQ(Millis("1h2m3s4ms"), 3'723'004);
  EXPECT_EQ(Millis("1.5h"), 5'400'000);
  EXPECT_EQ(Millis("2"), 2000);
  EXPECT_EQ(Millis("0.5"), 500);
  EXPECT_EQ(Millis("0"), 0);
  EXPECT_EQ(Millis("0ms"), 0);
  EXPECT_EQ(Millis("1e-3"), 1);
  EXPECT_EQ(Millis("500us"), 1);
  EXPECT_EQ(Millis("1500\u00b5s"), 2);
  EXPECT_EQ(Millis("1ns"), 1);
  EXPECT_EQ(Millis("0.1"), 100);  // 0.1 * 1000 is 100.00000000000001 in doubles
  EXPECT_EQ(Millis("1.0000000001ms"), 2);
}

TEST(Duration, RefusesWhatIsNone) {
  for (const char* text :
       {"", "s", "1x", "1m30", "1 s", "-1s", "1s-1s", "ms", "1e3s", "1.2.3s", "1S", "1d"}) {
    EXPECT_FALSE(ParseDurationMillis(text).ok()) << text;
  }
  EXPECT_EQ(ParseDurationMillis("-1s").status().message(), "\"-1s\" must not be negative");
  EXPECT_EQ(ParseDurationMillis("soon").status().message(),
            "\"soon\" is not a duration (examples: 1500ms, 2s, 1m30s)");
  EXPECT_FALSE(ParseDurationMillis("99999999999999999999h").ok());
  EXPECT_FALSE(ParseDurationMillis("1e30").ok());
  EXPECT_FALSE(ParseDurationMillis("2562048h2562048h").ok());
}

TEST(Duration, FormatIsTheUsualAndParsesBack) {
  EXPECT_EQ(FormatDurationMillis(1500), "1500ms");
  EXPECT_EQ(FormatDurationMillis(2000), "2s");
  EXPECT_EQ(FormatDurationMillis(90'000), "1m30s");
  EXPECT_EQ(FormatDurationMillis(3'600'000), "1h");
  EXPECT_EQ(FormatDurationMillis(0), "0s");
  for (const int64_t value : {1, 999, 1000, 61'000, 3'723'004}) {
    EXPECT_EQ(Millis(FormatDurationMillis(value)), value);
  }
}

}  // namespace
}  // namespace envicutor::api
