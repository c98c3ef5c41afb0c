// Writes between Store::Begin and the disk: heads that are not yet published.
#include <gtest/gtest.h>

#include "standalone/apiserver/core/store.h"
#include "tests/unit/apiserver/gated_storage.h"

namespace envicutor::standalone {
namespace {

TEST(DeferredWrite, IsToldWhenItIsDurableAndPublishedAndNotBefore) {
  GatedStorage storage;
  Store store(&storage, 10);
  ASSERT_TRUE(store.Load().ok());
  StoreWrite write{"/things", "a", nullptr, DraftObject(Json::object()), {}};
  const auto ticket = store.Begin(&write);
  ASSERT_NE(ticket, nullptr);
  std::vector<bool> seen;
  store.Then(ticket, [&](const Status& status) {
    EXPECT_TRUE(status.ok());
    seen.push_back(store.Get("/things", "a") == ticket->object());
  });
  EXPECT_EQ(storage.asked, 1);
  EXPECT_EQ(storage.waited, 0);
  EXPECT_TRUE(seen.empty());
  EXPECT_EQ(store.Get("/things", "a"), nullptr);
  storage.Durable();
  EXPECT_EQ(seen, std::vector<bool>{true});
  storage.Durable();
  EXPECT_EQ(seen.size(), 1U);
  store.Drain();
}

TEST(DeferredWrite, ThatFailsIsToldSoAndThatIsDoneAlreadyAtOnce) {
  GatedStorage storage;
  Store store(&storage, 10);
  ASSERT_TRUE(store.Load().ok());
  StoreWrite first{"/things", "a", nullptr, DraftObject(Json::object()), {}};
  const auto early = store.Begin(&first);
  StoreWrite second{"/things", "b", nullptr, DraftObject(Json::object()), {}};
  const auto late = store.Begin(&second);
  std::vector<Code> told;
  const auto tell = [&](const Status& status) { told.push_back(status.code()); };
  store.Then(early, tell);
  storage.Fail();
  ASSERT_EQ(told.size(), 1U);
  store.Then(late, tell);
  EXPECT_EQ(told, (std::vector<Code>{Code::kResourceExhausted, Code::kResourceExhausted}));
  EXPECT_EQ(store.GetHead("/things", "a"), nullptr);
}

TEST(DeferredWrite, AConflictLeavesTheWriteAsItWas) {
  GatedStorage storage;
  Store store(&storage, 10);
  ASSERT_TRUE(store.Load().ok());
  StoreWrite other{"/things", "guard", nullptr, DraftObject(Json::object()), {}};
  ASSERT_NE(store.Begin(&other), nullptr);
  StoreWrite write{
      "/things", "a", nullptr, DraftObject(Json::object()), {{"/things", "guard", nullptr}}};
  EXPECT_EQ(store.Begin(&write), nullptr);
  EXPECT_EQ(store.CountHead("/things", ""), 1U);
  write.guards.clear();
  EXPECT_NE(store.Begin(&write), nullptr);
  EXPECT_EQ(store.CountHead("/things", ""), 2U);
  EXPECT_TRUE(store.List("/things", "").objects.empty());
  storage.Durable();
  EXPECT_EQ(store.List("/things", "").objects.size(), 2U);
}

std::shared_ptr<WriteTicket> Put(Store* store, const std::string& key, int value) {
  StoreWrite write{
      "/things", key, store->GetHead("/things", key), DraftObject({{"value", value}}), {}};
  return store->Begin(&write);
}

TEST(DeferredWrite, OfTwoOfAKeyTheSecondStaysTheHeadWhenTheFirstIsDurable) {
  GatedStorage storage;
  Store store(&storage, 10);
  ASSERT_TRUE(store.Load().ok());
  const auto first = Put(&store, "a", 1);
  const auto second = Put(&store, "a", 2);
  storage.DurableUpTo(first->object()->revision);
  EXPECT_EQ(store.Get("/things", "a"), first->object());
  EXPECT_EQ(store.GetHead("/things", "a"), second->object());
  EXPECT_EQ(store.CountHead("/things", ""), 1U);
  storage.Durable();
  EXPECT_EQ(store.Get("/things", "a"), second->object());
}

TEST(DeferredWrite, ADeletionThatWaitsIsNotCounted) {
  GatedStorage storage;
  Store store(&storage, 10);
  ASSERT_TRUE(store.Load().ok());
  const auto put = Put(&store, "a", 1);
  storage.Durable();
  StoreWrite gone{"/things", "a", put->object(), std::nullopt, {}};
  ASSERT_NE(store.Begin(&gone), nullptr);
  EXPECT_EQ(store.CountHead("/things", ""), 0U);
  EXPECT_FALSE(store.AnyHead("/things", ""));
  EXPECT_EQ(store.List("/things", "").objects.size(), 1U);
}

TEST(DeferredWrite, ListenersHearOfItBeforeItsWriterDoes) {
  GatedStorage storage;
  Store store(&storage, 10);
  std::vector<std::string> order;
  store.SetPublishListener([&](const auto&) { order.emplace_back("listener"); });
  ASSERT_TRUE(store.Load().ok());
  store.Then(Put(&store, "a", 1), [&](const Status&) { order.emplace_back("writer"); });
  storage.Durable();
  EXPECT_EQ(order, (std::vector<std::string>{"listener", "writer"}));
}

TEST(DeferredWrite, WhatIsConfirmedIsTheHeadAndAsDurableAsItsWrite) {
  GatedStorage storage;
  Store store(&storage, 10);
  ASSERT_TRUE(store.Load().ok());
  const auto first = Put(&store, "a", 1);
  std::shared_ptr<WriteTicket> ticket;
  ASSERT_TRUE(store.Confirm("/things", "a", first->object(), &ticket));
  EXPECT_EQ(ticket, first);
  int told = 0;
  store.Then(first, [&](const Status&) { ++told; });
  store.Then(ticket, [&](const Status&) { ++told; });
  EXPECT_EQ(told, 0);
  storage.Durable();
  EXPECT_EQ(told, 2);
  ASSERT_TRUE(store.Confirm("/things", "a", first->object(), &ticket));
  EXPECT_EQ(ticket, nullptr);
  const auto second = Put(&store, "a", 2);
  EXPECT_FALSE(store.Confirm("/things", "a", first->object(), &ticket));
  storage.Fail();
  EXPECT_FALSE(store.Confirm("/things", "a", second->object(), &ticket));
  EXPECT_TRUE(store.Confirm("/things", "a", first->object(), &ticket));
  EXPECT_TRUE(store.Confirm("/things", "none", nullptr, &ticket));
}

}  // namespace
}  // namespace envicutor::standalone
