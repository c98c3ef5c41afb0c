#include "common/base/clock.h"

#include <gtest/gtest.h>

#include <array>
#include <ctime>
#include <random>

#include "common/base/backoff.h"

namespace envicutor {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(FakeClock, MovesOnlyWhenTold) {
  FakeClock clock;
  const SteadyTime steady = clock.Now();
  EXPECT_EQ("2026-01-01T00:00:00Z", FormatRfc3339(clock.WallNow()));
  clock.Advance(milliseconds(1500));
  EXPECT_EQ(steady + milliseconds(1500), clock.Now());
  EXPECT_EQ("2026-01-01T00:00:01Z", FormatRfc3339(clock.WallNow()));
  EXPECT_EQ("2026-01-01T00:00:01.500000Z", FormatRfc3339Micro(clock.WallNow()));
}

TEST(Rfc3339, RoundTrips) {
  for (const char* text : {"1970-01-01T00:00:00.000000Z", "2024-02-29T23:59:59.999999Z",
                           "1969-12-31T23:59:59.000001Z", "2261-12-31T00:00:00.000000Z"}) {
    const auto time = ParseRfc3339(text);
    ASSERT_TRUE(time.ok()) << text;
    EXPECT_EQ(text, FormatRfc3339Micro(*time));
  }
}

TEST(Rfc3339, IsWhatTheCLibraryWrites) {
  std::mt19937_64 random(1);
  // Of all times that fit: the years 1678 to 2261.
  std::uniform_int_distribution<int64_t> any(-9'214'560'000, 9'214'646'399);
  for (int i = 0; i < 20'000; ++i) {
    const std::time_t second = any(random);
    std::tm parts{};
    gmtime_r(&second, &parts);
    std::array<char, 32> expected{};
    std::strftime(expected.data(), expected.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
    ASSERT_EQ(expected.data(), FormatRfc3339(WallTime(seconds(second))));
    ASSERT_EQ(expected.data(), FormatRfc3339(WallTime(seconds(second) + Duration(999'999'999))));
  }
}

TEST(Rfc3339, OffsetsAndFractions) {
  const WallTime noon = *ParseRfc3339("2026-01-01T12:00:00Z");
  EXPECT_EQ(noon, *ParseRfc3339("2026-01-01T14:30:00+02:30"));
  EXPECT_EQ(noon, *ParseRfc3339("2026-01-01T09:00:00-03:00"));
  EXPECT_EQ(noon, *ParseRfc3339("2026-01-01t12:00:00z"));
  EXPECT_EQ(noon + Duration(1), *ParseRfc3339("2026-01-01T12:00:00.000000001Z"));
  EXPECT_EQ(noon + milliseconds(250), *ParseRfc3339("2026-01-01T12:00:00.25+00:00"));
  EXPECT_EQ(noon, *ParseRfc3339("2026-01-01T12:00:00.0000000000001Z")) << "below a nanosecond";
}

TEST(Rfc3339, RefusesTheRest) {
  for (const char* bad : {"",
                          "2026-01-01",
                          "2026-01-01T12:00:00",
                          "2026-1-1T12:00:00Z0000",
                          "2026-02-30T00:00:00Z",
                          "2026-13-01T00:00:00Z",
                          "2026-00-01T00:00:00Z",
                          "2026-01-01T24:00:00Z",
                          "2026-01-01T12:60:00Z",
                          "2026-01-01T12:00:61Z",
                          "2026-01-01T12:00:00.Z",
                          "2026-01-01T12:00:00ZZ",
                          "2026-01-01T12:00:00+2:00",
                          "2026-01-01T12:00:00+02:60",
                          "2026-01-01T12:00:00 Z",
                          "-026-01-01T12:00:00Z",
                          "2026-01-01T12:00:00+0200",
                          "9999-12-31T00:00:00Z",
                          "0000-01-01T00:00:00Z",
                          "2026-01-01T12:00:00+ 2:00"}) {
    EXPECT_EQ(Code::kInvalidArgument, ParseRfc3339(bad).status().code()) << bad;
  }
  EXPECT_FALSE(ParseRfc3339(std::string(1000, '9')).ok());
}

TEST(Backoff, DoublesUpToTheMaximumWithJitter) {
  Backoff backoff(milliseconds(800), seconds(30), 42);
  Duration expected = milliseconds(800);
  for (int i = 0; i < 200; ++i) {
    const Duration delay = backoff.Next();
    EXPECT_GE(delay, expected / 2);
    EXPECT_LE(delay, expected + expected / 2);
    expected = std::min<Duration>(expected * 2, seconds(30));
  }
  backoff.Reset();
  EXPECT_LE(backoff.Next(), milliseconds(1200));
}

TEST(Backoff, LongBaseDoesNotOverflow) {
  Backoff backoff(std::chrono::hours(1), std::chrono::hours(24), 1);
  for (int i = 0; i < 100; ++i) {
    const Duration delay = backoff.Next();
    EXPECT_GT(delay, Duration::zero());
    EXPECT_LE(delay, std::chrono::hours(36));
  }
}

}  // namespace
}  // namespace envicutor
