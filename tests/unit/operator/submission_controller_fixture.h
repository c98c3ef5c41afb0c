// The submission controller alone, over a fake API server and a clock that stands still.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>

#include "operator/controllers/submission_controller.h"
#include "operator/controllers/ttl.h"
#include "tests/unit/operator/fakes.h"
#include "tests/unit/operator/submissions.h"

namespace envicutor::op {

class SubmissionControllerTest : public ::testing::Test {
 protected:
  SubmissionControllerTest()
      : queue_(kube::NewWorkQueue("submissions", QueueOptions())),
        ttl_(client_, clock_, 3600),
        controller_({client_, informer_, *queue_, runner_, catalog_, builds_, ttl_, nullptr,
                     metrics_, clock_, options_}) {
    client_.on_change = [this](const Json& object, bool deleted) {
      if (GetString(object, "kind") == "Submission" && deliver_) informer_.Deliver(object, deleted);
    };
    controller_.Follow();
    catalog_.Serve("python3", testing::PythonRuntime());
  }

  kube::WorkQueueOptions QueueOptions() {
    kube::WorkQueueOptions options;
    options.clock = &clock_;
    return options;
  }

  void Create(const Json& submission) { client_.Put(kube::kSubmissions, submission); }
  // Works on what is ready now.
  void Settle() {
    for (int i = 0; i < 1000; ++i) {
      const std::optional<std::string> key = queue_->TryGet();
      if (!key.has_value()) return;
      const Status status = controller_.Reconcile(*key);
      if (status.ok()) {
        queue_->Forget(*key);
      } else {
        queue_->AddRateLimited(*key);
      }
      queue_->Done(*key);
    }
    FAIL() << "the queue never settles";
  }
  void Advance(Duration by) {
    constexpr Duration kStep = std::chrono::milliseconds(100);
    for (Duration done{}; done < by; done += kStep) {
      clock_.Advance(kStep);
      Settle();
    }
  }
  Json Object(const std::string& name) { return client_.objects.at("submissions/default/" + name); }
  Json StatusOf(const std::string& name) { return At(Object(name), {"status"}); }
  void CreatePython(const std::string& name, const Json& more = Json::object()) {
    Json spec = {{"runtimeRef", {{"name", "python3"}}}, {"source", "print(1)"}};
    spec.update(more);
    Create(testing::Submission(name, spec));
    Settle();
  }
  void Done(const Result<api::RunResult>& result) {
    runner_.submitted.back().events.on_done(result, {"pod-0", "node-0"});
    Settle();
  }

  FakeClock clock_;
  testing::FakeClient client_;
  testing::FakeInformer informer_;
  testing::FakeRunner runner_;
  testing::FakeCatalog catalog_;
  testing::FakeBuilds builds_;
  Options options_ = testing::TestOptions();
  metrics::OperatorMetrics metrics_{nullptr};
  bool deliver_ = true;
  std::unique_ptr<kube::WorkQueue> queue_;
  TtlCollector ttl_;
  SubmissionController controller_;
};

}  // namespace envicutor::op
