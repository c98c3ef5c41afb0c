#include "operator/runtimes/runtime_status.h"

#include "common/api/stage_result.h"
#include "common/base/encoding.h"
#include "common/kube/resource.h"

namespace envicutor::op {
namespace {

using State = RuntimeView::State;

constexpr size_t kMaxMessageBytes = 4096;

struct Words {
  const char* status;
  const char* reason;
};

// What the conditions say in each state. Published: the environment is where executors take it
// from.
struct Row {
  State state;
  const char* phase;
  Words built;
  Words tested;
  Words ready;
};
constexpr Row kRows[] = {
    {State::kPending,
     "Pending",
     {"Unknown", "Pending"},
     {"Unknown", "Pending"},
     {"False", "Pending"}},
    {State::kInvalid,
     "Failed",
     {"False", "InvalidSpec"},
     {"Unknown", "NotBuilt"},
     {"False", "InvalidSpec"}},
    {State::kBuilding,
     "Building",
     {"False", "Building"},
     {"Unknown", "NotBuilt"},
     {"False", "Building"}},
    {State::kBuildFailed,
     "Failed",
     {"False", "BuildFailed"},
     {"Unknown", "NotBuilt"},
     {"False", "BuildFailed"}},
    {State::kPublishing,
     "Building",
     {"True", "Built"},
     {"Unknown", "NotPublished"},
     {"False", "NotPublished"}},
    {State::kTesting, "Testing", {"True", "Built"}, {"Unknown", "Testing"}, {"False", "Testing"}},
    {State::kTestsFailed,
     "Failed",
     {"True", "Built"},
     {"False", "SelfTestFailed"},
     {"False", "SelfTestFailed"}},
    {State::kReady, "Ready", {"True", "Built"}, {"True", "Passed"}, {"True", "Ready"}},
};

const Row& RowOf(State state) {
  for (const Row& row : kRows) {
    if (row.state == state) return row;
  }
  return kRows[0];
}

std::string Bounded(const std::string& text) {
  return ToUtf8Lossy(Utf8Prefix(text, kMaxMessageBytes));
}

Json EnvironmentJson(const std::string& hash, const BuildState& build) {
  return {{"hash", hash},
          {"storePath", build.store_path},
          {"closureSizeBytes", build.closure_size_bytes},
          {"closurePaths", build.closure_paths},
          {"signedBy", build.signed_by}};
}

Json SelfTestsJson(const TestReport& report) {
  Json list = Json::array();
  for (const SelfTestResult& result : report.results) {
    list.push_back(
        {{"name", result.name}, {"passed", result.passed}, {"message", Bounded(result.message)}});
  }
  return list;
}

}  // namespace

std::string PhaseOf(State state) { return RowOf(state).phase; }

Json RuntimeStatus(const Json& runtime, const RuntimeView& view, const std::string& now_rfc3339) {
  const int64_t generation = GetInt(At(runtime, {"metadata"}), "generation");
  Json status = At(runtime, {"status"}).is_object() ? At(runtime, {"status"}) : Json::object();
  const bool same_generation = GetInt(status, "observedGeneration") == generation;
  const Row& row = RowOf(view.state);

  std::string message = view.message;
  const bool other_serves = view.served != nullptr && view.served->generation != generation;
  if (other_serves && view.state != State::kReady) {
    message += (message.empty() ? "" : "; ") + std::string("generation ") +
               std::to_string(view.served->generation) + " goes on serving submissions";
  }
  message = Bounded(message);
  status["phase"] = row.phase;
  status["observedGeneration"] = generation;
  status["message"] = message;

  Json& conditions = status["conditions"];
  const bool built = std::string_view(row.built.status) == "True";
  const auto set = [&](const char* type, const Words& words, const std::string& text) {
    kube::SetCondition(&conditions, {type, words.status, words.reason, text, generation},
                       now_rfc3339);
  };
  set("Built", row.built, built ? "the environment is built" : message);
  const std::string signed_by = view.build ? view.build->signed_by : "";
  if (view.state == State::kPublishing) {
    set("Published", {"False", view.build->unpublished.c_str()}, message);
  } else if (!built) {
    set("Published", {"False", "NotBuilt"}, "");
  } else if (signed_by.empty()) {
    set("Published", {"True", "OnStore"},
        "there is no shared cache: the environment is on the store of the node that built it");
  } else {
    set("Published", {"True", "Published"},
        "the cache has the environment, signed by " + signed_by + " and verified");
  }
  set("Tested", row.tested,
      view.state == State::kReady ? "all self-tests passed on an executor"
      : view.state == State::kTestsFailed || view.state == State::kTesting ? message
                                                                           : "");
  set("Ready", row.ready, view.state == State::kReady ? "it serves submissions" : message);

  if (view.build &&
      (view.build->phase == BuildState::Phase::kReady || view.state == State::kPublishing)) {
    status["environment"] = EnvironmentJson(view.hash, *view.build);
  } else if (!same_generation || GetString(At(status, {"environment"}), "hash") != view.hash) {
    status.erase("environment");
  }
  if (view.build && view.build->stage) {
    status["build"] = api::StageResultToJson(*view.build->stage);
  } else if (!same_generation) {
    status.erase("build");
  }
  if (view.tests) {
    status["selfTests"] = SelfTestsJson(*view.tests);
    status["resourceUsage"] = {{"cpuTimeMillis", view.tests->cpu_time_millis},
                               {"memoryBytes", view.tests->memory_bytes}};
  } else if (!same_generation) {
    status.erase("selfTests");
    status.erase("resourceUsage");
  }
  if (view.served != nullptr) {
    status["served"] = {{"generation", view.served->generation},
                        {"environmentHash", view.served->environment_hash},
                        {"environmentStorePath", view.served->environment_store_path},
                        {"spec", view.served->spec}};
  } else {
    status.erase("served");
  }
  return status;
}

Json MergePatchBetween(const Json& from, const Json& to) {
  Json patch = Json::object();
  for (const auto& [key, value] : from.items()) {
    if (!to.contains(key)) patch[key] = nullptr;
  }
  for (const auto& [key, value] : to.items()) {
    const auto old = from.find(key);
    if (old == from.end()) {
      patch[key] = value;
    } else if (*old != value) {
      patch[key] = old->is_object() && value.is_object() ? MergePatchBetween(*old, value) : value;
    }
  }
  return patch;
}

std::optional<ServedRuntime> ServedFromStatus(const Json& runtime) {
  const Json& served = At(runtime, {"status", "served"});
  if (!served.is_object() || !At(served, {"spec"}).is_object()) return std::nullopt;
  ServedRuntime result;
  result.name = kube::NameOf(runtime);
  result.generation = GetInt(served, "generation");
  result.environment_hash = GetString(served, "environmentHash");
  result.environment_store_path = GetString(served, "environmentStorePath");
  result.spec = At(served, {"spec"});
  result.pool = GetString(result.spec, "executorPool", "default");
  if (result.environment_hash.empty() || result.generation <= 0) return std::nullopt;
  return result;
}

}  // namespace envicutor::op
