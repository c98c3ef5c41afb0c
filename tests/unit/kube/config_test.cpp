#include "common/kube/config.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <optional>

#include "common/base/encoding.h"
#include "common/base/file.h"

namespace envicutor::kube {
namespace {

class Kubeconfig : public testing::Test {
 protected:
  Kubeconfig() : folder_(testing::TempDir() + "/kubeconfig-" + RandomHex(6)) {
    EXPECT_TRUE(MakeDirs(folder_).ok());
  }
  ~Kubeconfig() override { std::filesystem::remove_all(folder_); }

  std::string Write(const std::string& name, const std::string& text) {
    const std::string path = folder_ + "/" + name;
    EXPECT_TRUE(WriteFileAtomic(path, text).ok());
    return path;
  }

  const std::string folder_;
};

constexpr const char* kTwoContexts = R"(
apiVersion: v1
kind: Config
current-context: one
clusters:
- name: c1
  cluster: {server: "https://10.0.0.1:6443/", certificate-authority: ca.pem}
- name: c2
  cluster: {server: "https://two", insecure-skip-tls-verify: true, tls-server-name: other}
contexts:
- name: one
  context: {cluster: c1, user: u1, namespace: team}
- name: two
  context: {cluster: c2, user: u2}
users:
- name: u1
  user: {client-certificate-data: Y2VydA==, client-key-data: a2V5}
- name: u2
  user: {tokenFile: sub/token, token: ignored}
)";

TEST_F(Kubeconfig, ReadsTheCurrentContextWithFilesBesideIt) {
  Write("ca.pem", "CA");
  const auto config = LoadKubeconfig(Write("config", kTwoContexts));
  ASSERT_TRUE(config.ok()) << config.status().ToString();
  EXPECT_EQ("https://10.0.0.1:6443", config->server);
  EXPECT_EQ("CA", config->tls.ca_pem);
  EXPECT_EQ("cert", config->tls.cert_pem);
  EXPECT_EQ("key", config->tls.key_pem);
  EXPECT_EQ("team", config->default_namespace);
  EXPECT_FALSE(config->tls.insecure_skip_verify);
}

TEST_F(Kubeconfig, ReadsANamedContext) {
  const auto config = LoadKubeconfig(Write("config", kTwoContexts), "two");
  ASSERT_TRUE(config.ok()) << config.status().ToString();
  EXPECT_TRUE(config->tls.insecure_skip_verify);
  EXPECT_EQ("other", config->tls.expected_name);
  EXPECT_EQ(folder_ + "/sub/token", config->bearer_token_file);
  EXPECT_EQ("", config->bearer_token);
  EXPECT_EQ("default", config->default_namespace);
}

TEST_F(Kubeconfig, SaysWhatIsWrong) {
  EXPECT_EQ(Code::kNotFound, LoadKubeconfig(folder_ + "/none").status().code());
  EXPECT_EQ(Code::kNotFound,
            LoadKubeconfig(Write("config", kTwoContexts), "three").status().code());
  EXPECT_EQ(Code::kNotFound, LoadKubeconfig(folder_ + "/config").status().code()) << "no ca.pem";
  EXPECT_EQ(Code::kInvalidArgument, LoadKubeconfig(Write("bad", "a: [")).status().code());
  EXPECT_EQ(Code::kInvalidArgument, LoadKubeconfig(Write("list", "- a")).status().code());
  EXPECT_EQ(Code::kInvalidArgument, LoadKubeconfig(Write("empty", "")).status().code());
  const std::vector<std::pair<std::string, std::string>> broken = {
      {"a: 1", "it has no current-context"},
      {"current-context: c\ncontexts: [{name: c, context: x}]", "contexts has no entry \"c\""},
      {"current-context: c\ncontexts: [{name: c, context: {cluster: k}}]\n"
       "clusters: [{name: k, cluster: {server: \"//\"}}]",
       "the cluster has no server"},
      {"current-context: c\ncontexts: [{name: c, context: {cluster: k}}]\n"
       "clusters: [{name: k, cluster: {server: x, certificate-authority-data: \"%\"}}]",
       "certificate-authority-data: "}};
  for (const auto& [text, why] : broken) {
    const Status status = LoadKubeconfig(Write("broken", text)).status();
    EXPECT_NE(std::string::npos, status.message().find("/broken: " + why)) << status.ToString();
  }
}

TEST_F(Kubeconfig, DataWinsOverFilesAndOnlyTrueIsInsecure) {
  const std::string ca = Write("ca.pem", "FILE");
  const std::string text = R"(
current-context: c
clusters: [{name: c, cluster: {server: "https://x//", insecure-skip-tls-verify: false, CA}}]
contexts: [{name: c, context: {cluster: c}}]
)";
  const auto load = [&](const std::string& authority) {
    std::string whole = text;
    const auto config =
        LoadKubeconfig(Write("config", whole.replace(whole.find("CA}"), 2, authority)));
    EXPECT_TRUE(config.ok()) << config.status().ToString();
    return config.ok() ? *config : ClientConfig();
  };
  const ClientConfig data = load("certificate-authority: none, certificate-authority-data: RA==");
  EXPECT_EQ("D", data.tls.ca_pem);
  EXPECT_EQ("https://x", data.server);
  EXPECT_FALSE(data.tls.insecure_skip_verify);
  EXPECT_EQ("FILE", load("certificate-authority: " + ca).tls.ca_pem) << "a whole path";
}

