#include "tests/unit/http/scripted_server.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include <array>
#include <utility>

namespace envicutor::http {

ScriptedServer::ScriptedServer(Script script)
    : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  EXPECT_EQ(0, ::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), size));
  EXPECT_EQ(0, ::listen(listener_.get(), 16));
  EXPECT_EQ(0, ::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size));
  port_ = ntohs(address.sin_port);
  thread_ = std::jthread([this, script = std::move(script)] { Run(script); });
}

ScriptedServer::~ScriptedServer() {
  ::shutdown(listener_.get(), SHUT_RDWR);  // accept returns
  thread_.join();
}

std::vector<std::string> ScriptedServer::requests() const {
  const std::scoped_lock lock(mutex_);
  return requests_;
}

void ScriptedServer::Run(const Script& script) {
  for (int number = 0;; ++number) {
    const int fd = ::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) return;
    const timeval limit{10, 0};
    ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    Peer peer(*this, fd);
    script(peer, number);
  }
}

bool ScriptedServer::Peer::ReadRequest() {
  std::array<char, 65536> buffer{};
  for (;;) {
    const size_t end = pending_.find("\r\n\r\n");
    if (end != std::string::npos) {
      const size_t at = pending_.find("Content-Length: ");
      const size_t body =
          at < end ? static_cast<size_t>(std::stoul(pending_.substr(at + 16))) : size_t{0};
      if (pending_.size() >= end + 4 + body) {
        const std::scoped_lock lock(server_.mutex_);
        server_.requests_.push_back(pending_.substr(0, pending_.find(" HTTP/")));
        pending_.erase(0, end + 4 + body);
        return true;
      }
    }
    const ssize_t n = ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
    if (n <= 0) return false;
    pending_.append(buffer.data(), static_cast<size_t>(n));
  }
}

void ScriptedServer::Peer::Send(std::string_view bytes) const {
  while (!bytes.empty()) {
    const ssize_t n = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n <= 0) return;
    bytes.remove_prefix(static_cast<size_t>(n));
  }
}

void ScriptedServer::Peer::Answer(std::string_view body) const {
  Send("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
       std::string(body));
}

void ScriptedServer::Peer::WaitForClientToClose() const {
  std::array<char, 4096> buffer{};
  while (::recv(fd_.get(), buffer.data(), buffer.size(), 0) > 0) {
  }
}

}  // namespace envicutor::http
