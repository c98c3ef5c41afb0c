#include "operator/controllers/workers.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>

#include "common/metrics/registry.h"

namespace envicutor::op {
namespace {

// Each reconciliation counts once, under what came of it.
TEST(WorkersTest, CountWhatCameOfEachReconciliation) {
  metrics::Registry registry;
  const auto queue = kube::NewWorkQueue("test", {.base_delay = std::chrono::milliseconds(1)});
  std::atomic<int> fails = 2;
  std::atomic<int> again = 3;
  std::atomic<int> later = 4;
  std::atomic<int> plain = 5;
  std::promise<void> all_done;
  std::atomic<int> left = 4;
  const auto over = [&] {
    if (--left == 0) all_done.set_value();
    return OkStatus();
  };
  {
    Workers workers("things", *queue, 2, &registry, [&](const std::string& key) -> Status {
      if (key == "fails") return fails-- > 0 ? Unavailable("away") : over();
      if (key == "again") {
        if (again-- == 0) return over();
        queue->Add(key);
      } else if (key == "later") {
        if (later-- == 0) return over();
        queue->AddAfter(key, std::chrono::milliseconds(1));
      } else {
        return --plain == 0 ? over() : OkStatus();
      }
      return OkStatus();
    });
    for (const char* key : {"fails", "again", "later", "1", "2", "3", "4", "5"}) queue->Add(key);
    all_done.get_future().wait();
  }
  const std::string text = registry.Render();
  for (const char* line : {
           // Those of "1" to "5", and the last of each of the others.
           R"(controller_runtime_reconcile_total{controller="things",result="success"} 8)",
           R"(controller_runtime_reconcile_total{controller="things",result="error"} 2)",
           R"(controller_runtime_reconcile_total{controller="things",result="requeue"} 3)",
           R"(controller_runtime_reconcile_total{controller="things",result="requeue_after"} 4)",
           R"(controller_runtime_reconcile_errors_total{controller="things"} 2)",
           R"(controller_runtime_reconcile_time_seconds_count{controller="things"} 17)",
       }) {
    EXPECT_NE(text.find(line), std::string::npos) << line << "\n" << text;
  }
}

}  // namespace
}  // namespace envicutor::op
