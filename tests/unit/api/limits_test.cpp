#include "common/api/limits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace envicutor::api {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

Limits Make(std::initializer_list<std::pair<Limit, int64_t>> values) {
  Limits limits;
  for (const auto& [limit, value] : values) limits.Set(limit, value);
  return limits;
}

TEST(ParseLimits, ReadsStringsAndNumbers) {
  std::vector<std::string> errors;
  const Limits limits = ParseLimits(
      Json::parse(R"({"cpuTime": 0.5, "extraTime": "0ms", "wallTime": 10, "memory": "262144Ki",
                      "maxProcesses": 64, "maxOpenFiles": "256", "maxStdout": 65536, "stack": null})"),
      "run.limits", &errors);
  EXPECT_THAT(errors, IsEmpty());
  EXPECT_EQ(limits, Make({{Limit::kCpuTime, 500},
                          {Limit::kExtraTime, 0},
                          {Limit::kWallTime, 10'000},
                          {Limit::kMemory, 268435456},
                          {Limit::kMaxProcesses, 64},
                          {Limit::kMaxOpenFiles, 256},
                          {Limit::kMaxStdout, 65536}}));
}

TEST(ParseLimits, ListsEveryMistakeWithItsPath) {
  std::vector<std::string> errors;
  static_cast<void>(ParseLimits(
      Json::parse(
          R"({"memory": "12Qi", "wallTime": "-1s", "maxProcesses": 0, "wallTme": "1s", "stack": true,
                      "maxOpenFiles": "many"})"),
      "run.limits", &errors));
  EXPECT_THAT(errors,
              UnorderedElementsAre(
                  "run.limits.memory: \"12Qi\" is not a quantity (examples: 256Mi, 1G, 4096)",
                  "run.limits.wallTime: \"-1s\" must not be negative",
                  "run.limits.maxProcesses: 0 is less than the minimum 1",
                  "run.limits.wallTme: there is no such limit",
                  "run.limits.stack: must be a quantity (examples: 256Mi, 1G, 4096)",
                  "run.limits.maxOpenFiles: \"many\" is not a whole number"));
}

TEST(ParseLimits, AbsentIsEmptyAndAnotherTypeIsAMistake) {
  std::vector<std::string> errors;
  EXPECT_EQ(ParseLimits(Json(), "x", &errors), Limits());
  EXPECT_THAT(errors, IsEmpty());
  EXPECT_EQ(ParseLimits(Json::array(), "compile.limits", &errors), Limits());
  EXPECT_THAT(errors, ElementsAre("compile.limits: must be an object"));
}

TEST(ResolveLimits, TheStrongestWins) {
  std::vector<std::string> errors;
  const Limits resolved = ResolveLimits(
      {Make({{Limit::kCpuTime, 1}}), Make({{Limit::kCpuTime, 2}, {Limit::kMemory, 3}}),
       Make({{Limit::kCpuTime, 4}, {Limit::kMemory, 5}, {Limit::kStack, 6}})},
      {}, "run.limits", &errors);
  EXPECT_EQ(resolved, Make({{Limit::kCpuTime, 1}, {Limit::kMemory, 3}, {Limit::kStack, 6}}));
  EXPECT_THAT(errors, IsEmpty());
}

TEST(ResolveLimits, ListsEveryViolationInTheWordsOfTheContract) {
  std::vector<std::string> errors;
  static_cast<void>(
      ResolveLimits({Make({{Limit::kWallTime, 120'000},
                           {Limit::kMemory, int64_t{2} << 30},
                           {Limit::kCpuTime, 1500}}),
                     Limits()},
                    {Make({{Limit::kWallTime, 90'000}, {Limit::kCpuTime, 1000}}),
                     Make({{Limit::kWallTime, 60'000}, {Limit::kMemory, int64_t{1} << 30}})},
                    "run.limits", &errors));
  EXPECT_THAT(errors,
              UnorderedElementsAre("run.limits.wallTime: 120s is more than the maximum 60s",
                                   "run.limits.memory: 2Gi is more than the maximum 1Gi",
                                   "run.limits.cpuTime: 1500ms is more than the maximum 1s"));
}

TEST(ResolveLimits, ADefaultNobodyAskedForIsLowered) {
  std::vector<std::string> errors;
  const Limits resolved = ResolveLimits({Limits(), Make({{Limit::kMemory, 100}})},
                                        {Make({{Limit::kMemory, 50}})}, "run.limits", &errors);
  EXPECT_EQ(resolved.Value(Limit::kMemory), 50);
  EXPECT_THAT(errors, IsEmpty());
  // Alone it is what was asked for.
  static_cast<void>(
      ResolveLimits({Make({{Limit::kMemory, 100}})}, {Make({{Limit::kMemory, 50}})}, "l", &errors));
  EXPECT_THAT(errors, ElementsAre("l.memory: 100 is more than the maximum 50"));
}

TEST(Limits, WireFormKeepsEveryValue) {
  Limits limits;
  for (size_t i = 0; i < kLimitCount; ++i)
    limits.Set(static_cast<Limit>(i), static_cast<int64_t>(i) + 1);
  const Result<Limits> back = LimitsFromJson(LimitsToJson(limits));
  ASSERT_TRUE(back.ok()) << back.status().ToString();
  EXPECT_EQ(*back, limits);
  EXPECT_FALSE(LimitsFromJson(Json::parse(R"({"memory": -5})")).ok());
  EXPECT_FALSE(LimitsFromJson(Json::parse(R"({"memory": "5"})")).ok());
  EXPECT_FALSE(LimitsFromJson(Json::parse(R"({"memory": 18446744073709551615})")).ok());
  EXPECT_FALSE(LimitsFromJson(Json::parse("[]")).ok());
}

}  // namespace
}  // namespace envicutor::api
