// Projected volumes: what a pod with a service account's token gets.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "common/base/file.h"
#include "standalone/node/volumes.h"

namespace envicutor::standalone {
namespace {

Result<PodSpec> PodWith(const std::string& sources) {
  return ParsePodSpec(*ParseJson(R"({"metadata":{"name":"p","namespace":"ns","uid":"u"},"spec":{
    "volumes":[{"name":"api","projected":{"defaultMode":416,"sources":[)" +
                                 sources + R"(]}}],
    "containers":[{"name":"c","command":["x"],
                   "volumeMounts":[{"name":"api","mountPath":"/var/run/secrets"}]}]}})"));
}

TEST(ProjectedVolume, HoldsTokenConfigMapAndFields) {
  const auto pod = PodWith(R"(
    {"serviceAccountToken":{"path":"token","expirationSeconds":3607}},
    {"configMap":{"name":"root","items":[{"key":"ca.crt","path":"ca.crt"}]}},
    {"downwardAPI":{"items":[{"path":"namespace","fieldRef":{"fieldPath":"metadata.namespace"}}]}})");
  ASSERT_TRUE(pod.ok()) << pod.status().ToString();
  std::string dir = ::testing::TempDir() + "/envicutor-projected-XXXXXX";
  ASSERT_NE(::mkdtemp(dir.data()), nullptr);
  const auto mounts =
      PrepareVolumes(*pod, dir,
                     [](VolumeSpec::Kind kind,
                        const std::string& name) -> Result<std::map<std::string, std::string>> {
                       if (kind == VolumeSpec::Kind::kToken)
                         return {{{"token", "secret of " + name}}};
                       if (kind == VolumeSpec::Kind::kFields) return {{{"value", "field " + name}}};
                       return {{{"ca.crt", "CA"}, {"other", "not asked for"}}};
                     });
  ASSERT_TRUE(mounts.ok()) << mounts.status().ToString();
  ASSERT_EQ(mounts->size(), 1U);
  const std::string at = (*mounts)[0].source;
  EXPECT_TRUE((*mounts)[0].read_only);
  EXPECT_EQ(*ReadFile(at + "/token"), "secret of ");
  EXPECT_EQ(*ReadFile(at + "/ca.crt"), "CA");
  EXPECT_EQ(*ReadFile(at + "/namespace"), "field metadata.namespace");
  EXPECT_FALSE(ReadFile(at + "/other").ok());
  EXPECT_EQ(std::filesystem::status(at + "/token").permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  std::filesystem::remove_all(dir);
}

TEST(ProjectedVolume, AnUnknownSourceIsRefusedByName) {
  EXPECT_NE(PodWith(R"({"clusterTrustBundle":{}})").status().message().find("sources[0]"),
            std::string::npos);
}

}  // namespace
}  // namespace envicutor::standalone
