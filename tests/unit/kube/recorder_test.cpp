#include "common/kube/recorder.h"

#include <gtest/gtest.h>

#include "tests/unit/kube/scripted_api.h"

namespace envicutor::kube {
namespace {

const Json kObject = {
    {"apiVersion", "envicutor.io/v1alpha1"},
    {"kind", "Submission"},
    {"metadata", {{"name", "s"}, {"namespace", "ns"}, {"uid", "u1"}, {"resourceVersion", "7"}}}};

class Recorder : public testing::Test {
 protected:
  Json LastBody() { return Json::parse(api_.Requests().back().body); }
  FakeClock clock_;
  ScriptedApi api_;
  std::unique_ptr<Client> client_ = api_.NewClient();
  std::unique_ptr<EventRecorder> recorder_ = NewEventRecorder(*client_, "operator", &clock_);
};

TEST_F(Recorder, WritesAnEventInTheObjectsNamespace) {
  recorder_->Record(kObject, "Warning", "NoCapacity", "no executor has 4 slots");
  ASSERT_TRUE(api_.WaitFor("create", 1));
  EXPECT_EQ("/api/v1/namespaces/ns/events", api_.Requests().back().path);
  const Json event = LastBody();
  EXPECT_EQ("Submission", GetString(At(event, {"involvedObject"}), "kind"));
  EXPECT_EQ("u1", GetString(At(event, {"involvedObject"}), "uid"));
  EXPECT_EQ("ns", GetString(At(event, {"involvedObject"}), "namespace"));
  EXPECT_EQ("Warning", GetString(event, "type"));
  EXPECT_EQ("NoCapacity", GetString(event, "reason"));
  EXPECT_EQ("2026-01-01T00:00:00Z", GetString(event, "lastTimestamp"));
  EXPECT_TRUE(NameOf(event).starts_with("s."));
}

TEST_F(Recorder, CountsTheSameEventWithinTenMinutes) {
  recorder_->Record(kObject, "Normal", "Built", "done");
  ASSERT_TRUE(api_.WaitFor("create", 1));
  clock_.Advance(std::chrono::minutes(9));
  recorder_->Record(kObject, "Normal", "Built", "done");
  ASSERT_TRUE(api_.WaitFor("patch", 1));
  EXPECT_EQ(2, GetInt(LastBody(), "count"));
  EXPECT_EQ("2026-01-01T00:09:00Z", GetString(LastBody(), "lastTimestamp"));
  clock_.Advance(std::chrono::minutes(11));
  recorder_->Record(kObject, "Normal", "Built", "done");
  EXPECT_TRUE(api_.WaitFor("create", 2));
}

TEST_F(Recorder, BeginsAgainWhenTheEventHasExpired) {
  recorder_->Record(kObject, "Normal", "Built", "done");
  ASSERT_TRUE(api_.WaitFor("create", 1));
  api_.Remove(NameOf(LastBody()));
  clock_.Advance(std::chrono::minutes(1));
  recorder_->Record(kObject, "Normal", "Built", "done");
  EXPECT_TRUE(api_.WaitFor("create", 2));
}

TEST_F(Recorder, OneObjectCannotFloodTheApi) {
  for (int i = 0; i < 200; ++i) {
    recorder_->Record(kObject, "Normal", "Built", "message " + std::to_string(i));
  }
  Json other = kObject;
  other["metadata"]["uid"] = "u2";
  other["metadata"]["name"] = "other";
  recorder_->Record(other, "Normal", "Built", "heard all the same");
  ASSERT_TRUE(api_.WaitFor("create", 11));
  EXPECT_EQ(11, api_.Count("create"));
  EXPECT_TRUE(NameOf(LastBody()).starts_with("other."));
}

TEST_F(Recorder, ClusterScopedObjectsHaveTheirEventsInDefaultAndLongMessagesAreCut) {
  Json runtime = kObject;
  runtime["metadata"].erase("namespace");
  runtime["metadata"]["name"] = std::string(253, 'n');
  recorder_->Record(runtime, "Normal", "Built", std::string(5000, 'm') + "\xff");
  ASSERT_TRUE(api_.WaitFor("create", 1));
  EXPECT_EQ("/api/v1/namespaces/default/events", api_.Requests().back().path);
  EXPECT_FALSE(At(LastBody(), {"involvedObject"}).contains("namespace"));
  EXPECT_EQ(1024U, GetString(LastBody(), "message").size());
  EXPECT_LE(NameOf(LastBody()).size(), 253U);
}

TEST_F(Recorder, NeverBlocksAndEndsWhileTheApiIsGone) {
  api_.Stop();
  for (int i = 0; i < 5000; ++i) recorder_->Record(kObject, "Normal", "R", std::to_string(i));
  recorder_.reset();
}

}  // namespace
}  // namespace envicutor::kube
