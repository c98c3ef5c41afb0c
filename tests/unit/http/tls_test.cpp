#include "common/http/tls.h"

#include <gtest/gtest.h>

#include "tests/unit/http/http_fixture.h"

namespace envicutor::http {
namespace {

using std::chrono::seconds;

void Whoami(const ServerRequest& request, const std::shared_ptr<ResponseWriter>& writer) {
  std::string who = "nobody";
  if (request.peer) {
    who = request.peer->common_name;
    for (const std::string& organization : request.peer->organizations) who += "," + organization;
  }
  writer->Send({200, {}, who});
}

class Tls : public testing::Test {
 protected:
  std::unique_ptr<Server> Serve(bool ask_for_clients, bool require = true) {
    const KeyPair cert = pki_.Server("executor.envicutor.internal");
    ServerOptions options;
    options.tls.emplace();
    options.tls->cert_pem = cert.cert_pem;
    options.tls->key_pem = cert.key_pem;
    if (ask_for_clients) options.tls->client_ca_pem = pki_.ca.cert_pem;
    options.tls->require_client_cert = require;
    return MustStart(options, Whoami);
  }

  ClientOptions ClientFor(const Server& server) const {
    ClientOptions options;
    options.base_url = "https://127.0.0.1:" + std::to_string(server.port());
    options.timeout = seconds(10);
    options.tls.ca_pem = pki_.ca.cert_pem;
    options.tls.expected_name = "executor.envicutor.internal";
    return options;
  }

  static void UseCert(const KeyPair& cert, ClientOptions* options) {
    options->tls.cert_pem = cert.cert_pem;
    options->tls.key_pem = cert.key_pem;
  }

  static Result<Response> Get(const ClientOptions& options) {
    return MustConnect(options)->Send({"GET", "/", {}, ""});
  }

