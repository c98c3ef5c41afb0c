#include "standalone/node/pod_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace envicutor::standalone {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Json Pod(const char* container) {
  return *ParseJson(std::string(R"({"metadata":{"name":"p","namespace":"ns","uid":"u",
    "labels":{"app.kubernetes.io/component":"executor"}},
    "spec":{"volumes":[{"name":"tls","secret":{"secretName":"s"}},{"name":"state","emptyDir":{}},
                       {"name":"store","hostPath":{"path":"/store","type":"DirectoryOrCreate"}}],
            "containers":[)") +
                    container + "]}}");
}

TEST(PodSpecTest, ReadsAnExecutorPod) {
  const auto pod = ParsePodSpec(Pod(R"({"name":"agent","image":"i","command":["agent"],
    "args":["--listen","$(POD_IP):8443"],
    "env":[{"name":"POD_IP","valueFrom":{"fieldRef":{"fieldPath":"status.podIP"}}}],
    "volumeMounts":[{"name":"tls","mountPath":"/etc/envicutor/tls","readOnly":true}],
    "ports":[{"name":"probes","containerPort":8081}],
    "readinessProbe":{"httpGet":{"path":"/readyz","port":"probes"},"periodSeconds":2},
    "securityContext":{"privileged":true},"resources":{"limits":{"memory":"3Gi","cpu":"1500m"}}})"));
  ASSERT_TRUE(pod.ok()) << pod.status().ToString();
  EXPECT_EQ(pod->component, "executor");
  EXPECT_TRUE(pod->privileged);
  EXPECT_EQ(pod->memory_bytes, 3LL << 30);
  EXPECT_EQ(pod->cpu_millis, 1500);
  ASSERT_TRUE(pod->readiness.has_value());
  EXPECT_EQ(pod->readiness->port, 8081);
  EXPECT_EQ(pod->volumes[2].source, "/store");
  const auto env = ResolveEnv(*pod, {"10.0.0.7", "127.0.0.1", "local"}, nullptr);
  ASSERT_TRUE(env.ok());
  EXPECT_THAT(ResolveCommand(*pod, *env), ElementsAre("agent", "--listen", "10.0.0.7:8443"));
}

TEST(PodSpecTest, RefusesWhatItCannotHonour) {
  const auto message = [](const char* container) {
    return ParsePodSpec(Pod(container)).status().message();
  };
  EXPECT_THAT(message(R"({"name":"a","command":["x"],"livenessProbe":{"exec":{}}})"),
              HasSubstr("livenessProbe"));
  EXPECT_THAT(
      message(R"({"name":"a","command":["x"],"volumeMounts":[{"name":"no","mountPath":"/x"}]})"),
      HasSubstr("there is no volume \"no\""));
  EXPECT_THAT(
      message(
          R"({"name":"a","command":["x"],"volumeMounts":[{"name":"tls","mountPath":"/a/../b"}]})"),
      HasSubstr("mountPath"));
  EXPECT_THAT(message(R"({"name":"a"})"), HasSubstr("command"));
  EXPECT_THAT(message(R"({"name":"a","command":["x"]},{"name":"b","command":["x"]})"),
              HasSubstr("2 containers"));
}

TEST(PodSpecTest, ExpandsVariablesAsKubernetes) {
  const std::map<std::string, std::string> variables = {{"A", "1"}, {"B", "two"}};
  EXPECT_EQ(ExpandVariables("$(A)-$(B)", variables), "1-two");
  EXPECT_EQ(ExpandVariables("$$(A) $(NONE) $( $", variables), "$(A) $(NONE) $( $");
  EXPECT_EQ(ExpandVariables("", variables), "");
}

TEST(PodSpecTest, EnvironmentFromSecretsAndConfigMaps) {
  const auto pod = ParsePodSpec(Pod(R"({"name":"a","command":["x"],"env":[
    {"name":"S","valueFrom":{"secretKeyRef":{"name":"s","key":"k"}}},
    {"name":"C","valueFrom":{"configMapKeyRef":{"name":"c","key":"no","optional":true}}},
    {"name":"D","value":"$(S)!"}]})"));
  ASSERT_TRUE(pod.ok());
  const auto env = ResolveEnv(*pod, {}, [](VolumeSpec::Kind, const std::string& name) {
    using Data = std::map<std::string, std::string>;
    return name == "s" ? Result<Data>(Data{{"k", "v"}}) : Result<Data>(NotFound("none"));
  });
  ASSERT_TRUE(env.ok()) << env.status().ToString();
  EXPECT_EQ(env->at("D"), "v!");
  EXPECT_FALSE(env->contains("C"));
}

TEST(PodSpecTest, CpuQuantities) {
  EXPECT_EQ(*ParseCpuMillis("250m"), 250);
  EXPECT_EQ(*ParseCpuMillis("2"), 2000);
  EXPECT_EQ(*ParseCpuMillis("1.5"), 1500);
  EXPECT_EQ(*ParseCpuMillis("0.25"), 250);
  EXPECT_FALSE(ParseCpuMillis("many").ok());
}

}  // namespace
}  // namespace envicutor::standalone
