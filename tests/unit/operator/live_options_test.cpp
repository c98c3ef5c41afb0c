#include "operator/live_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "common/base/file.h"

namespace envicutor::op {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const std::string kTls = "executorTls: {caFile: /ca, certFile: /crt, keyFile: /key}\n";

TEST(LiveOptions, WhatCanChangeDoesAndTheRestIsNamed) {
  LiveOptions live(*ParseOptions(kTls));
  const auto before = live.Get();
  std::vector<int64_t> heard;
  const auto handle =
      live.OnChange([&](const Options& now) { heard.push_back(now.scheduling.in_flight.each); });
  const auto outcome = live.Offer(kTls + R"(
scheduling: {namespaceWeights: {contest: 2.5}, inFlightPerNamespace: {default: 7, overrides: {contest: 0}}}
submissions: {ttlSecondsAfterFinished: 60, workers: 9}
limits: {run: {default: {memory: 128Mi}}}
executor: {image: another, storeHostPath: /elsewhere}
builder: {concurrency: 3}
)");
  ASSERT_TRUE(outcome.ok()) << outcome.status().ToString();
  EXPECT_THAT(outcome->changed, ElementsAre("limits.run", "scheduling", "submissions", "executor"));
  EXPECT_THAT(outcome->needs_restart,
              ElementsAre("submissions.workers", "executor.storeHostPath", "builder"));
  EXPECT_THAT(heard, ElementsAre(7));
  const auto now = live.Get();
  EXPECT_EQ(now->submissions.ttl_seconds_after_finished, 60);
  EXPECT_EQ(now->submissions.workers, before->submissions.workers);
  EXPECT_EQ(now->executor.image, "another");
  EXPECT_EQ(now->executor.store_host_path, before->executor.store_host_path);
  EXPECT_EQ(now->run_limits.defaults.Value(api::Limit::kMemory), 128 << 20);
  EXPECT_EQ(now->scheduling.namespace_weights.at("contest"), 2.5);
  EXPECT_EQ(before->scheduling.in_flight.each, 0);  // who holds the old one sees no change

  EXPECT_THAT(live.Offer(kTls)->changed,
              ElementsAre("limits.run", "scheduling", "submissions", "executor"));
}

TEST(LiveOptions, ABadFileChangesNothing) {
  LiveOptions live(*ParseOptions(kTls));
  const auto handle = live.OnChange([](const Options&) { FAIL(); });
  const auto outcome = live.Offer(kTls + "queue: {maxLength: 0, perNamespaceMax: many}\n");
  ASSERT_FALSE(outcome.ok());
  EXPECT_THAT(outcome.status().message(),
              HasSubstr("queue.maxLength: 0 is less than the minimum 1"));
  EXPECT_THAT(outcome.status().message(), HasSubstr("queue.perNamespaceMax"));
  EXPECT_EQ(live.Get()->queue, QueueOptions());
}

TEST(LiveOptions, TheCommandLinesKubeconfigStays) {
  LiveOptions live(*ParseOptions(kTls), "/given");
  EXPECT_EQ(live.Get()->kubeconfig, "/given");
  const auto outcome = live.Offer(kTls + "kubeconfig: /other\n");
  EXPECT_THAT(outcome->needs_restart, IsEmpty());
  EXPECT_EQ(live.Get()->kubeconfig, "/given");
}

// What the watcher said, in order.
class Heard {
 public:
  void Add(bool good) {
    const std::lock_guard lock(mutex_);
    all_.push_back(good);
    changed_.notify_all();
  }
  bool WaitFor(const std::vector<bool>& wanted) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(60), [&] { return all_ == wanted; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<bool> all_;
};

TEST(ConfigWatcher, AChangedFileIsTakenABadOneIsNot) {
  const std::string path = ::testing::TempDir() + "live_options_test.yaml";
  ASSERT_TRUE(WriteFileAtomic(path, kTls, 0600).ok());
  LiveOptions live(*ParseOptions(kTls));
  Heard heard;
  ConfigWatcher watcher(
      live, path, kTls, [&](bool good) { heard.Add(good); }, std::chrono::milliseconds(10));
  ASSERT_TRUE(WriteFileAtomic(path, kTls + "queue: {maxLength: 5}\n", 0600).ok());
  ASSERT_TRUE(heard.WaitFor({true}));
  EXPECT_EQ(live.Get()->queue.max_length, 5);
  ASSERT_TRUE(WriteFileAtomic(path, kTls + "queue: {maxLength: none}\n", 0600).ok());
  ASSERT_TRUE(heard.WaitFor({true, false}));
  EXPECT_EQ(live.Get()->queue.max_length, 5);
  watcher.Reload();  // as SIGHUP does: the same bad file says so again
  ASSERT_TRUE(heard.WaitFor({true, false, false}));
  ASSERT_TRUE(WriteFileAtomic(path, kTls, 0600).ok());
  ASSERT_TRUE(heard.WaitFor({true, false, false, true}));
  EXPECT_EQ(live.Get()->queue, QueueOptions());
}

}  // namespace
}  // namespace envicutor::op
