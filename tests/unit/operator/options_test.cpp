#include "operator/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace envicutor::op {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kTls = "executorTls: {caFile: /ca, certFile: /crt, keyFile: /key}\n";

TEST(Options, MinimalConfigurationTakesAllDefaults) {
  const Result<Options> options = ParseOptions(kTls);
  ASSERT_TRUE(options.ok()) << options.status().ToString();
  EXPECT_EQ(options->operator_namespace, "envicutor-system");
  EXPECT_EQ(options->executor_tls.server_name, "executor.envicutor.internal");
  EXPECT_EQ(options->submissions.runtime_wait_seconds, 30);
  EXPECT_EQ(options->run_limits.maxima.Value(api::Limit::kWallTime), 60'000);
}

TEST(Options, EveryMistakeIsListedAtOnce) {
  const Result<Options> options = ParseOptions(R"(
executorNamspace: x
executor: {sandbox: docker, storeHostPath: relative}
builder: {concurrency: 0, timeout: soon, memory: 1Ki}
limits: {run: {default: {wallTime: 120s}, max: {memory: 12Qi}}}
queue: {maxLength: many}
submissions: {allowEnvironments: some}
listen: {probes: "8081"}
leaderElection: {leaseDuration: 5s}
log: {level: loud}
)");
  ASSERT_FALSE(options.ok());
  const std::string& message = options.status().message();
  EXPECT_THAT(message, HasSubstr("executorNamspace: is not a known field"));
  EXPECT_THAT(message, HasSubstr("executorTls.caFile: is required"));
  EXPECT_THAT(message, HasSubstr("executor.sandbox: \"docker\" is not one of: native, isolate"));
  EXPECT_THAT(message, HasSubstr("executor.storeHostPath: \"relative\" is not an absolute path"));
  EXPECT_THAT(message, HasSubstr("builder.concurrency: 0 is less than the minimum 1"));
  EXPECT_THAT(message, HasSubstr("builder.timeout:"));
  EXPECT_THAT(message, HasSubstr("builder.memory: 1Ki is less than the minimum 64Mi"));
  EXPECT_THAT(message, HasSubstr("limits.run.default.wallTime: 120s is more than the maximum 60s"));
  EXPECT_THAT(message, HasSubstr("limits.run.max.memory:"));
  EXPECT_THAT(message, HasSubstr("queue.maxLength: \"many\" is not a whole number"));
  EXPECT_THAT(
      message,
      HasSubstr("submissions.allowEnvironments: \"some\" is not one of: all, packages, none"));
  EXPECT_THAT(message, HasSubstr("listen.probes: \"8081\" is not ADDRESS:PORT"));
  EXPECT_THAT(message,
              HasSubstr("leaderElection.renewDeadline: 10s must be less than leaseDuration 5s"));
  EXPECT_THAT(message, HasSubstr("log.level: \"loud\""));
}

constexpr const char* kKey = "cache-1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

TEST(Options, TheCacheIsRead) {
  const Result<Options> options = ParseOptions(
      std::string(kTls) + "cache: {url: 'http://cache/', publicKeys: ['" + kKey +
      "'], upstreams: [{url: 'https://cache.nixos.org', publicKey: '" + kKey +
      "'}], maxSize: 1Gi, executorMaxSize: 2Gi, keySecret: k, gcInterval: 5m, gcGrace: 10m}");
  ASSERT_TRUE(options.ok()) << options.status().ToString();
  const CacheOptions& cache = options->cache;
  EXPECT_EQ(cache.url, "http://cache/");
  EXPECT_THAT(cache.public_keys, ::testing::ElementsAre(kKey));
  ASSERT_EQ(cache.upstreams.size(), 1U);
  EXPECT_EQ(cache.upstreams[0].url, "https://cache.nixos.org");
  EXPECT_EQ(cache.max_size_bytes, 1LL << 30);
  EXPECT_EQ(cache.executor_max_size_bytes, 2LL << 30);
  EXPECT_EQ(cache.key_secret, "k");
  EXPECT_EQ(cache.gc_interval_millis, 300'000);
  EXPECT_EQ(cache.gc_grace_millis, 600'000);
}

TEST(Options, EveryMistakeInTheCacheIsListed) {
  const Result<Options> options = ParseOptions(std::string(kTls) + R"(
cache:
  url: http://user:secret@cache/
  publicKeys: ["cache-1:c2hvcnQ=", nokey]
  upstreams: [{url: gopher://x}, {url: "file:///a b"}]
  maxSize: 1Ki
  size: 1
)");
  ASSERT_FALSE(options.ok());
  const std::string& message = options.status().message();
  EXPECT_THAT(message, HasSubstr("cache.url: must not hold a password"));
  EXPECT_THAT(message, HasSubstr("cache.publicKeys[0]: \"cache-1:c2hvcnQ=\" is not a public key"));
  EXPECT_THAT(message, HasSubstr("cache.publicKeys[1]: \"nokey\""));
  EXPECT_THAT(message, HasSubstr("cache.upstreams[0].publicKey: is required"));
  EXPECT_THAT(message, HasSubstr("cache.upstreams[0].url: \"gopher://x\""));
  EXPECT_THAT(message, HasSubstr("cache.upstreams[1].url: \"file:///a b\""));
  EXPECT_THAT(message, HasSubstr("cache.maxSize: 1Ki is less than the minimum 64Mi"));
  EXPECT_THAT(message, HasSubstr("cache.size: is not a known field"));
  EXPECT_THAT(
      ParseOptions(std::string(kTls) + "cache: {url: 's3://b?secret-key=/k'}").status().message(),
      HasSubstr("cache.url: must not name a secret-key"));
  EXPECT_THAT(ParseOptions(std::string(kTls) + "cache: {url: 'file:///c'}").status().message(),
              HasSubstr("cache.publicKeys: is required with cache.url"));
}

TEST(Options, LimitsAreMergedOverTheBuiltInOnes) {
  const Result<Options> options = ParseOptions(
      std::string(kTls) +
      "limits: {run: {max: {wallTime: 2m}, default: {memory: 64Mi, maxProcesses: 10}}}");
  ASSERT_TRUE(options.ok()) << options.status().ToString();
  EXPECT_EQ(options->run_limits.maxima.Value(api::Limit::kWallTime), 120'000);
  EXPECT_EQ(options->run_limits.defaults.Value(api::Limit::kMemory), 64 << 20);
  EXPECT_EQ(options->run_limits.defaults.Value(api::Limit::kMaxProcesses), 10);
  EXPECT_EQ(options->run_limits.defaults.Value(api::Limit::kWallTime), 10'000);
}

TEST(Options, BuiltInDefaultsAreWithinBuiltInMaxima) {
  for (const StageLimitOptions& limits :
       {BuiltInRunLimits(), BuiltInCompileLimits(), BuiltInExtractLimits()}) {
    for (size_t i = 0; i < api::kLimitCount; ++i) {
      const auto limit = static_cast<api::Limit>(i);
      EXPECT_LE(limits.defaults.Value(limit), limits.maxima.Value(limit)) << api::LimitName(limit);
    }
  }
}

TEST(Options, DuplicateKeysAndBrokenYamlAreRefused) {
  EXPECT_THAT(
      ParseOptions(std::string(kTls) + "queue: {maxLength: 5, maxLength: 6}").status().message(),
      HasSubstr("twice"));
  EXPECT_THAT(ParseOptions("a: [").status().message(), HasSubstr("YAML"));
  EXPECT_FALSE(ParseOptions("- a list").ok());
  EXPECT_FALSE(ParseOptions("").ok());
}

TEST(Options, SchedulingOfNamespaces) {
  const Result<Options> good = ParseOptions(std::string(kTls) + R"(
scheduling:
  namespaceWeights: {contest: 4, practice: 0.5}
  inFlightPerNamespace: {default: 20, overrides: {contest: 200}}
)");
  ASSERT_TRUE(good.ok()) << good.status().ToString();
  EXPECT_EQ(good->scheduling.namespace_weights.at("practice"), 0.5);
  EXPECT_EQ(good->scheduling.in_flight, (InFlightLimits{20, {{"contest", 200}}}));

  const Result<Options> bad = ParseOptions(std::string(kTls) + R"(
scheduling:
  namespaceWeights: {contest: 0, practice: nan, Not_A_Name: 1}
  inFlightPerNamespace: {default: -1, overrides: {contest: lots, contest: 1}, max: 3}
)");
  ASSERT_FALSE(bad.ok());
  const std::string& message = bad.status().message();
  EXPECT_THAT(message,
              HasSubstr("scheduling.namespaceWeights.contest: \"0\" is not a number from 0.01"));
  EXPECT_THAT(message, HasSubstr("scheduling.namespaceWeights.practice: \"nan\" is not"));
  EXPECT_THAT(message, HasSubstr("scheduling.namespaceWeights.Not_A_Name: is not the name"));
  EXPECT_THAT(message, HasSubstr("scheduling.inFlightPerNamespace.default: -1 is less than"));
  EXPECT_THAT(message, HasSubstr("scheduling.inFlightPerNamespace.overrides.contest: \"lots\""));
  EXPECT_THAT(message,
              HasSubstr("scheduling.inFlightPerNamespace.overrides.contest: is there twice"));
  EXPECT_THAT(message, HasSubstr("scheduling.inFlightPerNamespace.max: is not a known field"));
}

}  // namespace
}  // namespace envicutor::op
