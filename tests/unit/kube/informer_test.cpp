#include "common/kube/informer.h"

#include <gtest/gtest.h>

#include <condition_variable>

#include "tests/unit/kube/scripted_api.h"

namespace envicutor::kube {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Writes down what the handlers hear: "+a", "~a", "-a", and can wait for a line.
class Journal {
 public:
  EventHandler Handler() {
    return {[this](const ObjectPtr& now) { Add("+" + NameOf(*now)); },
            [this](const ObjectPtr&, const ObjectPtr& now) { Add("~" + NameOf(*now)); },
            [this](const ObjectPtr& last) { Add("-" + NameOf(*last)); }};
  }
  bool WaitFor(const std::string& line, int times = 1) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, seconds(10), [&] { return CountLocked(line) >= times; });
  }
  int Count(const std::string& line) {
    const std::scoped_lock lock(mutex_);
    return CountLocked(line);
  }
  std::vector<std::string> Lines() {
    const std::scoped_lock lock(mutex_);
    return lines_;
  }

 private:
  int CountLocked(const std::string& line) const {
    return static_cast<int>(std::count(lines_.begin(), lines_.end(), line));
  }
  void Add(std::string line) {
    const std::scoped_lock lock(mutex_);
    lines_.push_back(std::move(line));
    changed_.notify_all();
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> lines_;
};

class InformerTest : public testing::Test {
 protected:
  void Start() {
    InformerOptions options;
    options.backoff_base = milliseconds(5);
    options.backoff_max = milliseconds(50);
    informer_ = NewInformer(*client_, kSubmissions, options);
    informer_->AddHandler(journal_.Handler());
    informer_->Start();
    ASSERT_TRUE(informer_->WaitForSync(seconds(10)));
    ASSERT_TRUE(api_.WaitForOpenWatches(1));
  }

  ScriptedApi api_;
  std::unique_ptr<Client> client_ = api_.NewClient();
  Journal journal_;
  std::unique_ptr<Informer> informer_;
};

TEST_F(InformerTest, ListsThenWatches) {
  api_.Put("a", 1);
  Start();
  EXPECT_EQ(1, journal_.Count("+a"));
  api_.Put("b", 1);
  api_.Put("a", 2);
  api_.Remove("b");
  ASSERT_TRUE(journal_.WaitFor("-b"));
  EXPECT_EQ((std::vector<std::string>{"+a", "+b", "~a", "-b"}), journal_.Lines());
  const ObjectPtr a = informer_->Get("a");
  ASSERT_TRUE(a);
  EXPECT_EQ(2, At(*a, {"spec"}));
  EXPECT_EQ("Submission", GetString(*a, "kind"));
  EXPECT_EQ("envicutor.io/v1alpha1", GetString(*a, "apiVersion"));
  EXPECT_FALSE(At(*a, {"metadata"}).contains("managedFields"));
  EXPECT_EQ(nullptr, informer_->Get("b"));
  EXPECT_EQ(1U, informer_->All().size());
}

TEST_F(InformerTest, AListWhoseSnapshotWasCompactedBeginsAnew) {
  for (const char* name : {"a", "b", "c"}) api_.Put(name, 1);
  const Json first = {{"metadata", {{"resourceVersion", "3"}, {"continue", "more"}}},
                      {"items", {{{"metadata", {{"name", "a"}, {"uid", "first"}}}}}}};
  http::Response page;
  page.status = 200;
  page.body = DumpJson(first);
  http::Response expired;
  expired.status = 410;
  expired.body =
      DumpJson({{"kind", "Status"}, {"status", "Failure"}, {"reason", "Expired"}, {"code", 410}});
  api_.AnswerNext("GET", "limit=500", page);
  api_.AnswerNext("GET", "continue=more", expired);
  Start();
  EXPECT_EQ(3U, informer_->All().size());
}

TEST_F(InformerTest, GoesOnFromItsVersionAfterADisconnectWithoutListing) {
  api_.Put("a", 1);
  Start();
  api_.CutWatches();
  api_.Put("b", 1);  // while nobody watches
  ASSERT_TRUE(journal_.WaitFor("+b"));
  EXPECT_EQ(1, api_.Count("list"));
  EXPECT_EQ(1, journal_.Count("+a"));
}

TEST_F(InformerTest, WatchThatEndsInOrderIsContinued) {
  Start();
  api_.Put("a", 1);
  ASSERT_TRUE(journal_.WaitFor("+a"));
  api_.FinishWatches();
  ASSERT_TRUE(api_.WaitFor("watch", 2));
  api_.Put("b", 1);
  ASSERT_TRUE(journal_.WaitFor("+b"));
  EXPECT_EQ(1, api_.Count("list"));
}

TEST_F(InformerTest, BookmarkMovesTheVersion) {
  Start();
  api_.SendToWatches(
      {{"type", "BOOKMARK"},
       {"object", {{"kind", "Submission"}, {"metadata", {{"resourceVersion", "5555"}}}}}});
  api_.SendToWatches({{"type", "ADDED"},
                      {"object", {{"metadata", {{"name", "x"}, {"uid", "u"}}}}}});  // no version
  ASSERT_TRUE(journal_.WaitFor("+x"));
  api_.CutWatches();
  ASSERT_TRUE(api_.WaitFor("watch", 2));
  EXPECT_EQ("5555", api_.Requests().back().Query("resourceVersion"));
  EXPECT_EQ("true", api_.Requests().back().Query("allowWatchBookmarks"));
  const int timeout = std::stoi(api_.Requests().back().Query("timeoutSeconds"));
  EXPECT_GE(timeout, 300);
  EXPECT_LE(timeout, 600);
}

