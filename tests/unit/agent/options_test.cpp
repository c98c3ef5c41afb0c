#include "executor-agent/server/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace envicutor::agent {
namespace {

using ::testing::HasSubstr;

TEST(AgentOptions, TakesThePodsArguments) {
  const auto options = ParseAgentOptions({"--listen",         "10.0.0.7:8443",
                                          "--probe-listen",   "10.0.0.7:8081",
                                          "--metrics-listen", "10.0.0.7:9464",
                                          "--slots",          "3",
                                          "--sandbox",        "isolate",
                                          "--memory",         "1073741824",
                                          "--store",          "/s",
                                          "--state-dir",      "/d",
                                          "--tls-dir=/t",     "--allow-degraded",
                                          "--log-format",     "text"});
  ASSERT_TRUE(options.ok()) << options.status().ToString();
  EXPECT_EQ(options->listen.host, "10.0.0.7");
  EXPECT_EQ(options->listen.port, 8443);
  EXPECT_EQ(options->metrics_listen.port, 9464);
  EXPECT_EQ(options->slots, 3);
  EXPECT_EQ(options->sandbox, "isolate");
  EXPECT_EQ(options->memory_bytes, 1 << 30);
  EXPECT_EQ(options->tls_dir, "/t");
  EXPECT_TRUE(options->allow_degraded);
  EXPECT_EQ(options->log_format, log::Format::kText);
}

TEST(AgentOptions, Defaults) {
  const auto options = ParseAgentOptions({});
  ASSERT_TRUE(options.ok());
  EXPECT_GE(options->slots, 1);
  EXPECT_GT(options->memory_bytes, 0);
  EXPECT_EQ(options->sandbox, "native");
}

TEST(AgentOptions, MistakesNameTheFlag) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases = {
      {{"--slots", "0"}, "--slots: \"0\" must be a whole number from 1 to 1024"},
      {{"--slots"}, "--slots needs a value"},
      {{"--slots="}, "--slots"},
      {{"--nonsense"}, "unknown flag \"--nonsense\""},
      {{"extra"}, "unknown flag \"extra\""},
      {{"--sandbox", "docker"}, "native or isolate"},
      {{"--pin-cpus", "yes"}, "auto, on or off"},
      {{"--memory", "lots"}, "--memory: \"lots\" is not a quantity"},
      {{"--listen", "8443"}, "ADDRESS:PORT"},
      {{"--listen", "a:99999"}, "--listen: the port"},
      {{"--allow-degraded=yes"}, "takes no value"},
      {{"--drain-timeout", "-1s"}, "must not be negative"},
      {{"--store", ""}, "--store: must not be empty"},
      {{"--cache-url", "http://cache"}, "needs --cache-public-keys"},
      {{"--cache-url", "/var/cache"}, "must be one URL"},
      {{"--cache-url", "http://a http://b"}, "must be one URL"},
      {{"--cache-public-keys", "a:b\nsandbox = false"}, "on one line"},
      {{"--cache-timeout", "0"}, "must be more than 0"},
  };
  for (const auto& [arguments, message] : cases) {
    const auto options = ParseAgentOptions(arguments);
    ASSERT_FALSE(options.ok()) << arguments[0];
    EXPECT_THAT(options.status().message(), HasSubstr(message));
  }
}

TEST(AgentOptions, Addresses) {
  EXPECT_EQ(ParseListenAddress("[fd00::1]:80")->host, "fd00::1");
  EXPECT_EQ(ParseListenAddress("fd00::1:80")->host, "fd00::1");
  EXPECT_EQ(ParseListenAddress(":80")->host, "0.0.0.0");
  EXPECT_FALSE(ParseListenAddress("x:").ok());
}

TEST(AgentOptions, HelpNamesEveryFlagOfTheArchitecture) {
  const std::string help = AgentHelp();
  for (const char* flag : {"--listen", "--probe-listen", "--metrics-listen", "--slots", "--sandbox",
                           "--memory", "--store", "--state-dir", "--tls-dir", "--allow-degraded",
                           "--isolate", "--log-format", "--version", "--help"}) {
    EXPECT_THAT(help, HasSubstr(flag));
  }
}

}  // namespace
}  // namespace envicutor::agent
