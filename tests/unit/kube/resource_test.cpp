#include "common/kube/resource.h"

#include <gtest/gtest.h>

#include "common/kube/watch_decoder.h"

namespace envicutor::kube {
namespace {

TEST(ResourceType, Paths) {
  EXPECT_EQ("/api/v1/pods", kPods.Path(""));
  EXPECT_EQ("/api/v1/namespaces/ns/pods/p/log", kPods.Path("ns", "p", "log"));
  EXPECT_EQ("/api/v1/nodes/n", kNodes.Path("ignored", "n"));
  EXPECT_EQ("/apis/envicutor.io/v1alpha1/runtimes/a%2Fb", kRuntimes.Path("", "a/b"));
}

TEST(Metadata, KeysAndReaders) {
  const Json object = {{"metadata", {{"name", "n"}, {"namespace", "ns"}, {"uid", "u"}}}};
  EXPECT_EQ("ns/n", KeyOf(object));
  EXPECT_EQ("n", KeyOf({{"metadata", {{"name", "n"}}}}));
  EXPECT_EQ("u", UidOf(object));
  EXPECT_EQ("", ResourceVersionOf(object));
  EXPECT_EQ("", NameOf("no object"));
}

TEST(Conditions, TransitionTimeChangesWithTheStatusOnly) {
  Json conditions;
  EXPECT_TRUE(SetCondition(&conditions, {"Ready", "False", "Building", "m", 1}, "t1"));
  EXPECT_TRUE(SetCondition(&conditions, {"Ready", "False", "Testing", "m", 2}, "t2"));
  EXPECT_EQ("t1", GetString(conditions[0], "lastTransitionTime"));
  EXPECT_EQ(2, GetInt(conditions[0], "observedGeneration"));
  EXPECT_FALSE(SetCondition(&conditions, {"Ready", "False", "Testing", "m", 2}, "t3"));
  EXPECT_TRUE(SetCondition(&conditions, {"Ready", "True", "Done", "m", 2}, "t4"));
  EXPECT_EQ("t4", GetString(conditions[0], "lastTransitionTime"));
  EXPECT_TRUE(SetCondition(&conditions, {"Built", "True", "Done", "m", 0}, "t5"));
  EXPECT_EQ(2U, conditions.size());
  EXPECT_FALSE(conditions[1].contains("observedGeneration"));
  const Json object = {{"status", {{"conditions", conditions}}}};
  EXPECT_EQ("True", ConditionStatus(object, "Ready"));
  EXPECT_EQ("Unknown", ConditionStatus(object, "None"));
  EXPECT_EQ("Unknown", ConditionStatus(Json::array(), "Ready"));
}

TEST(WatchDecoder, PiecesOfAnySize) {
  const std::string body =
      "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"a\",\"managedFields\":[1]}}}\n\n"
      "{\"type\":\"BOOKMARK\",\"object\":{}}\r\n{\"type\":\"DELETED\",\"object\":{}}\n";
  for (size_t size = 1; size <= body.size(); ++size) {
    std::vector<WatchEvent> events;
    WatchDecoder decoder([&](WatchEvent event) {
      events.push_back(std::move(event));
      return true;
    });
    for (size_t at = 0; at < body.size(); at += size) {
      ASSERT_TRUE(decoder.Feed(std::string_view(body).substr(at, size)));
    }
    ASSERT_EQ(3U, events.size()) << size;
    EXPECT_EQ("a", NameOf(events[0].object));
    EXPECT_FALSE(At(events[0].object, {"metadata"}).contains("managedFields"));
    EXPECT_EQ(WatchEvent::Type::kDeleted, events[2].type);
  }
}

TEST(WatchDecoder, StopsAtWhatItCannotRead) {
  for (const char* line : {"{", "[]", "{\"type\":\"ADDED\"}", "{\"type\":\"NEW\",\"object\":{}}"}) {
    WatchDecoder decoder([](const WatchEvent&) {
      ADD_FAILURE();
      return true;
    });
    EXPECT_FALSE(decoder.Feed(std::string(line) + "\n")) << line;
    EXPECT_EQ(Code::kUnavailable, decoder.status().code()) << line;
  }
}

TEST(WatchDecoder, BoundsOneEvent) {
  WatchDecoder decoder([](const WatchEvent&) { return true; });
  const std::string megabyte(1U << 20U, 'x');
  bool more = true;
  for (int i = 0; i < 17 && more; ++i) more = decoder.Feed(megabyte);
  EXPECT_FALSE(more);
}

}  // namespace
}  // namespace envicutor::kube
