// The pods that build and collect: their manifests, and what their ends mean.
#include "operator/environments/builder_pod.h"

#include <gtest/gtest.h>

#include "common/kube/resource.h"
#include "tests/unit/operator/environments.h"

namespace envicutor::op {
namespace {

using testing::Message;
using testing::Packages;

TEST(CollectorPod, HasTheKeysAndTheCachesFolder) {
  Options options;
  options.cache.url = "file:///var/cache/envicutor";
  options.cache.public_keys = {"k-1:x", "k-2:y"};
  const Json pod = CollectorPod(options);
  const std::string text = DumpJson(pod);
  EXPECT_NE(text.find(R"("--cache-public-keys","k-1:x k-2:y")"), std::string::npos) << text;
  EXPECT_NE(text.find(R"("mountPath":"/var/cache/envicutor")"), std::string::npos);
  EXPECT_NE(text.find(R"("secretName":"envicutor-cache-key")"), std::string::npos);
  api::EnvironmentSpec spec = Packages("bash");
  EXPECT_NE(DumpJson(BuilderPod("h", spec, options)).find("envicutor-cache-key"),
            std::string::npos);
  spec.salt = "uid";
  EXPECT_EQ(DumpJson(BuilderPod("h", spec, options)).find("envicutor-cache-key"), std::string::npos)
      << "one submission's alone is not published";
}

TEST(BuilderPod, IsWhatTheArchitectureSays) {
  Options options;
  options.builder.nixpkgs = "/somewhere";
  api::EnvironmentSpec spec = Packages("bash");
  spec.build_timeout_millis = 30'000;
  const Json pod = BuilderPod("abc", spec, options);
  EXPECT_EQ(kube::NameOf(pod), "builder-abc");
  const Json& labels = At(pod, {"metadata", "labels"});
  EXPECT_EQ(GetString(labels, "app.kubernetes.io/component"), "builder");
  EXPECT_EQ(GetString(At(pod, {"spec"}), "restartPolicy"), "Never");
  EXPECT_EQ(GetInt(At(pod, {"spec"}), "activeDeadlineSeconds"), 150);
  const Json& container = At(pod, {"spec", "containers"})[0];
  EXPECT_EQ(GetString(container, "name"), "builder");
  const std::string args = DumpJson(At(container, {"args"}));
  EXPECT_NE(args.find(R"("--store","/var/lib/envicutor/store")"), std::string::npos) << args;
  EXPECT_NE(args.find(R"("--request","/etc/envicutor/build/request.json")"), std::string::npos);
  EXPECT_NE(args.find(R"("--nixpkgs","/somewhere")"), std::string::npos);
}

TEST(BuilderPod, TellsTheUsersFaultsFromOurs) {
  const Options options;
  const auto read = [&options](const std::string& message, const std::string& reason,
                               const std::string& pod_reason) {
    return ReadBuilderPod(
        {{"status",
          {{"phase", "Failed"},
           {"reason", pod_reason},
           {"containerStatuses",
            Json::array({{{"state",
                           {{"terminated",
                             {{"exitCode", 1}, {"reason", reason}, {"message", message}}}}}}})}}}},
        options);
  };
  for (const char* outcome : {"BuildFailed", "EvaluationFailed", "TimedOut", "OutOfMemory"}) {
    const PodOutcome ended = read(DumpJson(Message(outcome, "why")), "Error", "");
    EXPECT_FALSE(ended.infrastructure) << outcome;
    EXPECT_EQ(ended.state.message, std::string(outcome) + ": why");
  }
  EXPECT_TRUE(read(DumpJson(Message("InternalError", "x")), "Error", "").infrastructure);
  EXPECT_TRUE(read("not json", "Error", "").infrastructure);
  EXPECT_TRUE(read("", "Error", "").infrastructure);
  EXPECT_TRUE(read("", "", "Evicted").infrastructure);
  EXPECT_FALSE(read("", "OOMKilled", "").infrastructure);
  EXPECT_FALSE(read("", "", "DeadlineExceeded").infrastructure);
  EXPECT_NE(ReadBuilderPod(Json::object(), options).phase, PodOutcome::Phase::kEnded);
}

}  // namespace
}  // namespace envicutor::op
