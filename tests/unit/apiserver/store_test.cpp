#include "standalone/apiserver/core/store.h"

#include <gtest/gtest.h>

#include "standalone/apiserver/core/memory_storage.h"

namespace envicutor::standalone {
namespace {

class StoreTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(store_.Load().ok()); }
  WriteOutcome Put(const std::string& key, int value) {
    return store_.Write({"/things",
                         key,
                         store_.GetHead("/things", key),
                         Json{{"metadata", {{"name", key}}}, {"value", value}},
                         {}});
  }
  WriteOutcome Remove(const std::string& key) {
    return store_.Write({"/things", key, store_.GetHead("/things", key), std::nullopt, {}});
  }

  MemoryStorage storage_;
  Store store_{&storage_, 4};
};

TEST_F(StoreTest, RevisionsGrowByOneAndAreInTheObject) {
  const ObjectPtr a = Put("a", 1).object;
  const ObjectPtr b = Put("b", 1).object;
  EXPECT_EQ(b->revision, a->revision + 1);
  EXPECT_EQ(b->json["metadata"]["resourceVersion"], std::to_string(b->revision));
  EXPECT_EQ(Json::parse(b->text), b->json);
}

TEST_F(StoreTest, AWriteFromAStaleObjectConflicts) {
  const ObjectPtr old = Put("a", 1).object;
  Put("a", 2);
  EXPECT_EQ(store_.Write({"/things", "a", old, Json::object(), {}}).kind,
            WriteOutcome::Kind::kConflict);
  EXPECT_EQ(store_.Write({"/things", "a", nullptr, Json::object(), {}}).kind,
            WriteOutcome::Kind::kConflict);
}

TEST_F(StoreTest, AChangedGuardConflicts) {
  const ObjectPtr guard = Put("guard", 1).object;
  Put("guard", 2);
  EXPECT_EQ(
      store_.Write({"/things", "a", nullptr, Json::object(), {{"/things", "guard", guard}}}).kind,
      WriteOutcome::Kind::kConflict);
}

TEST_F(StoreTest, ChangesAreToldInOrderWithWhatWasBefore) {
  const uint64_t start = store_.PublishedRevision();
  Put("a", 1);
  Put("a", 2);
  Remove("a");
  const ChangeBatch batch = store_.ChangesSince("/things", start, 100);
  ASSERT_EQ(batch.changes.size(), 3U);
  EXPECT_EQ(batch.changes[0].type, ChangeType::kAdded);
  EXPECT_EQ(batch.changes[1].type, ChangeType::kModified);
  EXPECT_EQ(batch.changes[1].previous->json["value"], 1);
  EXPECT_EQ(batch.changes[2].type, ChangeType::kDeleted);
  EXPECT_EQ(batch.changes[2].object->json["value"], 2);
  EXPECT_EQ(batch.changes[2].object->json["metadata"]["resourceVersion"],
            std::to_string(store_.PublishedRevision()));
}

TEST_F(StoreTest, ACursorOlderThanTheHistoryExpires) {
  const uint64_t start = store_.PublishedRevision();
  for (int i = 0; i < 5; ++i) Put("a", i);
  EXPECT_TRUE(store_.ChangesSince("/things", start, 100).expired);
  EXPECT_FALSE(store_.ChangesSince("/things", start + 1, 100).expired);
}

TEST_F(StoreTest, TheHistoryIsBoundedInBytesToo) {
  Store store(&storage_, 1'000'000);
  ASSERT_TRUE(store.Load().ok());
  const uint64_t start = store.PublishedRevision();
  const std::string big(1U << 20U, 'x');
  for (size_t i = 0; i <= kMaxHistoryBytes >> 20U; ++i) {
    ASSERT_EQ(store.Write({"/big", "a", store.GetHead("/big", "a"), Json{{"x", big}}, {}}).kind,
              WriteOutcome::Kind::kDone);
  }
  EXPECT_TRUE(store.ChangesSince("/big", start, 1).expired);
}