// Environment variables for the time of a test, which has no other threads.
class Environment {
 public:
  void Set(const std::string& name, const std::string& value) {
    const char* before = std::getenv(name.c_str());
    if (!old_.contains(name)) {
      old_[name] = before == nullptr ? std::nullopt : std::optional<std::string>(before);
    }
    ::setenv(name.c_str(), value.c_str(), 1);
  }
  ~Environment() {
    for (const auto& [name, value] : old_) {
      if (value) {
        ::setenv(name.c_str(), value->c_str(), 1);
      } else {
        ::unsetenv(name.c_str());
      }
    }
  }

 private:
  std::map<std::string, std::optional<std::string>> old_;
};

TEST_F(Kubeconfig, TheFlagThenTheVariableThenTheClusterThenTheHome) {
  Environment environment;
  const auto named = [&](const std::string& file) {
    ClientConfig config;
    config.server = "https://" + file;
    return Write(file, WriteKubeconfig(config, "c"));
  };
  const auto server = [](const std::string& flag) {
    const auto config = DefaultConfig(flag);
    return config.ok() ? config->server : config.status().ToString();
  };
  const std::string one = named("one");
  const std::string two = named("two");
  ASSERT_TRUE(MakeDirs(folder_ + "/.kube").ok());
  named(".kube/config");
  environment.Set("HOME", folder_);
  environment.Set("KUBERNETES_SERVICE_HOST", "");
  environment.Set("KUBERNETES_SERVICE_PORT", "");
  environment.Set("KUBECONFIG", "");
  EXPECT_EQ("https://.kube/config", server(""));
  environment.Set("KUBECONFIG", one);
  EXPECT_EQ("https://one", server(""));
  EXPECT_EQ("https://two", server(two));
  // The first that is there; one that is broken is not passed over.
  environment.Set("KUBECONFIG", ":" + folder_ + "/none:" + two + ":" + one);
  EXPECT_EQ("https://two", server(""));
  environment.Set("KUBECONFIG", Write("broken", "a: [") + ":" + one);
  EXPECT_EQ(Code::kInvalidArgument, DefaultConfig("").status().code());
  environment.Set("KUBECONFIG", folder_ + "/none:");
  EXPECT_EQ("NotFound: KUBECONFIG names no file that exists: " + folder_ + "/none:", server(""));
  // A host alone is no cluster.
  environment.Set("KUBERNETES_SERVICE_HOST", "10.0.0.1");
  EXPECT_NE(std::string::npos, InClusterConfig().status().message().find("not in a cluster"));
  environment.Set("KUBECONFIG", "");
  environment.Set("HOME", "");
  EXPECT_NE(std::string::npos, server("").find("not in a cluster"));
}

TEST_F(Kubeconfig, RefusesPlugins) {
  const std::string base = R"(
current-context: c
clusters: [{name: c, cluster: {server: "https://x"}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
users: [{name: u, user: )";
  for (const char* user :
       {"{exec: {command: aws}}", "{auth-provider: {name: gcp}}", "{username: a, password: b}"}) {
    const auto config = LoadKubeconfig(Write("config", base + user + "}]\n"));
    EXPECT_EQ(Code::kUnimplemented, config.status().code()) << user;
  }
}

TEST_F(Kubeconfig, WriteThenLoadIsTheSame) {
  ClientConfig config;
  config.server = "https://127.0.0.1:6443";
  config.tls.ca_pem = "-----BEGIN CERTIFICATE-----\nx\n";
  config.tls.cert_pem = "cert\n";
  config.tls.key_pem = "key\n";
  config.tls.expected_name = "kubernetes";
  config.bearer_token = "token: with \"yaml\" in it";
  config.default_namespace = "ns";
  const auto read = LoadKubeconfig(Write("config", WriteKubeconfig(config, "envicutor")));
  ASSERT_TRUE(read.ok()) << read.status().ToString();
  EXPECT_EQ(config.server, read->server);
  EXPECT_EQ(config.tls.ca_pem, read->tls.ca_pem);
  EXPECT_EQ(config.tls.cert_pem, read->tls.cert_pem);
  EXPECT_EQ(config.tls.key_pem, read->tls.key_pem);
  EXPECT_EQ(config.tls.expected_name, read->tls.expected_name);
  EXPECT_EQ(config.bearer_token, read->bearer_token);
  EXPECT_EQ(config.default_namespace, read->default_namespace);
}

}  // namespace
}  // namespace envicutor::kube
