#include "common/base/log.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "common/base/json.h"

namespace envicutor::log {
namespace {

std::string Captured(std::string_view message, std::initializer_list<Field> fields) {
  testing::internal::CaptureStderr();
  Info(message, fields);
  return testing::internal::GetCapturedStderr();
}

TEST(Log, IsOneJsonObjectALine) {
  Configure("test", Level::kInfo, Format::kJson);
  const std::string line = Captured("run finished", {{"uid", "u"}, {"n", "12"}});
  ASSERT_TRUE(line.ends_with("}\n"));
  const auto parsed = ParseJson(line);
  ASSERT_TRUE(parsed.ok()) << line;
  EXPECT_EQ("info", GetString(*parsed, "level"));
  EXPECT_EQ("test", GetString(*parsed, "component"));
  EXPECT_EQ("run finished", GetString(*parsed, "msg"));
  EXPECT_EQ("12", GetString(*parsed, "n"));
}

TEST(Log, ValuesCanNeitherForgeNorBreakALine) {
  for (const Format format : {Format::kJson, Format::kText}) {
    Configure("test", Level::kInfo, format);
    const std::string line =
        Captured("m", {{"v", std::string("a\"}\n{\"level\":\"error\"\x1b[31m\xff\0", 26)}});
    EXPECT_EQ(1, std::count(line.begin(), line.end(), '\n')) << line;
    for (const char c : line) EXPECT_TRUE(c == '\n' || (c >= ' ' && c < '\x7f')) << line;
  }
  Configure("test", Level::kInfo, Format::kJson);
  EXPECT_TRUE(ParseJson(Captured("\"\\\n", {{"k\"", "\\"}})).ok());
}

TEST(Log, AContextComesFirst) {
  Configure("test", Level::kInfo, Format::kJson);
  testing::internal::CaptureStderr();
  Info("m", Context{{"uid", "u"}}, {{"n", "12"}});
  const std::string line = testing::internal::GetCapturedStderr();
  EXPECT_NE(line.find(R"("msg":"m","uid":"u","n":"12"})"), std::string::npos) << line;
}

TEST(Log, CutsLongValuesAndKeepsToTheLevel) {
  Configure("test", Level::kInfo, Format::kJson);
  EXPECT_LT(Captured("m", {{"v", std::string(100'000, 'x')}}).size(), 5000U);
  Configure("test", Level::kWarn, Format::kJson);
  EXPECT_EQ("", Captured("m", {}));
  Configure("test", Level::kInfo, Format::kJson);
}

}  // namespace
}  // namespace envicutor::log
