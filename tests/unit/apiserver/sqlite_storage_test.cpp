#include "standalone/apiserver/storage/sqlite_storage.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <thread>

#include "standalone/apiserver/core/store.h"

namespace envicutor::standalone {
namespace {

class SqliteStorageTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string path = testing::TempDir() + "sqlite_storage.XXXXXX";
    ASSERT_NE(mkdtemp(path.data()), nullptr);
    folder_ = path;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  static WriteOutcome Put(Store* store, const std::string& key, int value) {
    return store->Write({"/things",
                         key,
                         store->GetHead("/things", key),
                         DraftObject({{"metadata", {{"name", key}}}, {"value", value}}),
                         {}});
  }

  std::string folder_;
};

TEST_F(SqliteStorageTest, WhatWasWrittenIsThereAfterReopening) {
  uint64_t revision = 0;
  {
    SqliteStorage storage(folder_);
    Store store(&storage, 10);
    ASSERT_TRUE(store.Load().ok());
    Put(&store, "a", 1);
    Put(&store, "b", 2);
    Put(&store, "a", 3);
    ASSERT_EQ(store.Write({"/things", "b", store.GetHead("/things", "b"), std::nullopt, {}}).kind,
              WriteOutcome::Kind::kDone);
    revision = store.PublishedRevision();
  }
  SqliteStorage storage(folder_);
  Store store(&storage, 10);
  ASSERT_TRUE(store.Load().ok());
  EXPECT_EQ(store.PublishedRevision(), revision);
  EXPECT_EQ(store.Get("/things", "a")->Tree().Copy()["value"], 3);
  EXPECT_EQ(store.Get("/things", "b"), nullptr);
}

TEST_F(SqliteStorageTest, AnAcknowledgedWriteSurvivesKillMinusNine) {
  // The child tells each acknowledged value through the pipe until it is killed.
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    SqliteStorage storage(folder_);
    Store store(&storage, 10);
    if (!store.Load().ok()) _exit(1);
    for (int i = 1;; ++i) {
      if (Put(&store, "a", i).kind != WriteOutcome::Kind::kDone) _exit(2);
      if (write(ends[1], &i, sizeof(i)) != sizeof(i)) _exit(3);
    }
  }
  close(ends[1]);
  int acknowledged = 0;
  while (acknowledged < 20) {
    ASSERT_EQ(read(ends[0], &acknowledged, sizeof(acknowledged)),
              static_cast<ssize_t>(sizeof(acknowledged)));
  }
  kill(child, SIGKILL);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  while (read(ends[0], &acknowledged, sizeof(acknowledged)) ==
         static_cast<ssize_t>(sizeof(acknowledged))) {
  }
  close(ends[0]);
  SqliteStorage storage(folder_);
  Store store(&storage, 10);
  ASSERT_TRUE(store.Load().ok());
  EXPECT_GE(store.Get("/things", "a")->Tree().Copy()["value"].get<int>(), acknowledged);
}

