#include "common/kube/cache.h"

#include <gtest/gtest.h>
#include <malloc.h>

#include <random>

#include "common/kube/resource.h"

namespace envicutor::kube {
namespace {

bool IsFinished(const Json& object) {
  const std::string phase = GetString(At(object, {"status"}), "phase");
  return phase == "Completed" || phase == "Failed";
}

Json Object(const std::string& name, int version, const std::string& phase = "",
            const std::string& uid = "") {
  Json object = {{"metadata",
                  {{"namespace", "ns"},
                   {"name", name},
                   {"uid", uid.empty() ? "uid-" + name : uid},
                   {"resourceVersion", std::to_string(version)}}},
                 {"spec", {{"source", std::string(1000, 'x')}}}};
  if (!phase.empty()) {
    object["status"] = {{"phase", phase}, {"output", std::string(2000, 'y')}};
  }
  return object;
}

WatchEvent Event(WatchEvent::Type type, Json object) { return {type, std::move(object)}; }

// "+name", "~name", "-name"; with "!" where the handler gets the whole object.
std::string Told(const std::vector<Change>& changes) {
  std::string all;
  for (const Change& change : changes) {
    const ObjectPtr& about = change.now ? change.now : change.old;
    all += !change.old ? "+" : (change.now ? "~" : "-");
    all += NameOf(*about) + (At(*about, {"spec"}).is_object() ? "!" : "");
  }
  return all;
}

class CacheTest : public ::testing::Test {
 protected:
  std::string Apply(WatchEvent::Type type, Json object) {
    return Told(cache_.Apply(Event(type, std::move(object))));
  }
  Cache cache_{IsFinished};
};

TEST_F(CacheTest, FinishedOnesAreToldWholeAndKeptSmall) {
  EXPECT_EQ(Apply(WatchEvent::Type::kAdded, Object("a", 1)), "+a!");
  EXPECT_EQ(Apply(WatchEvent::Type::kModified, Object("a", 2, "Completed")), "~a!");
  const ObjectPtr kept = cache_.Get("ns/a");
  ASSERT_TRUE(kept);
  EXPECT_EQ(KeyOf(*kept), "ns/a");
  EXPECT_EQ(UidOf(*kept), "uid-a");
  EXPECT_EQ(ResourceVersionOf(*kept), "2");
  EXPECT_TRUE(IsFinished(*kept));
  EXPECT_FALSE(kept->contains("spec"));
  EXPECT_TRUE(cache_.All().empty());
  EXPECT_EQ(cache_.Summarized(), (std::map<std::string, int64_t>{{"Completed", 1}}));
  EXPECT_EQ(Apply(WatchEvent::Type::kModified, Object("a", 3, "Completed")), "~a!");
  EXPECT_EQ(Apply(WatchEvent::Type::kDeleted, Object("a", 4, "Completed")), "-a!");
  EXPECT_EQ(cache_.Get("ns/a"), nullptr);
  EXPECT_TRUE(cache_.Summarized().empty());
}

TEST_F(CacheTest, AResultOfOurOwnIsToldOnceTheWatchBringsIt) {
  Apply(WatchEvent::Type::kAdded, Object("a", 1));
  cache_.Observe(Object("a", 3, "Completed"));
  EXPECT_TRUE(IsFinished(*cache_.Get("ns/a")));
  EXPECT_EQ(Apply(WatchEvent::Type::kModified, Object("a", 2, "Running")), "");  // old news
  EXPECT_TRUE(IsFinished(*cache_.Get("ns/a")));
  EXPECT_EQ(Apply(WatchEvent::Type::kModified, Object("a", 3, "Completed")), "~a!");
  EXPECT_EQ(Apply(WatchEvent::Type::kModified, Object("a", 3, "Completed")), "");
  cache_.Observe(Object("a", 2, "Running"));
  EXPECT_TRUE(IsFinished(*cache_.Get("ns/a")));
}

TEST_F(CacheTest, AnotherOfTheSameNameIsTold) {
  Apply(WatchEvent::Type::kAdded, Object("a", 1, "Completed"));
  EXPECT_EQ(Apply(WatchEvent::Type::kAdded, Object("a", 5, "", "uid-other")), "-a+a!");
  EXPECT_EQ(UidOf(*cache_.Get("ns/a")), "uid-other");
  cache_.Observe(Object("a", 9, "Completed"));  // late, of the first: it must not come back
  EXPECT_EQ(UidOf(*cache_.Get("ns/a")), "uid-other");
}

TEST_F(CacheTest, AListInPagesDeletesOnlyAtItsEnd) {
  Apply(WatchEvent::Type::kAdded, Object("gone", 1, "Completed"));
  Apply(WatchEvent::Type::kAdded, Object("stays", 2, "Failed"));
  cache_.Observe(Object("new", 50));
  cache_.BeginList();
  EXPECT_EQ(Told(cache_.AddListed({Object("b", 3)})), "+b!");
  EXPECT_TRUE(cache_.Get("ns/gone"));
  EXPECT_EQ(Told(cache_.AddListed({Object("stays", 2, "Failed")})), "");
  EXPECT_EQ(Told(cache_.EndList("40")), "-gone");
  EXPECT_TRUE(cache_.Get("ns/stays"));
  EXPECT_TRUE(cache_.Get("ns/new"));  // newer than the list
}

// With summaries and without, the handlers are told the same in the same order.
TEST_F(CacheTest, SummariesChangeNothingOfWhatIsTold) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    std::mt19937_64 random(seed);
    Cache whole;
    Cache small(IsFinished);
    for (int version = 1; version <= 100; ++version) {
      const std::string name = std::string(1, static_cast<char>('a' + random() % 4));
      const ObjectPtr present = whole.Get("ns/" + name);
      const bool done = present && IsFinished(*present);
      const std::string phase = done ? "Completed" : (random() % 3 == 0 ? "Completed" : "");
      const auto type =
          present && random() % 4 == 0 ? WatchEvent::Type::kDeleted : WatchEvent::Type::kModified;
      const std::string uid = present ? UidOf(*present) : "uid-" + std::to_string(version);
      const Json object = Object(name, version, phase, uid);
      if (type != WatchEvent::Type::kDeleted && random() % 3 == 0) {
        whole.Observe(object);
        small.Observe(object);
      }
      const std::string expected = Told(whole.Apply(Event(type, object)));
      ASSERT_EQ(Told(small.Apply(Event(type, object))), expected) << "seed " << seed;
    }
  }
}

// 100,000 finished Submissions must fit beside 10,000 live ones in 200 MB. Counted in bytes that
// the allocator gave, so that it does not depend on the machine.
TEST_F(CacheTest, AFinishedOneCostsAFewHundredBytes) {
  constexpr size_t kCount = 5'000;
  const size_t before = ::mallinfo2().uordblks;
  for (size_t i = 0; i < kCount; ++i) {
    Json object = Object("submission-" + std::to_string(i), static_cast<int>(i), "Completed",
                         "4fd18c3e-1b1a-4b7e-8a0e-" + std::to_string(100'000'000'000 + i));
    (void)cache_.Apply(Event(WatchEvent::Type::kAdded, std::move(object)));
  }
  const size_t each = (::mallinfo2().uordblks - before) / kCount;
  EXPECT_EQ(cache_.Summarized().at("Completed"), static_cast<int64_t>(kCount));
  EXPECT_LT(each, 500U);
}

}  // namespace
}  // namespace envicutor::kube