TEST_F(InformerTest, ExpiredVersionMeansANewListThatFindsDeletionsAndChanges) {
  api_.Put("gone", 1);
  api_.Put("changed", 1);
  api_.Put("same", 1);
  api_.Put("again", 1);
  Start();
  // All of it unseen: the watch is cut, the history compacted.
  api_.Remove("gone", /*silently=*/true);
  api_.Put("changed", 2, true);
  api_.Put("new", 1, true);
  api_.Remove("again", true);
  api_.Put("again", 1, true);  // another object of the same name
  api_.Compact();
  api_.CutWatches();
  ASSERT_TRUE(journal_.WaitFor("-gone"));
  ASSERT_TRUE(journal_.WaitFor("+new"));
  ASSERT_TRUE(journal_.WaitFor("~changed"));
  ASSERT_TRUE(journal_.WaitFor("-again"));
  ASSERT_TRUE(journal_.WaitFor("+again", 2));
  EXPECT_EQ(0, journal_.Count("~same"));
  EXPECT_EQ(1, journal_.Count("+same"));
  EXPECT_EQ(2, api_.Count("list"));
  EXPECT_EQ(nullptr, informer_->Get("gone"));
}

TEST_F(InformerTest, ExpiredAsHttpStatusMeansANewListToo) {
  Start();
  api_.AnswerNext("GET", "watch=1",
                  {410, {}, R"({"kind":"Status","reason":"Expired","message":"old"})"});
  api_.Put("a", 1, /*silently=*/true);
  api_.CutWatches();
  ASSERT_TRUE(journal_.WaitFor("+a"));
  EXPECT_EQ(2, api_.Count("list"));
}

TEST_F(InformerTest, BusyServerKeepsTheVersion) {
  Start();
  api_.AnswerNext("GET", "watch=1", {429, {}, "slow down"});
  api_.AnswerNext("GET", "watch=1", {503, {}, "not now"});
  api_.CutWatches();
  ASSERT_TRUE(api_.WaitFor("watch", 4));
  api_.Put("a", 1);
  ASSERT_TRUE(journal_.WaitFor("+a"));
  EXPECT_EQ(1, api_.Count("list"));
}

TEST_F(InformerTest, FailingListIsRepeated) {
  api_.AnswerNext("GET", "limit=", {500, {}, "no"});
  api_.AnswerNext("GET", "limit=", {403, {}, "no"});
  api_.Put("a", 1);
  Start();
  EXPECT_TRUE(journal_.WaitFor("+a"));
}

TEST_F(InformerTest, BrokenEventsDoNotStopIt) {
  Start();
  api_.SendToWatches("not an event");
  ASSERT_TRUE(api_.WaitForOpenWatches(2));
  api_.Put("a", 1);
  EXPECT_TRUE(journal_.WaitFor("+a"));
}

TEST_F(InformerTest, ObserveShowsOurOwnWriteAtOnceAndTheHandlersHearItOnce) {
  api_.Put("a", 1);
  Start();
  Json newer = *informer_->Get("a");
  newer["metadata"]["resourceVersion"] = "5000";
  newer["spec"] = 7;
  informer_->Observe(newer);
  EXPECT_EQ(7, At(*informer_->Get("a"), {"spec"}));
  EXPECT_EQ(0, journal_.Count("~a"));

  Json older = newer;
  older["metadata"]["resourceVersion"] = "4999";
  older["spec"] = 6;
  informer_->Observe(older);
  EXPECT_EQ(7, At(*informer_->Get("a"), {"spec"})) << "older versions are ignored";

  api_.SendToWatches({{"type", "MODIFIED"}, {"object", older}});  // the watch lags behind
  ASSERT_TRUE(journal_.WaitFor("~a"));
  EXPECT_EQ(7, At(*informer_->Get("a"), {"spec"})) << "the cache never goes back";
  api_.SendToWatches({{"type", "MODIFIED"}, {"object", newer}});
  api_.Put("b", 1);
  ASSERT_TRUE(journal_.WaitFor("+b"));
  EXPECT_EQ(1, journal_.Count("~a"));
}

TEST_F(InformerTest, ObservedCreationIsAnnouncedByTheWatchAndALateObserveRevivesNothing) {
  Start();
  const Json object = {{"metadata", {{"name", "c"}, {"uid", "uid-c"}, {"resourceVersion", "900"}}}};
  informer_->Observe(object);
  EXPECT_TRUE(informer_->Get("c"));
  EXPECT_EQ(0, journal_.Count("+c"));
  api_.SendToWatches({{"type", "ADDED"}, {"object", object}});
  ASSERT_TRUE(journal_.WaitFor("+c"));
  api_.SendToWatches({{"type", "DELETED"}, {"object", object}});
  ASSERT_TRUE(journal_.WaitFor("-c"));
  Json late = object;
  late["metadata"]["resourceVersion"] = "901";
  informer_->Observe(late);
  EXPECT_EQ(nullptr, informer_->Get("c"));
}

TEST_F(InformerTest, StopsWhileItWatchesAndWhileTheServerIsGone) {
  Start();
  api_.Stop();
  informer_->Stop();
}

}  // namespace
}  // namespace envicutor::kube
