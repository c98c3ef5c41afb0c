#include "common/kube/config.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

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
