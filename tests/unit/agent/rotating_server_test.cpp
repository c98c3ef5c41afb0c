#include "executor-agent/server/rotating_server.h"

#include <gtest/gtest.h>

#include "common/base/file.h"
#include "common/http/client.h"
#include "tests/unit/agent/fake_sandbox.h"

namespace envicutor::agent {
namespace {

constexpr const char* kName = "executor.test";

class RotatingServerTest : public ::testing::Test {
 protected:
  // A certificate and key of `ca`, which is the clients' CA, too.
  void Write(const http::KeyPair& ca) {
    http::CertRequest request;
    request.common_name = kName;
    request.dns_names = {kName};
    request.server = true;
    const http::KeyPair pair =
        *http::IssueCert(ca, request, SystemClock().WallNow(), std::chrono::hours(1));
    ASSERT_TRUE(WriteFileAtomic(dir_.path() + "/ca.crt", ca.cert_pem).ok());
    ASSERT_TRUE(WriteFileAtomic(dir_.path() + "/tls.key", pair.key_pem).ok());
    ASSERT_TRUE(WriteFileAtomic(dir_.path() + "/tls.crt", pair.cert_pem).ok());
  }

  // Whether a client that has and trusts only this CA is served.
  bool Serves(const http::KeyPair& ca) {
    http::CertRequest request;
    request.common_name = "operator";
    request.client = true;
    const http::KeyPair pair =
        *http::IssueCert(ca, request, SystemClock().WallNow(), std::chrono::hours(1));
    http::ClientOptions options;
    options.base_url = "https://127.0.0.1:" + std::to_string(server_->port());
    options.tls = {ca.cert_pem, pair.cert_pem, pair.key_pem, kName, false};
    const auto client = *http::NewClient(options);
    const auto response = client->Send({"GET", "/", {}, ""});
    return response.ok() && response->body == "served";
  }

  // Bounded by the test runner; each try is a connection of its own.
  void AwaitServed(const http::KeyPair& ca) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!Serves(ca)) ASSERT_LT(std::chrono::steady_clock::now(), deadline);
  }

  void Start() {
    http::ServerOptions options;
    auto started = RotatingServer::Start(
        dir_.path(), options,
        [](const auto&, const auto& writer) {
          writer->Send({200, {}, "served"});
        },
        std::chrono::milliseconds(10));
    ASSERT_TRUE(started.ok()) << started.status().ToString();
    server_ = *std::move(started);
  }

  static http::KeyPair NewCa(const std::string& name) {
    return *http::NewCa(name, SystemClock().WallNow(), std::chrono::hours(1));
  }

  TempDir dir_;
  std::unique_ptr<RotatingServer> server_;
};

TEST_F(RotatingServerTest, NewCertificatesServeWithoutARestart) {
  const http::KeyPair first = NewCa("first");
  const http::KeyPair second = NewCa("second");
  Write(first);
  Start();
  EXPECT_TRUE(Serves(first));
  EXPECT_FALSE(Serves(second));
  const uint16_t port = server_->port();
  Write(second);
  AwaitServed(second);
  EXPECT_FALSE(Serves(first));
  EXPECT_EQ(server_->port(), port);
}

TEST_F(RotatingServerTest, FilesThatDoNotFitChangeNothing) {
  const http::KeyPair first = NewCa("first");
  const http::KeyPair second = NewCa("second");
  Write(first);
  Start();
  ASSERT_TRUE(WriteFileAtomic(dir_.path() + "/tls.key", second.key_pem).ok());
  EXPECT_TRUE(Serves(first));
  ASSERT_TRUE(WriteFileAtomic(dir_.path() + "/tls.crt", "no certificate").ok());
  EXPECT_TRUE(Serves(first));
  ASSERT_TRUE(WriteFileAtomic(dir_.path() + "/ca.crt", "").ok());
  EXPECT_TRUE(Serves(first));
  Write(second);  // all of them: that is a renewal
  AwaitServed(second);
}

TEST_F(RotatingServerTest, WithoutFilesItDoesNotStart) {
  http::ServerOptions options;
  const auto started = RotatingServer::Start(dir_.path(), options, nullptr);
  ASSERT_FALSE(started.ok());
  EXPECT_NE(started.status().message().find("--tls-dir"), std::string::npos);
}

}  // namespace
}  // namespace envicutor::agent
