#include "tests/unit/http/http_fixture.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>

namespace envicutor::http {

void Signal::Set() {
  const std::scoped_lock lock(mutex_);
  set_ = true;
  changed_.notify_all();
}

bool Signal::Wait() {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, std::chrono::seconds(10), [this] { return set_; });
}

bool Signal::IsSet() const {
  const std::scoped_lock lock(mutex_);
  return set_;
}

RawConnection::RawConnection(uint16_t port)
    : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  const timeval limit{10, 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(0, ::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address));
}

RawConnection::~RawConnection() { ::close(fd_); }

bool RawConnection::Send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

std::string RawConnection::Read(std::string_view until) {
  std::string all;
  std::array<char, 65536> buffer{};
  while (until.empty() || all.find(until) == std::string::npos) {
    const ssize_t n = ::recv(fd_, buffer.data(), buffer.size(), 0);
    if (n == 0 || (n < 0 && errno == ECONNRESET)) break;
    if (n < 0) {
      timed_out_ = true;
      break;
    }
    all.append(buffer.data(), static_cast<size_t>(n));
  }
  return all;
}

void RawConnection::CloseSending() { ::shutdown(fd_, SHUT_WR); }

void Echo(const ServerRequest& request, const std::shared_ptr<ResponseWriter>& writer) {
  writer->Send({200,
                {{"Content-Type", "text/plain"}},
                request.method + " " + request.path + " " + std::to_string(request.body.size())});
}

std::unique_ptr<Server> MustStart(const ServerOptions& options, Handler handler) {
  Result<std::unique_ptr<Server>> server = StartServer(options, std::move(handler));
  EXPECT_TRUE(server.ok()) << server.status().ToString();
  return std::move(server).value();
}

std::unique_ptr<Client> MustConnect(const ClientOptions& options) {
  Result<std::unique_ptr<Client>> client = NewClient(options);
  EXPECT_TRUE(client.ok()) << client.status().ToString();
  return std::move(client).value();
}

std::unique_ptr<Client> PlainClient(uint16_t port) {
  ClientOptions options;
  options.base_url = "http://127.0.0.1:" + std::to_string(port);
  options.timeout = std::chrono::seconds(10);
  return MustConnect(options);
}

namespace {
KeyPair MustIssue(const KeyPair& ca, const CertRequest& request) {
  Result<KeyPair> pair = IssueCert(ca, request, SystemClock().WallNow(), std::chrono::hours(1));
  EXPECT_TRUE(pair.ok()) << pair.status().ToString();
  return std::move(pair).value();
}
}  // namespace

KeyPair Pki::Server(const std::string& dns_name) const {
  CertRequest request;
  request.common_name = dns_name;
  request.dns_names = {dns_name};
  request.server = true;
  return MustIssue(ca, request);
}

KeyPair Pki::ClientCert(const std::string& common_name,
                        const std::vector<std::string>& organizations) const {
  CertRequest request;
  request.common_name = common_name;
  request.organizations = organizations;
  request.client = true;
  return MustIssue(ca, request);
}

Pki NewPki() {
  Result<KeyPair> ca = NewCa("test CA", SystemClock().WallNow(), std::chrono::hours(1));
  EXPECT_TRUE(ca.ok()) << ca.status().ToString();
  return {std::move(ca).value()};
}

}  // namespace envicutor::http
