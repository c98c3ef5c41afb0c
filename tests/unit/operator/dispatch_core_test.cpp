#include "operator/dispatch/dispatch_core.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/operator/dispatch_core_fixture.h"
#include "tests/unit/operator/submissions.h"

namespace envicutor::op {
namespace {

using testing::Accepted;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::kMi;
using ::testing::UnorderedElementsAre;

class DispatchCoreTest : public testing::DispatchCoreFixture {};

TEST_F(DispatchCoreTest, ARunWhoseEnvironmentIsOnOneNodeGoesThereAndHoldsUpNobody) {
  core_.AgentFound("e0", "default", "north", false, now_, &out_);
  Connect("e0", 2);
  core_.AgentFound("e1", "default", "south", false, now_, &out_);
  Connect("e1", 1);
  Open();
  SubmitBound("first", "south");
  SubmitBound("second", "south");
  EXPECT_THAT(Out(), ElementsAre("put e1 first"));
  EXPECT_EQ(core_.Load("default").queued, 1);
  EXPECT_NE(core_.Waiting("second")->message.find("on node south"), std::string::npos);
  Submit("anywhere");
  EXPECT_THAT(Out(), ElementsAre("put e0 anywhere"));
  PutOk("e1", "first");
  Result_("e1", Accepted("first"));
  EXPECT_THAT(Out(), ::testing::Contains("put e1 second"));
  EXPECT_EQ(core_.Load("default").queued, 0);
  EXPECT_EQ(core_.NodeFor("default"), "north");
  EXPECT_EQ(core_.NodeFor("other"), "");
}

TEST_F(DispatchCoreTest, ANodeWithoutAnExecutorIsNotWaitedForForEver) {
  Agent("e0", 1);
  Open();
  SubmitBound("lost", "gone");
  Advance(std::chrono::seconds(29));
  Out();
  EXPECT_EQ(ended_["lost"].times, 0);
  Advance(std::chrono::seconds(2));
  Out();
  EXPECT_EQ(ended_["lost"].times, 1);
  EXPECT_TRUE(ended_["lost"].unavailable);
  EXPECT_EQ(core_.Load("default").queued, 0);
  SubmitBound("cancelled", "gone");
  core_.Cancel("cancelled", now_, &out_);
  Out();
  EXPECT_EQ(ended_["cancelled"].code, Code::kCancelled);
}

TEST_F(DispatchCoreTest, PutResultAcknowledge) {
  Agent("e0", 1);
  Open();
  Submit("a");
  Submit("b");
  EXPECT_THAT(Out(), ElementsAre("put e0 a"));
  EXPECT_EQ(core_.Waiting("b")->position, 0);
  PutOk("e0", "a");
  Result_("e0", Accepted("a"));
  EXPECT_THAT(Out(), ElementsAre("put e0 b"));  // the slot is free at once
  EXPECT_EQ(ended_["a"].times, 1);
  EXPECT_EQ(ended_["a"].pod, "e0");
  core_.Acknowledge("a", now_, &out_);
  EXPECT_THAT(Out(), ElementsAre("ack e0 a"));
}

TEST_F(DispatchCoreTest, AcknowledgementsGoTogetherAndAreRepeated) {
  Agent("e0", 3);
  Open();
  for (const char* uid : {"a", "b", "c"}) {
    Submit(uid);
    Result_("e0", Accepted(uid));
    core_.Acknowledge(uid, now_, &out_);
  }
  EXPECT_THAT(Out(), ElementsAre("put e0 a", "ack e0 a", "put e0 b", "put e0 c"));
  core_.AckAnswered("e0", {{"a", 1}}, Unavailable("lost"), now_, &out_);
  EXPECT_THAT(Out(), IsEmpty());
  Advance(std::chrono::seconds(1));
  EXPECT_THAT(Out(), ElementsAre("ack e0 a b c"));
  core_.AckAnswered("e0", {{"a", 1}, {"b", 1}, {"c", 1}}, OkStatus(), now_, &out_);
  EXPECT_THAT(Out(), IsEmpty());
}

TEST_F(DispatchCoreTest, AcknowledgementsOfAMomentShareARequest) {
  DispatchOptions options;
  options.ack_delay = std::chrono::milliseconds(25);
  core_ = DispatchCore(options);
  Agent("x", 3);
  Open();
  for (const char* uid : {"a", "b", "c"}) Submit(uid);
  for (const char* uid : {"a", "b", "c"}) Result_("x", Accepted(uid, 1, ""));
  Out();
  core_.Acknowledge("a", now_, &out_);
  core_.Acknowledge("b", now_, &out_);
  EXPECT_THAT(Out(), IsEmpty());
  EXPECT_EQ(now_ + options.ack_delay, core_.NextDue());
  Advance(options.ack_delay);
  EXPECT_THAT(Out(), ElementsAre("ack x a b"));
  core_.Acknowledge("c", now_, &out_);
  EXPECT_THAT(Out(), IsEmpty()) << "the request is on its way";
  core_.AckAnswered("x", {{"a", 1}, {"b", 1}}, OkStatus(), now_, &out_);
  EXPECT_THAT(Out(), ElementsAre("ack x c"));
}

// An agent that was away comes back to thousands: a request has a bound, and none is left out.
TEST_F(DispatchCoreTest, AcknowledgementsInARequestAreBounded) {
  Agent("e0", 900);
  Open();
  std::vector<RunKey> keys;
  for (int i = 0; i < 900; ++i) keys.push_back({"u" + std::to_string(i), 1});
  for (const RunKey& key : keys) Submit(key.uid);
  for (const RunKey& key : keys) Result_("e0", Accepted(key.uid, 1, ""));
  out_.clear();
  for (const RunKey& key : keys) core_.Acknowledge(key.uid, now_, &out_);
  std::vector<RunKey> told;
  size_t requests = 0;
  while (!out_.empty() && requests < 10) {
    ASSERT_EQ(out_.size(), 1U) << "one request at a time";
    const std::vector<RunKey> now = out_[0].runs;
    out_.clear();
    ++requests;
    EXPECT_LE(now.size(), 500U);
    told.insert(told.end(), now.begin(), now.end());
    core_.AckAnswered("e0", now, OkStatus(), now_, &out_);
  }
  EXPECT_EQ(told, keys);
  EXPECT_EQ(requests, 3U);  // the first went out alone
}

TEST_F(DispatchCoreTest, AReplayedResultIsDeliveredOnce) {
  Agent("e0", 1);
  Open();
  Submit("a");
  Result_("e0", Accepted("a"));
  Result_("e0", Accepted("a"));
  Out();
  EXPECT_EQ(ended_["a"].times, 1);
  core_.Acknowledge("a", now_, &out_);
  Result_("e0", Accepted("a"));  // the agent has not got the acknowledgement yet
  Out();
  EXPECT_EQ(ended_["a"].times, 1);
}

TEST_F(DispatchCoreTest, ALostAnswerToPutIsAskedAgainAtTheSameAgent) {
  Agent("e0", 1);
  Agent("e1", 1);
  Open();
  Submit("a");
  const std::vector<std::string> first = Out();
  ASSERT_EQ(first.size(), 1U);
  core_.PutAnswered("e0", {"a", 1}, Unavailable("closed"), now_, &out_);
  EXPECT_THAT(Out(), IsEmpty());
  Advance(std::chrono::seconds(1));
  EXPECT_EQ(Out(), first);
}

// Its poll failed too: what it was asked is asked again when it answers.
TEST_F(DispatchCoreTest, ASilentExecutorIsNotAskedAgain) {
  Agent("e0", 3);
  Open();
  for (const char* uid : {"a", "b", "c"}) Submit(uid);
  PutOk("e0", "b");
  PutOk("e0", "c");
  core_.Cancel("b", now_, &out_);
  Result_("e0", Accepted("c"));
  core_.Acknowledge("c", now_, &out_);
  Out();
  EXPECT_TRUE(core_.Awaits("e0", {"a", 1}));
  EXPECT_FALSE(core_.Awaits("e0", {"b", 1}));
  core_.AgentSilent("e0", now_, &out_);
  core_.PutAnswered("e0", {"a", 1}, Status(Code::kDeadlineExceeded, "slow"), now_, &out_);
  core_.CancelAnswered("e0", {"b", 1}, Status(Code::kDeadlineExceeded, "slow"), now_, &out_);
  core_.AckAnswered("e0", {{"c", 1}}, Status(Code::kDeadlineExceeded, "slow"), now_, &out_);
  Advance(std::chrono::seconds(2));
  EXPECT_THAT(Out(), IsEmpty());
  EXPECT_THAT(core_.Waiting("a")->message, HasSubstr("handed to executor e0, which has not"));
  EXPECT_FALSE(core_.Waiting("b").has_value());
  core_.AgentPolled("e0", {}, now_, &out_);
  Advance(std::chrono::seconds(1));
  EXPECT_THAT(Out(), UnorderedElementsAre("put e0 a", "cancel e0 b", "ack e0 c"));
}

TEST_F(DispatchCoreTest, RefusedForLackOfRoomGoesBackToTheHead) {
  Agent("e0", 1);
  Open();
  Submit("a");
  Submit("b");
  Out();
  core_.PutAnswered("e0", {"a", 1}, ResourceExhausted("no slot"), now_, &out_);
  EXPECT_THAT(Out(), IsEmpty());
  Advance(std::chrono::milliseconds(50));
  EXPECT_THAT(Out(), ElementsAre("put e0 a"));
}

TEST_F(DispatchCoreTest, DrainingAgentsGetNothing) {
  Agent("e0", 1);
  Agent("e1", 1);
  Open();
  core_.Drain("e0");
  Submit("a");
  Submit("b");
  EXPECT_THAT(Out(), ElementsAre("put e1 a"));
  core_.PutAnswered("e1", {"a", 1}, FailedPrecondition("draining"), now_, &out_);
  EXPECT_THAT(Out(), IsEmpty());
  Agent("e2", 5);
  EXPECT_THAT(Out(), ElementsAre("put e2 a", "put e2 b"));
}

TEST_F(DispatchCoreTest, ADeletedExecutorLosesItsRunsAtOnce) {
  Agent("e0", 2);
  Open();
  Submit("a");
  PutOk("e0", "a");
  core_.AgentGone("e0", "executor e0 was deleted", now_, &out_);
  Out();
  EXPECT_EQ(ended_["a"].times, 1);
  EXPECT_EQ(ended_["a"].code, Code::kUnavailable);
  Submit("a", 2);
  EXPECT_THAT(Out(), IsEmpty());
  EXPECT_TRUE(core_.Waiting("a")->no_capacity);
  Agent("e1", 2);
  EXPECT_THAT(Out(), ElementsAre("put e1 a"));
}

TEST_F(DispatchCoreTest, ASilentExecutorIsGivenABoundedTime) {
  Agent("e0", 1);
  Open();
  Submit("a");
  PutOk("e0", "a");
  core_.AgentSilent("e0", now_, &out_);
  Advance(std::chrono::seconds(4));
  Out();
  EXPECT_EQ(ended_["a"].times, 0);
  Submit("b");
  EXPECT_THAT(Out(), IsEmpty());  // nothing new for one that does not answer
  Advance(std::chrono::seconds(2));
  Out();
  EXPECT_EQ(ended_["a"].code, Code::kUnavailable);
  // It comes back with the run that was given up: the result is dropped and acknowledged.
  Submit("a", 2);
  Connect("e0", 2, {"i1", {{{"a", 1}, true, ""}}});
  EXPECT_THAT(Out(), ElementsAre("put e0 b"));
  Result_("e0", Accepted("a", 1));
  EXPECT_THAT(Out(), ElementsAre("ack e0 a", "put e0 a"));
  EXPECT_EQ(ended_["a"].times, 1);
}

TEST_F(DispatchCoreTest, ABlinkOfSilenceLosesNothing) {
  Agent("e0", 1);
  Open();
  Submit("a");
  PutOk("e0", "a");
  core_.AgentSilent("e0", now_, &out_);
  Advance(std::chrono::seconds(2));
  Connect("e0", 1, {"i1", {{{"a", 1}, false, "run"}}});
  Advance(std::chrono::seconds(60));
  Result_("e0", Accepted("a"));
  Out();
  EXPECT_EQ(ended_["a"].times, 1);
  EXPECT_EQ(ended_["a"].code, Code::kOk);
}

TEST_F(DispatchCoreTest, ARestartedAgentThatForgotARunLosesIt) {
  Agent("e0", 2);
  Open();
  Submit("a");
  Submit("b");
  PutOk("e0", "a");
  PutOk("e0", "b");
  Out();
  now_ += std::chrono::seconds(1);
  Connect("e0", 2, {"i2", {{{"b", 1}, false, "run"}}}, "i2");
  Out();
  EXPECT_EQ(ended_["a"].code, Code::kUnavailable);
  EXPECT_EQ(ended_["a"].times, 1);
  EXPECT_EQ(ended_["b"].times, 0);
}

TEST_F(DispatchCoreTest, NothingStartsBeforeTheAgentsSaidWhatTheyHold) {
  core_.AgentFound("e0", "default", "node", false, now_, &out_);
  Open();
  Submit("held");
  Submit("done");
  Submit("new");
  EXPECT_THAT(Out(), IsEmpty());
  Connect("e0", 2, {"i1", {{{"held", 1}, false, "run"}, {{"done", 1}, true, ""}}});
  Result_("e0", Accepted("done"));
  EXPECT_THAT(Out(), ElementsAre("put e0 new"));
  EXPECT_EQ(ended_["done"].times, 1);
  Result_("e0", Accepted("held"));
  Out();
  EXPECT_EQ(ended_["held"].times, 1);
}

TEST_F(DispatchCoreTest, WhatAgentsHoldIsAdoptedWhenItIsAskedForLater) {
  Open();
  Agent("e0", 4, {"i1", {{{"running", 1}, false, "run"}}});
  Result_("e0", Accepted("done"));
  Submit("done");
  Submit("running");
  EXPECT_THAT(Out(), IsEmpty());
  EXPECT_EQ(ended_["done"].times, 1);
  Result_("e0", Accepted("running"));
  Out();
  EXPECT_EQ(ended_["running"].times, 1);
}

TEST_F(DispatchCoreTest, WhatNobodyAsksForIsDroppedInTheEnd) {
  Open();
  Agent("e0", 4, {"i1", {{{"running", 1}, false, "run"}}});
  Result_("e0", Accepted("done"));
  Advance(std::chrono::seconds(61));
  EXPECT_THAT(Out(), ::testing::UnorderedElementsAre("cancel e0 running", "ack e0 done"));
}

TEST_F(DispatchCoreTest, AnAgentThatDoesNotAnswerAtStartIsNotWaitedForLong) {
  core_.AgentFound("e0", "default", "node", false, now_, &out_);
  Agent("e1", 1);
  Open();
  Submit("a");
  EXPECT_THAT(Out(), IsEmpty());
  EXPECT_EQ(core_.NextDue(), now_ + std::chrono::seconds(5));
  Advance(std::chrono::seconds(5));
  EXPECT_THAT(Out(), ElementsAre("put e1 a"));
}

TEST_F(DispatchCoreTest, CancelQueuedAndRunning) {
  Agent("e0", 1);
  Open();
  Submit("a");
  Submit("b");
  PutOk("e0", "a");
  Out();
  core_.Cancel("b", now_, &out_);
  core_.Cancel("a", now_, &out_);
  EXPECT_THAT(Out(), ElementsAre("cancel e0 a"));
  EXPECT_EQ(ended_["b"].code, Code::kCancelled);
  core_.CancelAnswered("e0", {"a", 1}, Unavailable("lost"), now_, &out_);
  Advance(std::chrono::seconds(1));
  EXPECT_THAT(Out(), ElementsAre("cancel e0 a"));
  core_.CancelAnswered("e0", {"a", 1}, NotFound("unknown"), now_, &out_);
  Out();
  EXPECT_EQ(ended_["a"].code, Code::kCancelled);
}

TEST_F(DispatchCoreTest, BoundsOfTheQueue) {
  DispatchOptions options;
  options.queue_max = 3;
  options.namespace_max = 2;
  core_ = DispatchCore(options);
  Open();
  Submit("1");
  Submit("2");
  Submit("3");
  Submit("4", 1, kMi, "b");
  Submit("5", 1, kMi, "b");
  Out();
  EXPECT_EQ(ended_["3"].code, Code::kResourceExhausted);  // its namespace is full
  EXPECT_EQ(ended_["4"].times, 0);
  EXPECT_EQ(ended_["5"].code, Code::kResourceExhausted);  // all is full
}

// Those that wait were there before this operator, and an executor that is late may have one.
TEST_F(DispatchCoreTest, BoundsOfTheQueueAreNotForWhatWasAdmittedBefore) {
  DispatchOptions options;
  options.queue_max = 1;
  core_ = DispatchCore(options);
  core_.AgentFound("e0", "default", "node", false, now_, &out_);
  core_.AgentsListed(now_, &out_);
  for (const char* uid : {"1", "2", "3"}) Submit(uid);
  Connect("e0", 1, {"i1", {{{"3", 1}, false, "run"}}});
  Out();
  EXPECT_EQ(ended_.size(), 0U);
  Result_("e0", Accepted("3"));
  Out();
  EXPECT_EQ(ended_["3"].code, Code::kOk);
  Submit("4");  // new
  Submit("5", 2);
  Submit("6", 1, kMi, "a", true);
  Out();
  EXPECT_EQ(ended_["4"].code, Code::kResourceExhausted);
  EXPECT_EQ(ended_["5"].times, 0);
  EXPECT_EQ(ended_["6"].times, 0);
}

TEST_F(DispatchCoreTest, TooLargeForEveryExecutorSaysSoAndWaits) {
  Agent("e0", 2);
  Open();
  Submit("huge", 1, 4000 * kMi);
  Submit("small");
  EXPECT_THAT(Out(), ElementsAre("put e0 small"));
  const RunWait wait = core_.Waiting("huge").value();
  EXPECT_TRUE(wait.no_capacity);
  EXPECT_EQ(wait.message,
            "it needs 4000Mi of memory; the largest executor of pool default has 1000Mi");
  core_.Cancel("huge", now_, &out_);
  Out();
  EXPECT_EQ(ended_["huge"].code, Code::kCancelled);
  EXPECT_EQ(core_.Load("default").queued, 0);
}

TEST_F(DispatchCoreTest, ANamespaceHasNoMoreOnExecutorsThanItMay) {
  DispatchOptions options;
  options.in_flight = {2, {{"b", 1}}};
  core_ = DispatchCore(options);
  Agent("e0", 8);
  Open();
  for (const char* uid : {"a1", "a2", "a3"}) Submit(uid);
  for (const char* uid : {"b1", "b2"}) Submit(uid, 1, kMi, "b");
  EXPECT_THAT(Out(), ElementsAre("put e0 a1", "put e0 a2", "put e0 b1"));
  const RunWait wait = core_.Waiting("a3").value();
  EXPECT_FALSE(wait.no_capacity);
  EXPECT_EQ(
      wait.message,
      "0 ahead of it in pool default; namespace a has 2 submissions on executors, the most it may");
  PutOk("e0", "a1");
  PutOk("e0", "b1");
  Result_("e0", Accepted("a1"));
  EXPECT_THAT(Out(), ElementsAre("put e0 a3"));

  // Refused by the executor: it is not in flight, and its place is its own again.
  core_.PutAnswered("e0", {"a3", 1}, ResourceExhausted("full"), now_, &out_);
  core_.Tick(now_ + std::chrono::seconds(1), &out_);
  now_ += std::chrono::seconds(1);
  EXPECT_THAT(Out(), ElementsAre("put e0 a3"));

  // New bounds count at once.
  options.in_flight = {2, {}};
  core_.SetBounds(options, now_, &out_);
  EXPECT_THAT(Out(), ElementsAre("put e0 b2"));
}

TEST_F(DispatchCoreTest, ALostExecutorGivesItsNamespacesRoomBack) {
  DispatchOptions options;
  options.in_flight = {1, {}};
  core_ = DispatchCore(options);
  Agent("e0", 1);
  Open();
  Submit("1");
  Agent("e1", 1);
  Submit("2");
  EXPECT_THAT(Out(), ElementsAre("put e0 1"));
  core_.AgentGone("e0", "its node is gone", now_, &out_);
  EXPECT_THAT(Out(), ElementsAre("put e1 2"));
}

TEST_F(DispatchCoreTest, AdoptedRunsCountAsInFlight) {
  DispatchOptions options;
  options.in_flight = {1, {}};
  core_ = DispatchCore(options);
  HeldRuns held;
  held.runs.push_back({{"1", 1}, false, "run"});
  Agent("e0", 4, held);
  Open();
  Submit("1");
  Submit("2");
  EXPECT_THAT(Out(), IsEmpty());
  Result_("e0", Accepted("1"));
  EXPECT_THAT(Out(), ElementsAre("put e0 2"));
}

}  // namespace
}  // namespace envicutor::op
