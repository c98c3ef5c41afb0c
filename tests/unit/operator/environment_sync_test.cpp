#include "operator/dispatch/environment_sync.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>

namespace envicutor::op {
namespace {

Json Runtime(const std::string& hash, const std::string& path, const std::string& served = "",
             const std::string& served_path = "") {
  Json status = Json::object();
  if (!hash.empty()) status["environment"] = {{"hash", hash}, {"storePath", path}};
  if (!served.empty()) {
    status["served"] = {{"environmentHash", served}, {"environmentStorePath", served_path}};
  }
  return {{"metadata", {{"name", "r"}}}, {"status", status}};
}

TEST(EnvironmentsOfRuntime, TheOneThatServesAndTheOneThatIsBuilt) {
  EXPECT_TRUE(EnvironmentsOfRuntime(Runtime("", "")).empty());
  EXPECT_EQ(EnvironmentsOfRuntime(Runtime("b", "/b", "a", "/a")),
            (std::vector<LiveEnvironment>{{"b", "/b", true}, {"a", "/a", true}}));
  Json deleted = Runtime("b", "/b", "a", "/a");
  deleted["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z";
  EXPECT_TRUE(EnvironmentsOfRuntime(deleted).empty());
}

TEST(EnvironmentsBody, EachOnceInOrderARuntimesWins) {
  const Json body = EnvironmentsBody(
      {{"b", "", true}, {"a", "/a", false}, {"b", "/b", false}, {"a", "/a", false}});
  EXPECT_EQ(body, (Json{{"environments",
                         {{{"hash", "a"}, {"storePath", "/a"}, {"kind", "submission"}},
                          {{"hash", "b"}, {"storePath", "/b"}, {"kind", "runtime"}}}}}));
  EXPECT_EQ(EnvironmentsBody({})["environments"], Json::array());
}

class FakeAgent final : public AgentApi {
 public:
  Result<api::AgentInfo> Info() override { return Unavailable("fake"); }
  Result<HeldRuns> ListRuns() override { return Unavailable("fake"); }
  Status PutRun(const api::RunRequest&) override { return Unavailable("fake"); }
  Status CancelRun(const RunKey&) override { return Unavailable("fake"); }
  Result<ResultsPage> PollResults(int64_t, std::chrono::seconds, std::stop_token) override {
    return Unavailable("fake");
  }
  Status Acknowledge(const std::vector<RunKey>&) override { return Unavailable("fake"); }
  Result<Json> PutEnvironments(const Json& body) override {
    const std::lock_guard lock(mutex_);
    bodies_.push_back(body);
    changed_.notify_all();
    return Json{{"environments", Json::array()}};
  }
  std::vector<Json> WaitFor(size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(30), [&] { return bodies_.size() >= count; });
    return bodies_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Json> bodies_;
};

TEST(EnvironmentSync, SendsTheListWhenItChangedAndToWhoComes) {
  const auto first = std::make_shared<FakeAgent>();
  const auto second = std::make_shared<FakeAgent>();
  std::mutex mutex;
  std::vector<LiveEnvironment> live = {{"a", "/a", true}};
  std::map<std::string, std::shared_ptr<AgentApi>> agents = {{"first", first}};
  EnvironmentSync sync(
      [&] {
        const std::lock_guard lock(mutex);
        return live;
      },
      [&] {
        const std::lock_guard lock(mutex);
        return agents;
      },
      std::chrono::hours(1));
  sync.Start();
  ASSERT_EQ(first->WaitFor(1).size(), 1U);
  {
    const std::lock_guard lock(mutex);
    agents["second"] = second;
  }
  ASSERT_EQ(second->WaitFor(1).size(), 1U);
  EXPECT_EQ(first->WaitFor(1).size(), 1U) << "it has this list";
  {
    const std::lock_guard lock(mutex);
    live.push_back({"b", "/b", false});
  }
  sync.Wake();
  const std::vector<Json> bodies = first->WaitFor(2);
  ASSERT_EQ(bodies.size(), 2U);
  EXPECT_EQ(bodies[1]["environments"].size(), 2U);
  ASSERT_EQ(second->WaitFor(2).size(), 2U);
  sync.Stop();
}

}  // namespace
}  // namespace envicutor::op
