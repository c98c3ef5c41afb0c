// Runs and results that agents hold and that this operator did not send there.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/operator/dispatch_core_fixture.h"
#include "tests/unit/operator/submissions.h"

namespace envicutor::op {
namespace {

using testing::Accepted;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class DispatchUnclaimedTest : public testing::DispatchCoreFixture {};

// A deposed operator and its successor sent the same attempt to two executors.
TEST_F(DispatchUnclaimedTest, EachOfSeveralRunsOfAUidIsAccountedFor) {
  const HeldRuns held{"i1", {{{"u", 1}, true, ""}}};
  Agent("e0", 2, held);
  Agent("e1", 2, held);
  Agent("e2", 2, {"i1", {{{"u", 1}, false, "run"}, {{"u", 2}, true, ""}}});
  Open();
  EXPECT_EQ(core_.Load("default").busy, 4);
  Result_("e0", Accepted("u"));
  Result_("e1", Accepted("u"));
  Result_("e2", Accepted("u", 2));
  EXPECT_EQ(core_.Load("default").busy, 1);
  Advance(DispatchOptions{}.unclaimed_grace);
  EXPECT_THAT(Out(), UnorderedElementsAre("ack e0 u", "ack e1 u", "ack e2 u", "cancel e2 u"));
  EXPECT_EQ(core_.Load("default").busy, 0);
}

TEST_F(DispatchUnclaimedTest, OfSeveralRunsOfAUidTheBestIsClaimed) {
  Agent("e0", 2, {"i1", {{{"u", 1}, false, "run"}}});
  Agent("e1", 2, {"i1", {{{"u", 1}, true, ""}}});
  Agent("e2", 2, {"i1", {{{"u", 1}, true, ""}}});
  Open();
  Result_("e1", Accepted("u"));
  api::RunResult stopped = Accepted("u");
  stopped.cancelled = true;
  Result_("e2", stopped);
  Submit("u");
  EXPECT_THAT(Out(), UnorderedElementsAre("cancel e0 u", "ack e2 u"));
  EXPECT_EQ(ended_["u"].pod, "e1");
  EXPECT_EQ(ended_["u"].times, 1);
}

// It may be what the operator that has the lease now waits for.
TEST_F(DispatchUnclaimedTest, AResultOfAnotherOperatorsRunIsKeptUntilOursIsRecorded) {
  Agent("e0", 1);
  Agent("e1", 1);
  Open();
  Submit("u");
  EXPECT_THAT(Out(), ElementsAre("put e0 u"));
  PutOk("e0", "u");
  Result_("e1", Accepted("u"));
  EXPECT_THAT(Out(), IsEmpty());
  Result_("e0", Accepted("u"));
  EXPECT_THAT(Out(), IsEmpty());
  core_.Acknowledge("u", now_, &out_);
  EXPECT_THAT(Out(), ElementsAre("ack e0 u", "ack e1 u"));
}

TEST_F(DispatchUnclaimedTest, AnUnclaimedRunThatDiedWithItsAgentIsNotAdopted) {
  Agent("e0", 1, {"i1", {{{"u", 1}, false, "run"}}});
  Open();
  Connect("e0", 1, {}, "i2");
  EXPECT_EQ(core_.Load("default").busy, 0);
  Submit("u");
  EXPECT_THAT(Out(), ElementsAre("put e0 u"));
}

// The cancel of a stray is on its way when the same attempt is asked for.
TEST_F(DispatchUnclaimedTest, AnAnswerToACancelOfAStrayCancelsNothing) {
  Agent("e0", 1, {"i1", {{{"u", 1}, false, "run"}}});
  Open();
  core_.Cancel("u", now_, &out_);
  EXPECT_THAT(Out(), ElementsAre("cancel e0 u"));
  Submit("u");
  EXPECT_THAT(Out(), ElementsAre("put e0 u"));
  PutOk("e0", "u");
  core_.CancelAnswered("e0", {"u", 1}, NotFound("unknown run"), now_, &out_);
  core_.CancelAnswered("e0", {"u", 1}, Unavailable("the answer was lost"), now_, &out_);
  Advance(std::chrono::seconds(1));
  EXPECT_THAT(Out(), IsEmpty());
  EXPECT_EQ(ended_["u"].times, 0);
}

}  // namespace
}  // namespace envicutor::op
