// Writes that meet another write of the same object, and writers that wait for a disk that refuses.
#include <atomic>
#include <barrier>
#include <thread>
#include <utility>

#include "tests/unit/apiserver/fixture.h"
#include "tests/unit/apiserver/gated_storage.h"

namespace envicutor::standalone {
namespace {

using testing::HasSubstr;

// Something happens once when it is next looked at: between what a verb read and what it writes.
class MeetingClock final : public Clock {
 public:
  [[nodiscard]] SteadyTime Now() const override { return time_.Now(); }
  [[nodiscard]] WallTime WallNow() const override {
    if (const auto once = std::exchange(meanwhile, nullptr)) once();
    return time_.WallNow();
  }
  mutable std::function<void()> meanwhile;

 private:
  FakeClock time_;
};

class ConflictTest : public ApiTest {
 protected:
  void SetUp() override {
    api_ = nullptr;
    store_ = std::make_unique<Store>(&gate_, 100);
    api_ = std::make_unique<Api>(store_.get(), &meeting_, &ids_);
    ASSERT_TRUE(api_->Start({}).ok());
  }
  void TearDown() override { api_ = nullptr; }
  ApiResult<Answer> PatchData(const std::string& key, const WriteOptions& options = {}) {
    return Patch("configmaps", "a", PatchKind::kMerge, {{"data", {{key, "x"}}}}, "", options);
  }
  // In what the store will publish next.
  Json Head(const std::string& name) {
    const ObjectPtr head = store_->GetHead("/configmaps", "default/" + name);
    return head == nullptr ? Json() : head->Tree().Copy();
  }

