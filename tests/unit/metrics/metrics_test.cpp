#include "common/metrics/metrics.h"

#include <gtest/gtest.h>

#include <thread>

namespace envicutor::metrics {
namespace {

bool Has(Registry& registry, const std::string& line) {
  return registry.Render().find(line) != std::string::npos;
}

TEST(Metrics, EveryNameOfTheContractIsThere) {
  Registry registry;
  SetBuildInfo(registry, "1.2.3");
  const OperatorMetrics op(&registry);
  op.submissions_total.With({"python3", "Accepted"}).Increment();
  op.submissions.With({"Pending"}).Set(3);
  op.queue_seconds.Observe(0.5);
  op.overhead_seconds.Observe(std::chrono::milliseconds(250));
  op.stage_seconds.With({"run"}).Observe(1);
  op.executors.With({"default", "ready"}).Set(2);
  op.slots.With({"default", "busy"}).Add(4);
  op.runtime_build_seconds.With({"success"}).Observe(10);
  op.runtimes.With({"Ready"}).Set(4);
  op.cache_fetch_seconds.Observe(1);
  op.cache_bytes.Set(1024);
  op.compile_cache_total.With({"hit"}).Increment(2);
  const AgentMetrics agent(&registry);
  agent.runs_total.With({"Accepted"}).Increment();
  const WorkQueueMetrics queue(&registry, "submissions");
  queue.adds_total.Increment();
  const ReconcileMetrics reconcile(&registry, "submission");
  reconcile.success_total.Increment();
  const RestClientMetrics rest(&registry);
  rest.requests_total.With({"200", "GET", "h:1"}).Increment();
  const LeaderMetrics leader(&registry, "envicutor-operator");
  leader.master_status.Set(1);

  for (const char* line : {
           "envicutor_build_info{version=\"1.2.3\"} 1",
           "envicutor_submissions_total{runtime=\"python3\",verdict=\"Accepted\"} 1",
           "envicutor_submissions{phase=\"Pending\"} 3",
           "envicutor_queue_seconds_sum 0.5",
           "envicutor_overhead_seconds_sum 0.25",
           "envicutor_stage_seconds_bucket{stage=\"run\",le=\"1\"} 1",
           "envicutor_executors{pool=\"default\",state=\"ready\"} 2",
           "envicutor_slots{pool=\"default\",state=\"busy\"} 4",
           "envicutor_runtime_build_seconds_count{result=\"success\"} 1",
           "envicutor_runtimes{phase=\"Ready\"} 4",
           "envicutor_cache_fetch_seconds_count 1",
           "envicutor_cache_bytes 1024",
           "envicutor_compile_cache_total{result=\"hit\"} 2",
           "envicutor_agent_runs_total{verdict=\"Accepted\"} 1",
           "workqueue_adds_total{name=\"submissions\"} 1",
           "workqueue_depth{name=\"submissions\"} 0",
           "controller_runtime_reconcile_total{controller=\"submission\",result=\"success\"} 1",
           "controller_runtime_reconcile_total{controller=\"submission\",result=\"error\"} 0",
           "rest_client_requests_total{code=\"200\",host=\"h:1\",method=\"GET\"} 1",
           "leader_election_master_status{name=\"envicutor-operator\"} 1",
           "# TYPE envicutor_submissions_total counter",
           "# HELP envicutor_queue_seconds ",
       }) {
    EXPECT_TRUE(Has(registry, line)) << line << "\n" << registry.Render();
  }
}

TEST(Metrics, CountIntoNothingWithoutARegistry) {
  const OperatorMetrics op(nullptr);
  op.submissions_total.With({"a", "b"}).Increment();
  op.queue_seconds.Observe(1);
  op.slots.Remove({"a", "b"});
  EXPECT_EQ(0, op.cache_bytes.Value());
}

TEST(Metrics, TwoUsersShareASeries) {
  Registry registry;
  const WorkQueueMetrics one(&registry, "q");
  const WorkQueueMetrics two(&registry, "q");
  one.adds_total.Increment();
  two.adds_total.Increment();
  EXPECT_EQ(2, one.adds_total.Value());
}

TEST(Metrics, SeriesAreRemovedAndBounded) {
  Registry registry;
  const OperatorMetrics op(&registry);
  op.slots.With({"old", "busy"}).Set(1);
  op.slots.Remove({"old", "busy"});
  EXPECT_FALSE(Has(registry, "pool=\"old\""));
  for (int i = 0; i < 5000; ++i) {
    op.submissions_total.With({"r" + std::to_string(i), "Accepted"}).Increment();
  }
  EXPECT_FALSE(Has(registry, "runtime=\"r4999\""));
  EXPECT_TRUE(
      Has(registry, "envicutor_submissions_total{runtime=\"other\",verdict=\"other\"} 3000"));
}

TEST(Metrics, UpdatesRunBeforeRenderUntilTheirHandleIsGone) {
  Registry registry;
  const OperatorMetrics op(&registry);
  int runs = 0;
  auto handle = registry.OnRender([&] { op.cache_bytes.Set(++runs); });
  EXPECT_TRUE(Has(registry, "envicutor_cache_bytes 1"));
  handle.reset();
  EXPECT_TRUE(Has(registry, "envicutor_cache_bytes 1"));
  EXPECT_EQ(1, runs);
}

TEST(Metrics, HandleMayOutliveTheRegistry) {
  std::shared_ptr<void> handle;
  {
    Registry registry;
    handle = registry.OnRender([] {});
  }
  handle.reset();
}

TEST(Metrics, LabelValuesAreEscaped) {
  Registry registry;
  const OperatorMetrics op(&registry);
  op.submissions_total.With({"a\"b\nc\\", "x"}).Increment();
  EXPECT_TRUE(Has(registry, "runtime=\"a\\\"b\\nc\\\\\""));
}

TEST(Metrics, ThreadsCountTogether) {
  Registry registry;
  const OperatorMetrics op(&registry);
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 1000; ++i) op.compile_cache_total.With({"hit"}).Increment();
        (void)registry.Render();
      });
    }
  }
  EXPECT_EQ(4000, op.compile_cache_total.With({"hit"}).Value());
}

}  // namespace
}  // namespace envicutor::metrics
