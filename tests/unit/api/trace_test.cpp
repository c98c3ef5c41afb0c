#include "common/api/trace.h"

#include <gtest/gtest.h>

namespace envicutor::api {
namespace {

constexpr const char* kUid = "0f8fad5b-d9cb-469f-a165-70867728950e";
constexpr const char* kWished = "4bf92f3577b34da6a3ce929d0e0e4736";

TEST(Trace, TheWishedIdIsTakenInBothForms) {
  EXPECT_EQ(TraceIdFor(kWished, kUid), kWished);
  EXPECT_EQ(TraceIdFor("00-" + std::string(kWished) + "-00f067aa0ba902b7-01", kUid), kWished);
}

TEST(Trace, AnythingElseGivesTheUid) {
  for (const char* bad :
       {"", "4BF92F3577B34DA6A3CE929D0E0E4736", "00000000000000000000000000000000", "4bf92f35",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "4bf92f3577b34da6a3ce929d0e0e4736\n",
        "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}) {
    EXPECT_EQ(TraceIdFor(bad, kUid), "0f8fad5bd9cb469fa16570867728950e") << bad;
  }
  // Self-tests have ids that are no UUIDs.
  EXPECT_EQ(TraceIdFor("", "python3-selftest-1").size(), 32U);
  EXPECT_EQ(TraceIdFor("", "python3-selftest-1"), TraceIdFor("", "python3-selftest-1"));
  EXPECT_NE(TraceIdFor("", "python3-selftest-1"), TraceIdFor("", "python3-selftest-2"));
}

TEST(Trace, GoesThroughAHeaderAndBack) {
  const std::string header = Traceparent(kWished);
  EXPECT_EQ(header.size(), 55U);
  EXPECT_NE(header, Traceparent(kWished));  // a span of its own
  EXPECT_EQ(TraceIdFor(header, kUid), kWished);
}

TEST(Trace, ContextHasAllThatTellsASubmission) {
  RunRequest request;
  request.ns = "contest";
  request.name = "sum";
  request.uid = kUid;
  request.attempt = 2;
  request.trace_id = kWished;
  const log::Context wanted = {{"namespace", "contest"},
                               {"name", "sum"},
                               {"uid", kUid},
                               {"attempt", "2"},
                               {"traceId", kWished}};
  EXPECT_EQ(LogContext(request), wanted);
}

}  // namespace
}  // namespace envicutor::api