  GatedStorage gate_;
  MeetingClock meeting_;
};

TEST_F(ConflictTest, AChangeIsMadeOnTopOfTheOneItMet) {
  MustCreate("configmaps", ConfigMap("a"));
  int tries = 0;
  const auto answer = api_->Modify(*Resource("configmaps"), "default", "a", "",
                                   [&](const Json& current) -> ApiResult<Json> {
                                     if (++tries == 1) {
                                       EXPECT_TRUE(PatchData("other").ok());
                                     }
                                     Json object = current;
                                     object["data"]["own"] = "x";
                                     return object;
                                   },
                                   {});
  ASSERT_TRUE(answer.ok()) << answer.error().message;
  EXPECT_EQ(tries, 2);
  EXPECT_EQ(answer->code, 200);
  EXPECT_EQ(answer->object["data"], (Json{{"other", "x"}, {"own", "x"}}));
  EXPECT_EQ(Get("configmaps", "a"), answer->object);
}

TEST_F(ConflictTest, WhoAlwaysMeetsAnotherIsToldSoInTheEnd) {
  MustCreate("configmaps", ConfigMap("a"));
  int tries = 0;
  const auto answer = api_->Modify(*Resource("configmaps"), "default", "a", "",
                                   [&](const Json& current) -> ApiResult<Json> {
                                     EXPECT_TRUE(PatchData("other" + std::to_string(++tries)).ok());
                                     Json object = current;
                                     object["data"]["own"] = "x";
                                     return object;
                                   },
                                   {});
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(tries, 100);
  EXPECT_EQ(answer.error().code, 409);
  EXPECT_EQ(answer.error().reason, "Conflict");
  EXPECT_FALSE(Get("configmaps", "a")["data"].contains("own"));
}

// It changes nothing in what it saw, and that is not what is there.
TEST_F(ConflictTest, AChangeOfNothingLooksAgainAtWhatItMet) {
  MustCreate("configmaps", ConfigMap("a", {{"own", "x"}}));
  int tries = 0;
  const auto answer = api_->Modify(
      *Resource("configmaps"), "default", "a", "",
      [&](const Json& current) -> ApiResult<Json> {
        Json object = current;
        object["data"]["own"] = "x";
        if (++tries == 1) {
          EXPECT_TRUE(Patch("configmaps", "a", PatchKind::kMerge, {{"data", {{"own", "y"}}}}).ok());
        }
        return object;
      },
      {});
  ASSERT_TRUE(answer.ok()) << answer.error().message;
  EXPECT_EQ(tries, 2);
  EXPECT_EQ(Get("configmaps", "a")["data"]["own"], "x");
}

TEST_F(ConflictTest, ACreateThatMeetsAChangeOfItsNamespaceIsStillACreate) {
  meeting_.meanwhile = [&] {
    EXPECT_TRUE(Patch("namespaces", "default", PatchKind::kMerge,
                      {{"metadata", {{"labels", {{"team", "x"}}}}}})
                    .ok());
  };
  const auto made = Create("configmaps", ConfigMap("a"));
  ASSERT_TRUE(made.ok()) << made.error().message;
  EXPECT_EQ(made->code, 201);
  EXPECT_EQ(Get("configmaps", "a"), made->object);
}

TEST_F(ConflictTest, OfTwoCreatesOfANameTheSecondIsTold) {
  meeting_.meanwhile = [&] { MustCreate("configmaps", ConfigMap("a", {{"first", "x"}})); };
  const auto late = Create("configmaps", ConfigMap("a"));
  ASSERT_FALSE(late.ok());
  EXPECT_EQ(late.error().code, 409);
  EXPECT_EQ(late.error().reason, "AlreadyExists");
  EXPECT_EQ(Get("configmaps", "a")["data"]["first"], "x");
}

TEST_F(ConflictTest, ADeletionThatIsHeldKeepsTheChangeItMet) {
  Json held = ConfigMap("a");
  held["metadata"]["finalizers"] = {"example.com/hold"};
  MustCreate("configmaps", held);
  meeting_.meanwhile = [&] { EXPECT_TRUE(PatchData("other").ok()); };
  const auto deleted = Delete("configmaps", "a");
  ASSERT_TRUE(deleted.ok()) << deleted.error().message;
  EXPECT_TRUE(IsTerminating(deleted->object));
  const Json left = Get("configmaps", "a");
  EXPECT_TRUE(IsTerminating(left));
  EXPECT_EQ(left["data"]["other"], "x");
}

// Nothing but threads gets between what a quick deletion reads and what it writes: with a name that
// takes long to copy there is time for that.
class ThreadsTest : public ApiTest {
 protected:
  void SetUp() override {
    ApiTest::SetUp();
    slow_ = *Resource("configmaps");
    slow_.plural = std::string(kNameBytes, 'x');
  }
  void Put(Json object, const ObjectPtr& expected = nullptr) {
    object["metadata"]["namespace"] = "default";
    StoreWrite write{
        slow_.StorageName(), "default/a", expected, DraftObject(std::move(object)), {}};
    ASSERT_EQ(store_->Write(&write).kind, WriteOutcome::Kind::kDone);
  }
  static constexpr size_t kNameBytes = 1U << 20U;
  static constexpr int kRounds = 20;
  ResourceInfo slow_;
};

TEST_F(ThreadsTest, OfManyWhoDeleteAtOnceOneHasDoneSo) {
  constexpr int kThreads = 3;
  std::atomic<int> done{0};
  std::atomic<int> missing{0};
  std::barrier together(kThreads, [&]() noexcept { Put(ConfigMap("a")); });
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < kRounds; ++round) {
        together.arrive_and_wait();
        const auto deleted = api_->Delete(slow_, "default", "a", {});
        if (deleted.ok()) {
          ++done;
        } else if (deleted.error().code == 404) {
          ++missing;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(done, kRounds);
  EXPECT_EQ(missing, kRounds * (kThreads - 1));
}

TEST_F(ThreadsTest, WhoDeletesAgainMeetsChangesAndIsAnsweredAllTheSame) {
  Json object = ConfigMap("a");
  object["metadata"]["finalizers"] = {"example.com/hold"};
  object["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z";
  object["metadata"]["deletionGracePeriodSeconds"] = 0;
  Put(object);
  std::atomic<bool> stop{false};
  std::thread changes([&] {
    for (int i = 0; !stop; ++i) {
      object["data"]["i"] = std::to_string(i);
      Put(object, store_->GetHead(slow_.StorageName(), "default/a"));
    }
  });
  for (int round = 0; round < kRounds; ++round) {
    const auto deleted = api_->Delete(slow_, "default", "a", {});
    if (!deleted.ok()) {
      EXPECT_EQ(deleted.error().code, 409) << deleted.error().message;
      continue;
    }
    EXPECT_EQ(deleted->code, 200);
    EXPECT_TRUE(IsTerminating(deleted->object));
  }
  stop = true;
  changes.join();
}

// What is listed is durable; what is deleted may be newer, and then somebody else's.
TEST_F(ConflictTest, ACollectionsDeletionSparesWhatHasTakenAName) {
  const Json old = MustCreate("configmaps", ConfigMap("a"));
  MustCreate("configmaps", ConfigMap("b"));
  MustCreate("configmaps", ConfigMap("gone"));
  DeleteQuery deferred;
  deferred.deferred = true;
  ASSERT_TRUE(Delete("configmaps", "a", deferred).ok());
  ASSERT_TRUE(Delete("configmaps", "gone", deferred).ok());
  WriteOptions options;
  options.deferred = true;
  const auto made = Create("configmaps", ConfigMap("a"), options);
  ASSERT_TRUE(made.ok());
  ASSERT_EQ(Get("configmaps", "a"), old);
  // It says nothing before all is durable, whatever it is asked.
  const auto deleted = api_->DeleteCollection(*Resource("configmaps"), "default", {}, deferred);
  ASSERT_TRUE(deleted.ok()) << deleted.error().message;
  EXPECT_EQ(Get("configmaps", "a"), made->object);
  EXPECT_TRUE(Get("configmaps", "b").is_null());
}

TEST_F(ConflictTest, WhoWaitsIsToldWhatTheDiskRefused) {
  Json held = ConfigMap("held");
  held["metadata"]["finalizers"] = {"example.com/hold"};
  MustCreate("configmaps", held);
  MustCreate("configmaps", ConfigMap("a"));
  MustCreate("pods", Pod("p"));
  const uint64_t before = store_->PublishedRevision();
  gate_.refuses = true;
  const std::vector<std::pair<const char*, std::function<ApiResult<Answer>()>>> writes = {
      {"create", [&] { return Create("configmaps", ConfigMap("new")); }},
      {"patch", [&] { return PatchData("own"); }},
      {"delete", [&] { return Delete("configmaps", "a"); }},
      {"held delete", [&] { return Delete("configmaps", "held"); }},
      {"bind",
       [&] {
         return api_->BindPod("default", "p", {{"target", {{"name", "n"}}}}, {});
       }},
      {"evict", [&] { return api_->EvictPod("default", "p", Json::object(), {}); }},
      {"deletecollection",
       [&] { return api_->DeleteCollection(*Resource("configmaps"), "default", {}, {}); }},
  };
  for (const auto& [verb, write] : writes) {
    gate_.waited = 0;
    const auto answer = write();
    ASSERT_FALSE(answer.ok()) << verb;
    EXPECT_EQ(answer.error().code, 500) << verb;
    EXPECT_THAT(answer.error().message, HasSubstr("disk full")) << verb;
    EXPECT_EQ(gate_.waited, 1) << verb;
  }
  EXPECT_EQ(store_->PublishedRevision(), before);
  EXPECT_TRUE(Head("new").is_null());
  EXPECT_FALSE(Head("a")["data"].contains("own"));
  EXPECT_FALSE(IsTerminating(Head("held")));
}

TEST_F(ConflictTest, WhoChangesNothingWaitsForTheDiskAsWhoeverMadeIt) {
  MustCreate("configmaps", ConfigMap("a"));
  for (const bool refuses : {true, false}) {
    WriteOptions deferred;
    deferred.deferred = true;
    ASSERT_TRUE(PatchData("own", deferred).ok());
    ASSERT_FALSE(Get("configmaps", "a")["data"].contains("own"));
    gate_.refuses = refuses;
    const auto same = PatchData("own");
    EXPECT_EQ(same.ok(), !refuses);
    if (refuses) {
      EXPECT_EQ(same.error().code, 500);
      EXPECT_THAT(same.error().message, HasSubstr("disk full"));
    }
    EXPECT_EQ(Get("configmaps", "a")["data"].contains("own"), !refuses);
  }
}

}  // namespace
}  // namespace envicutor::standalone