TEST_F(SqliteStorageTest, WaitingWritesShareATransaction) {
  SqliteStorage storage(folder_);
  Store store(&storage, 10'000);
  ASSERT_TRUE(store.Load().ok());
  constexpr int kThreads = 16;
  constexpr int kWrites = 25;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kWrites; ++i) {
        EXPECT_EQ(Put(&store, std::to_string(t), i).kind, WriteOutcome::Kind::kDone);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LT(storage.transactions(), uint64_t{kThreads} * kWrites);
  // In order and without a gap.
  const ChangeBatch batch = store.ChangesSince("/things", 1, 10'000);
  ASSERT_EQ(batch.changes.size(), size_t{kThreads} * kWrites);
  for (size_t i = 0; i < batch.changes.size(); ++i) {
    EXPECT_EQ(batch.changes[i].revision, i + 2);
  }
}

TEST_F(SqliteStorageTest, DeferredWritesAreDurableWithoutAnybodyWhoWaits) {
  constexpr int kWrites = 200;
  std::atomic<int> told = 0;
  {
    SqliteStorage storage(folder_);
    Store store(&storage, 10);
    ASSERT_TRUE(store.Load().ok());
    for (int i = 0; i < kWrites; ++i) {
      StoreWrite write{"/things", std::to_string(i), nullptr, DraftObject({{"value", i}}), {}};
      store.Then(store.Begin(&write), [&](const Status& status) { told += status.ok() ? 1 : 0; });
    }
    store.Drain();
    EXPECT_EQ(told, kWrites);
    EXPECT_LT(storage.transactions(), uint64_t{kWrites});
  }
  SqliteStorage storage(folder_);
  Store store(&storage, 10);
  ASSERT_TRUE(store.Load().ok());
  EXPECT_EQ(store.List("/things", "").objects.size(), size_t{kWrites});
}

// A disk that takes no more, for as long as it lives.
class FullDisk {
 public:
  explicit FullDisk(const std::string& folder) : before_(signal(SIGXFSZ, SIG_IGN)) {
    rlim_t largest = 0;
    for (const auto& file : std::filesystem::directory_iterator(folder)) {
      largest = std::max<rlim_t>(largest, file.file_size());
    }
    EXPECT_EQ(getrlimit(RLIMIT_FSIZE, &limit_), 0);
    const rlimit full = {largest, limit_.rlim_max};
    EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &full), 0);
  }
  ~FullDisk() {
    EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &limit_), 0);
    signal(SIGXFSZ, before_);
  }
  FullDisk(const FullDisk&) = delete;
  FullDisk& operator=(const FullDisk&) = delete;

 private:
  sighandler_t before_;
  rlimit limit_{};
};

TEST_F(SqliteStorageTest, WhatAFullDiskRefusesIsAnsweredSoAndGone) {
  {
    SqliteStorage storage(folder_);
    Store store(&storage, 10);
    ASSERT_TRUE(store.Load().ok());
    ASSERT_EQ(Put(&store, "a", 1).kind, WriteOutcome::Kind::kDone);
    const Json large = {{"text", std::string(4U << 20U, 'x')}};
    Status deferred = OkStatus();
    {
      const FullDisk full(folder_);
      EXPECT_EQ(store.Write({"/things", "b", nullptr, DraftObject(large), {}}).kind,
                WriteOutcome::Kind::kFailed);
      StoreWrite write{"/things", "c", nullptr, DraftObject(large), {}};
      store.Then(store.Begin(&write), [&](const Status& status) { deferred = status; });
      store.Drain();
    }
    EXPECT_FALSE(deferred.ok());
    EXPECT_EQ(store.GetHead("/things", "b"), nullptr);
    EXPECT_EQ(Put(&store, "d", 1).kind, WriteOutcome::Kind::kDone);
  }
  SqliteStorage storage(folder_);
  Store store(&storage, 10);
  ASSERT_TRUE(store.Load().ok());
  std::vector<std::string> keys;
  for (const ObjectPtr& object : store.List("/things", "").objects) keys.push_back(object->Name());
  EXPECT_EQ(keys, (std::vector<std::string>{"a", "d"}));
}

TEST_F(SqliteStorageTest, ASecondServerIsRefusedAndFilesArePrivate) {
  SqliteStorage storage(folder_);
  Store store(&storage, 10);
  ASSERT_TRUE(store.Load().ok());
  SqliteStorage second(folder_);
  Store other(&second, 10);
  EXPECT_EQ(other.Load().code(), Code::kFailedPrecondition);
  Put(&store, "a", 1);
  for (const auto& file : std::filesystem::directory_iterator(folder_)) {
    struct stat status {};
    ASSERT_EQ(stat(file.path().c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 077U, 0U) << file.path();
  }
}

}  // namespace
}  // namespace envicutor::standalone