TEST_F(StoreTest, OldChangesAreTextAndReadLikeNewOnes) {
  Store store(&storage_, 1'000'000);
  ASSERT_TRUE(store.Load().ok());
  const auto put = [&store](int value) {
    return store.Write({"/old", "a", store.GetHead("/old", "a"), Json{{"value", value}}, {}})
        .object;
  };
  const ObjectPtr first = put(0);
  const std::weak_ptr<const Object> kept = put(1);
  const int last = static_cast<int>(kParsedHistoryEvents) + 10;
  for (int i = 2; i <= last; ++i) put(i);
  EXPECT_TRUE(kept.expired());  // its tree is gone
  const ChangeBatch batch = store.ChangesSince("/old", first->revision, 1'000'000);
  ASSERT_EQ(batch.changes.size(), static_cast<size_t>(last));
  for (int i = 1; i <= last; ++i) {
    const Change& change = batch.changes[static_cast<size_t>(i) - 1];
    EXPECT_EQ(change.object->json["value"], i);
    EXPECT_EQ(change.previous->json["value"], i - 1);
    EXPECT_EQ(Json::parse(change.object->text), change.object->json);
  }
  const auto then = store.ListAt("/old", "", first->revision);
  ASSERT_TRUE(then.has_value());
  ASSERT_EQ(then->objects.size(), 1U);
  EXPECT_EQ(then->objects[0]->json, first->json);
}

TEST_F(StoreTest, AnIdleResourcesCursorMovesWithTheRevision) {
  const uint64_t start = store_.PublishedRevision();
  Put("a", 1);
  const ChangeBatch batch = store_.ChangesSince("/others", start, 100);
  EXPECT_TRUE(batch.changes.empty());
  EXPECT_EQ(batch.up_to, store_.PublishedRevision());
}

TEST_F(StoreTest, AnOldSnapshotIsRebuiltFromTheHistory) {
  Put("a", 1);
  Put("b", 1);
  const uint64_t then = store_.PublishedRevision();
  Put("a", 2);
  Remove("b");
  Put("c", 1);
  const auto snapshot = store_.ListAt("/things", "", then);
  ASSERT_TRUE(snapshot);
  ASSERT_EQ(snapshot->objects.size(), 2U);
  EXPECT_EQ(snapshot->objects[0]->json["value"], 1);
  EXPECT_EQ(snapshot->objects[1]->json["metadata"]["name"], "b");
  Put("d", 1);
  Put("e", 1);
  EXPECT_FALSE(store_.ListAt("/things", "", then));
}

TEST_F(StoreTest, AFailedWriteIsNeitherSeenNorInTheWay) {
  Put("a", 1);
  storage_.FailNextFlush(ResourceExhausted("disk full"));
  const WriteOutcome outcome = Put("a", 2);
  EXPECT_EQ(outcome.kind, WriteOutcome::Kind::kFailed);
  EXPECT_EQ(store_.Get("/things", "a")->json["value"], 1);
  EXPECT_EQ(store_.GetHead("/things", "a")->json["value"], 1);
  EXPECT_EQ(Put("a", 3).kind, WriteOutcome::Kind::kDone);
}

TEST_F(StoreTest, AfterARestartWatchesGoOnWhereNothingWasMissed) {
  Put("a", 1);
  const uint64_t things = store_.PublishedRevision();
  ASSERT_EQ(store_.Write({"/others", "x", nullptr, Json::object(), {}}).kind,
            WriteOutcome::Kind::kDone);
  Store again(&storage_, 4);
  ASSERT_TRUE(again.Load().ok());
  EXPECT_EQ(again.PublishedRevision(), things + 1);
  EXPECT_FALSE(again.ChangesSince("/things", things, 10).expired);
  EXPECT_TRUE(again.ChangesSince("/things", things - 1, 10).expired);
  EXPECT_EQ(again.Get("/things", "a")->revision, things);
}

}  // namespace
}  // namespace envicutor::standalone