  const Pki pki_ = NewPki();
};

TEST_F(Tls, MutualTlsTellsWhoTheClientIs) {
  const auto server = Serve(true);
  ClientOptions options = ClientFor(*server);
  UseCert(pki_.ClientCert("envicutor-operator", {"system:a", "system:b"}), &options);
  const auto client = MustConnect(options);
  for (int i = 0; i < 20; ++i) {
    const auto response = client->Send({"GET", "/", {}, std::string(100'000, 'x')});
    ASSERT_TRUE(response.ok()) << response.status().ToString();
    EXPECT_EQ("envicutor-operator,system:a,system:b", response->body);
  }
}

TEST_F(Tls, RefusesAServerOfAnotherCa) {
  const auto server = Serve(false);
  ClientOptions options = ClientFor(*server);
  options.tls.ca_pem = NewPki().ca.cert_pem;
  const auto response = Get(options);
  EXPECT_EQ(Code::kUnavailable, response.status().code());
  EXPECT_NE(std::string::npos, response.status().message().find("certificate"))
      << response.status().ToString();
}

TEST_F(Tls, RefusesAServerWithAnotherName) {
  const auto server = Serve(false);
  ClientOptions options = ClientFor(*server);
  options.tls.expected_name = "other.envicutor.internal";
  auto response = Get(options);
  EXPECT_EQ(Code::kUnavailable, response.status().code());
  EXPECT_NE(std::string::npos, response.status().message().find("hostname mismatch"))
      << response.status().ToString();
  options.tls.expected_name = "";  // the URL's host, 127.0.0.1, is not in the certificate
  response = Get(options);
  EXPECT_EQ(Code::kUnavailable, response.status().code());
  EXPECT_NE(std::string::npos, response.status().message().find("IP address mismatch"))
      << response.status().ToString();
}

TEST_F(Tls, ChecksTheUrlsAddressWithoutAnExpectedName) {
  CertRequest request;
  request.common_name = "api";
  request.ip_addresses = {"127.0.0.1"};
  request.server = true;
  const auto cert = IssueCert(pki_.ca, request, SystemClock().WallNow(), std::chrono::hours(1));
  ASSERT_TRUE(cert.ok());
  ServerOptions server_options;
  server_options.tls = TlsServerOptions{cert->cert_pem, cert->key_pem, "", false};
  const auto server = MustStart(server_options, Whoami);
  ClientOptions options = ClientFor(*server);
  options.tls.expected_name = "";
  const auto response = Get(options);
  ASSERT_TRUE(response.ok()) << response.status().ToString();
  EXPECT_EQ("nobody", response->body);
}

TEST_F(Tls, RefusesAClientWithoutCertificate) {
  const auto server = Serve(true);
  EXPECT_EQ(Code::kUnavailable, Get(ClientFor(*server)).status().code());
}

TEST_F(Tls, RefusesAClientOfAnotherCa) {
  const auto server = Serve(true);
  ClientOptions options = ClientFor(*server);
  UseCert(NewPki().ClientCert("envicutor-operator", {}), &options);
  EXPECT_EQ(Code::kUnavailable, Get(options).status().code());
}

TEST_F(Tls, RefusesAServerCertificateAsClient) {
  const auto server = Serve(true);
  ClientOptions options = ClientFor(*server);
  UseCert(pki_.Server("envicutor-operator"), &options);
  EXPECT_EQ(Code::kUnavailable, Get(options).status().code());
}

TEST_F(Tls, RefusesAClientCertificateAsServer) {
  CertRequest request;
  request.common_name = "executor.envicutor.internal";
  request.dns_names = {"executor.envicutor.internal"};
  request.client = true;
  const auto cert = IssueCert(pki_.ca, request, SystemClock().WallNow(), std::chrono::hours(1));
  ASSERT_TRUE(cert.ok());
  ServerOptions options;
  options.tls = TlsServerOptions{cert->cert_pem, cert->key_pem, "", false};
  const auto server = MustStart(options, Whoami);
  EXPECT_EQ(Code::kUnavailable, Get(ClientFor(*server)).status().code());
}

TEST_F(Tls, OptionalClientCertificate) {
  const auto server = Serve(true, /*require=*/false);
  ClientOptions options = ClientFor(*server);
  EXPECT_EQ("nobody", Get(options)->body);
  UseCert(pki_.ClientCert("someone", {}), &options);
  EXPECT_EQ("someone", Get(options)->body);
  UseCert(NewPki().ClientCert("mallory", {}), &options);
  EXPECT_FALSE(Get(options).ok()) << "a wrong certificate is not the same as none";
}

TEST_F(Tls, ExpiredCertificatesAreRefused) {
  CertRequest request;
  request.common_name = "executor.envicutor.internal";
  request.dns_names = {"executor.envicutor.internal"};
  request.server = true;
  const auto old = SystemClock().WallNow() - std::chrono::hours(48);
  const auto cert = IssueCert(pki_.ca, request, old, std::chrono::hours(24));
  ASSERT_TRUE(cert.ok());
  ServerOptions options;
  options.tls = TlsServerOptions{cert->cert_pem, cert->key_pem, "", false};
  const auto server = MustStart(options, Whoami);
  EXPECT_EQ(Code::kUnavailable, Get(ClientFor(*server)).status().code());
}

TEST_F(Tls, SystemCasAreNotTrustedBesideOurs) {
  // With ca_pem the store has one root; insecure_skip_verify is the only way around it.
  const auto server = Serve(false);
  ClientOptions options = ClientFor(*server);
  options.tls.ca_pem = NewPki().ca.cert_pem;
  options.tls.insecure_skip_verify = true;
  EXPECT_EQ("nobody", Get(options)->body);
}

TEST_F(Tls, HalfOpenHandshakesAreClosed) {
  const KeyPair cert = pki_.Server("x");
  ServerOptions options;
  options.tls = TlsServerOptions{cert.cert_pem, cert.key_pem, "", false};
  options.read_timeout = seconds(1);
  const auto server = MustStart(options, Whoami);
  RawConnection silent(server->port());
  RawConnection half(server->port());
  half.Send("\x16\x03\x01");
  EXPECT_EQ("", silent.Read());
  EXPECT_EQ("", half.Read());
  EXPECT_FALSE(silent.TimedOut() || half.TimedOut());
}

TEST_F(Tls, PlainHttpOnATlsPortIsClosed) {
  const auto server = Serve(false);
  RawConnection plain(server->port());
  plain.Send("GET / HTTP/1.1\r\n\r\n");
  EXPECT_EQ(std::string::npos, plain.Read().find("HTTP/1.1 200"));
  EXPECT_FALSE(plain.TimedOut());
}

TEST_F(Tls, StreamsOverTls) {
  const KeyPair cert = pki_.Server("executor.envicutor.internal");
  ServerOptions server_options;
  server_options.tls = TlsServerOptions{cert.cert_pem, cert.key_pem, "", false};
  const auto server = MustStart(server_options, [](const ServerRequest&, const auto& writer) {
    writer->StartStream(200, {});
    for (int i = 0; i < 1000; ++i) writer->Write(std::to_string(i) + "\n");
    writer->Finish();
  });
  const auto client = MustConnect(ClientFor(*server));
  for (int round = 0; round < 3; ++round) {
    std::string all;
    const auto response = client->Stream(
        {"GET", "/", {}, ""},
        [&](std::string_view piece) {
          all += piece;
          return true;
        },
        seconds(10));
    ASSERT_TRUE(response.ok()) << response.status().ToString();
    EXPECT_EQ(3890U, all.size());
    EXPECT_TRUE(all.ends_with("998\n999\n"));
  }
}

TEST_F(Tls, BadMaterialIsAnErrorAtOnce) {
  ClientOptions options;
  options.base_url = "https://127.0.0.1:1";
  options.tls.ca_pem = "not PEM";
  EXPECT_EQ(Code::kInvalidArgument, NewClient(options).status().code());
  options.tls.ca_pem = pki_.ca.cert_pem;
  options.tls.cert_pem = pki_.Server("a").cert_pem;
  options.tls.key_pem = pki_.Server("b").key_pem;
  EXPECT_EQ(Code::kInvalidArgument, NewClient(options).status().code());

  ServerOptions server_options;
  server_options.tls = TlsServerOptions{"x", "y", "", false};
  EXPECT_EQ(Code::kInvalidArgument, StartServer(server_options, Whoami).status().code());
}

TEST_F(Tls, IssueRefusesNamesThatAreNone) {
  CertRequest request;
  request.common_name = "x";
  for (const char* name : {"", "a,DNS:b", "a b", "a\nb"}) {
    request.dns_names = {name};
    EXPECT_EQ(
        Code::kInvalidArgument,
        IssueCert(pki_.ca, request, SystemClock().WallNow(), std::chrono::hours(1)).status().code())
        << name;
  }
  request.dns_names.clear();
  request.common_name = std::string(65, 'x');
  EXPECT_EQ(
      Code::kInvalidArgument,
      IssueCert(pki_.ca, request, SystemClock().WallNow(), std::chrono::hours(1)).status().code());
}

}  // namespace
}  // namespace envicutor::http
