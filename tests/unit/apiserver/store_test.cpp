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
                         DraftObject({{"metadata", {{"name", key}}}, {"value", value}}),
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
  EXPECT_EQ(b->Tree().Copy()["metadata"]["resourceVersion"], std::to_string(b->revision));
  EXPECT_EQ(Json::parse(b->Text()), b->Tree().Copy());
}

TEST_F(StoreTest, AWriteFromAStaleObjectConflicts) {
  const ObjectPtr old = Put("a", 1).object;
  Put("a", 2);
  EXPECT_EQ(store_.Write({"/things", "a", old, DraftObject(Json::object()), {}}).kind,
            WriteOutcome::Kind::kConflict);
  EXPECT_EQ(store_.Write({"/things", "a", nullptr, DraftObject(Json::object()), {}}).kind,
            WriteOutcome::Kind::kConflict);
}

TEST_F(StoreTest, AChangedGuardConflicts) {
  const ObjectPtr guard = Put("guard", 1).object;
  Put("guard", 2);
  EXPECT_EQ(
      store_
          .Write(
              {"/things", "a", nullptr, DraftObject(Json::object()), {{"/things", "guard", guard}}})
          .kind,
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
  EXPECT_EQ(batch.changes[1].previous->Tree().Copy()["value"], 1);
  EXPECT_EQ(batch.changes[2].type, ChangeType::kDeleted);
  EXPECT_EQ(batch.changes[2].object->Tree().Copy()["value"], 2);
  EXPECT_EQ(batch.changes[2].object->Tree().Copy()["metadata"]["resourceVersion"],
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
    ASSERT_EQ(
        store.Write({"/big", "a", store.GetHead("/big", "a"), DraftObject({{"x", big}}), {}}).kind,
        WriteOutcome::Kind::kDone);
  }
  EXPECT_TRUE(store.ChangesSince("/big", start, 1).expired);
}

TEST_F(StoreTest, OldChangesAreTextAndReadLikeNewOnes) {
  Store store(&storage_, 1'000'000);
  ASSERT_TRUE(store.Load().ok());
  const auto put = [&store](int value) {
    return store
        .Write({"/old", "a", store.GetHead("/old", "a"), DraftObject({{"value", value}}), {}})
        .object;
  };
  const ObjectPtr first = put(0);
  EXPECT_TRUE(first->HasTree());
  const int last = static_cast<int>(kMaxTrees) + 10;
  for (int i = 1; i <= last; ++i) put(i);
  EXPECT_FALSE(first->HasTree());
  EXPECT_TRUE(store.Get("/old", "a")->HasTree());  // a status comes soon
  const ChangeBatch batch = store.ChangesSince("/old", first->revision, 1'000'000);
  ASSERT_EQ(batch.changes.size(), static_cast<size_t>(last));
  for (int i = 1; i <= last; ++i) {
    const Change& change = batch.changes[static_cast<size_t>(i) - 1];
    EXPECT_EQ(change.object->Tree().Copy()["value"], i);
    EXPECT_EQ(change.previous->Tree().Copy()["value"], i - 1);
    EXPECT_EQ(Json::parse(change.object->Text()), change.object->Tree().Copy());
  }
  const auto then = store.ListAt("/old", "", first->revision);
  ASSERT_TRUE(then.has_value());
  ASSERT_EQ(then->objects.size(), 1U);
  EXPECT_EQ(then->objects[0]->Tree().Copy(), first->Tree().Copy());
}

TEST_F(StoreTest, AnObjectTakesLittleMoreThanItsText) {
  Json spec = Json::object();
  for (int i = 0; i < 100; ++i) spec["member" + std::to_string(i)] = {{"a", i}, {"b", "text"}};
  const auto put = [&](int i) {
    const std::string key = std::to_string(i);
    return store_
        .Write({"/many",
                key,
                nullptr,
                DraftObject({{"metadata", {{"name", key}}}, {"spec", spec}}),
                {}})
        .object;
  };
  constexpr int kNewer = 1000;
  const size_t text = put(0)->TextBytes();
  for (int i = 1; i <= kNewer; ++i) put(i);
  constexpr size_t kAround = 512;
  EXPECT_LT(store_.Get("/many", "0")->HeldBytes(), text + kAround);
  // All but the newest, which are as many whatever the number of all.
  size_t trees = 0;
  for (const ObjectPtr& object : store_.List("/many", "").objects) trees += object->HasTree();
  EXPECT_EQ(trees, kMaxTrees);
  EXPECT_LT(store_.HeldBytes(), (kNewer + 1) * (text + kAround) + kMaxTrees * 20 * text);
}

TEST_F(StoreTest, TreesOfLongTextsAreFewer) {
  const std::string big(1U << 20U, 'x');
  for (int i = 0; i < 10; ++i) {
    const std::string key = std::to_string(i);
    ASSERT_EQ(store_.Write({"/big", key, nullptr, DraftObject({{"x", big}}), {}}).kind,
              WriteOutcome::Kind::kDone);
  }
  size_t trees = 0;
  for (const ObjectPtr& object : store_.List("/big", "").objects) trees += object->HasTree();
  EXPECT_LE(trees, kMaxTreesTextBytes >> 20U);
  EXPECT_GE(trees, 1U);
}

TEST_F(StoreTest, ADeletionsLastStateSharesTheText) {
  const ObjectPtr put = Put("a", 1).object;
  const ObjectPtr gone = Remove("a").object;
  EXPECT_EQ(gone->HeldBytes(), put->AtRevision(1)->HeldBytes());
  EXPECT_FALSE(gone->HasTree());
  Json same = put->Tree().Copy();
  same["metadata"]["resourceVersion"] = std::to_string(gone->revision);
  EXPECT_EQ(Json::parse(gone->Text()), same);
  EXPECT_EQ(gone->Tree().Copy(), same);
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
  EXPECT_EQ(snapshot->objects[0]->Tree().Copy()["value"], 1);
  EXPECT_EQ(snapshot->objects[1]->Tree().Copy()["metadata"]["name"], "b");
  Put("d", 1);
  Put("e", 1);
  EXPECT_FALSE(store_.ListAt("/things", "", then));
}

TEST_F(StoreTest, AFailedWriteIsNeitherSeenNorInTheWay) {
  Put("a", 1);
  storage_.FailNextFlush(ResourceExhausted("disk full"));
  const WriteOutcome outcome = Put("a", 2);
  EXPECT_EQ(outcome.kind, WriteOutcome::Kind::kFailed);
  EXPECT_EQ(store_.Get("/things", "a")->Tree().Copy()["value"], 1);
  EXPECT_EQ(store_.GetHead("/things", "a")->Tree().Copy()["value"], 1);
  EXPECT_EQ(Put("a", 3).kind, WriteOutcome::Kind::kDone);
}

TEST_F(StoreTest, AFailedWriteIsNotMadeDurableByTheNextOne) {
  storage_.FailNextFlush(ResourceExhausted("disk full"));
  EXPECT_EQ(Put("a", 1).kind, WriteOutcome::Kind::kFailed);
  EXPECT_EQ(Put("b", 1).kind, WriteOutcome::Kind::kDone);
  Store again(&storage_, 4);
  ASSERT_TRUE(again.Load().ok());
  EXPECT_EQ(again.Get("/things", "a"), nullptr);
  EXPECT_NE(again.Get("/things", "b"), nullptr);
}

TEST_F(StoreTest, AfterARestartWatchesGoOnWhereNothingWasMissed) {
  Put("a", 1);
  const uint64_t things = store_.PublishedRevision();
  ASSERT_EQ(store_.Write({"/others", "x", nullptr, DraftObject(Json::object()), {}}).kind,
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
