// The runtime controller alone, over a fake API server and a clock that stands still.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "operator/runtimes/runtime_controller.h"
#include "tests/unit/operator/fakes.h"

namespace envicutor::op {

// testing::FakeClient guards Submissions, whose phase Failed is final; a Runtime's is not.
class RuntimeClient final : public kube::Client {
 public:
  explicit RuntimeClient(testing::FakeClient& store) : store_(store) {}
  Result<Json> Get(const kube::ResourceType& type, const std::string& ns,
                   const std::string& name) override {
    return store_.Get(type, ns, name);
  }
  Result<kube::List> ListAll(const kube::ResourceType& type, const std::string& ns,
                             const kube::ListOptions& options) override {
    return store_.ListAll(type, ns, options);
  }
  Result<Json> Create(const kube::ResourceType& type, const std::string& ns,
                      const Json& object) override {
    return store_.Create(type, ns, object);
  }
  Result<Json> Update(const kube::ResourceType& type, const Json& object,
                      const std::string& subresource) override {
    return store_.Update(type, object, subresource);
  }
  Result<Json> Patch(const kube::ResourceType& type, const std::string& ns, const std::string& name,
                     kube::PatchType, const Json& patch, const std::string&) override {
    ++store_.requests["patch"];
    if (store_.fault) ENVICUTOR_RETURN_IF_ERROR(store_.fault("patch"));
    ENVICUTOR_ASSIGN(Json object, store_.Get(type, ns, name));
    if (kube::ResourceVersionOf(patch) != kube::ResourceVersionOf(object)) {
      return Status(Code::kConflict, "the object has been modified");
    }
    object.merge_patch(patch);
    return store_.Put(type, std::move(object));
  }
  Status Delete(const kube::ResourceType& type, const std::string& ns, const std::string& name,
                const DeleteOptions& options) override {
    return store_.Delete(type, ns, name, options);
  }
  Status Watch(const kube::ResourceType&, const std::string&, const kube::WatchOptions&,
               const std::function<bool(kube::WatchEvent)>&, std::stop_token) override {
    return Status(Code::kUnimplemented, "watch");
  }
  Result<std::string> GetRaw(const std::string& target) override { return store_.GetRaw(target); }

 private:
  testing::FakeClient& store_;
};

class RuntimeControllerTest : public ::testing::Test {
 protected:
  RuntimeControllerTest() : queue_(kube::NewWorkQueue("test", QueueOptions())), metrics_(nullptr) {
    client_.on_change = [this](const Json& object, bool deleted) {
      runtimes_.Deliver(object, deleted);
    };
    Restart();
  }

  kube::WorkQueueOptions QueueOptions() {
    kube::WorkQueueOptions options;
    options.clock = &clock_;
    return options;
  }

  void Restart() {
    runtimes_.handlers.clear();
    runner_.submitted.clear();
    controller_ = std::make_unique<RuntimeController>(
        RuntimeControllerDeps{writer_, runtimes_, submissions_, *queue_, runner_, builds_, nullptr,
                              metrics_, clock_, options_});
    controller_->Follow();
    changes_.clear();
    controller_->OnChange([this](const std::string& name) { changes_.push_back(name); });
    for (const auto& runtime : runtimes_.All()) queue_->Add(kube::NameOf(*runtime));
  }

  static Json Spec(const std::string& package = "python3") {
    return {
        {"environment", {{"packages", {package}}}},
        {"sourceFile", "main.py"},
        {"run", {{"script", "exec python3 main.py \"$@\""}}},
        {"selfTests",
         Json::array(
             {{{"name", "hello"}, {"source", "print('hi')"}, {"expect", {{"stdout", "hi\n"}}}}})}};
  }
  void Apply(const Json& spec, int64_t generation = 1) {
    const std::string key = testing::FakeClient::KeyFor(kube::kRuntimes, "", "py");
    Json object = client_.objects.count(key) != 0
                      ? client_.objects.at(key)
                      : Json{{"apiVersion", "envicutor.io/v1alpha1"}, {"kind", "Runtime"}};
    object["metadata"]["name"] = "py";
    object["metadata"]["uid"] = "uid-py";
    object["metadata"]["generation"] = generation;
    object["spec"] = spec;
    client_.Put(kube::kRuntimes, object);
  }
  [[nodiscard]] const Json& Runtime() const {
    return client_.objects.at(testing::FakeClient::KeyFor(kube::kRuntimes, "", "py"));
  }
  [[nodiscard]] const Json& RuntimeStatusNow() const { return At(Runtime(), {"status"}); }
  [[nodiscard]] std::string Phase() const { return GetString(RuntimeStatusNow(), "phase"); }
  [[nodiscard]] const Json& ConditionNow(const std::string& type) const {
    for (const Json& condition : At(RuntimeStatusNow(), {"conditions"})) {
      if (GetString(condition, "type") == type) return condition;
    }
    return At(Json(), {});
  }
  [[nodiscard]] std::string ReadyMessage() const {
    return GetString(ConditionNow("Ready"), "message");
  }

  void Work() {
    for (int i = 0; i < 200; ++i) {
      const auto key = queue_->TryGet();
      if (!key) return;
      if (!controller_->Reconcile(*key).ok()) queue_->AddRateLimited(*key);
      queue_->Done(*key);
    }
    FAIL() << "the queue does not become empty";
  }
  std::string SetBuild(const Json& spec, BuildState::Phase phase, const std::string& message = "") {
    const auto environment = api::EnvironmentSpecFromJson(At(spec, {"environment"}), "");
    const std::string hash = builds_.HashOf(*environment);
    BuildState& state = builds_.states[hash];
    state.phase = phase;
    state.message = message;
    state.store_path = "/nix/store/" + hash;
    state.stage.emplace();
    state.stage->stderr_data = "log";
    builds_.changed(hash);
    return hash;
  }
  // Every run that is out ends: exit code 0, stdout "hi".
  void EndRuns(const std::string& output = "hi\n", api::Verdict verdict = api::Verdict::kAccepted) {
    std::vector<testing::FakeRunner::Submitted> out;
    out.swap(runner_.submitted);
    for (const testing::FakeRunner::Submitted& submitted : out) {
      api::RunResult result;
      result.uid = submitted.request.uid;
      result.verdict = verdict;
      result.run.emplace();
      result.run->exit_code = verdict == api::Verdict::kAccepted ? 0 : 1;
      result.run->stdout_data = output;
      result.run->cpu_time_millis = 3;
      result.run->memory_bytes = 4096;
      submitted.events.on_done(result, {});
    }
  }
  void MakeReady(const Json& spec, int64_t generation = 1) {
    Apply(spec, generation);
    Work();
    SetBuild(spec, BuildState::Phase::kReady);
    Work();
    EndRuns();
    Work();
    ASSERT_EQ(Phase(), "Ready") << Runtime();
  }

  FakeClock clock_;
  testing::FakeClient client_;
  RuntimeClient writer_{client_};
  testing::FakeInformer runtimes_;
  testing::FakeInformer submissions_;
  std::unique_ptr<kube::WorkQueue> queue_;
  testing::FakeRunner runner_;
  testing::FakeBuilds builds_;
  metrics::OperatorMetrics metrics_;
  Options options_;
  std::unique_ptr<RuntimeController> controller_;
  std::vector<std::string> changes_;
};

}  // namespace envicutor::op
