#include "standalone/node/forwarder.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <thread>

#include "common/base/unique_fd.h"

namespace envicutor::standalone {
namespace {

sockaddr_in Address(const char* text, int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  ::inet_pton(AF_INET, text, &address.sin_addr);
  return address;
}

// Stands for the guest: answers with what it got, reversed, and closes.
class ForwarderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root: setns";
    guest_ = UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address = Address("127.0.0.1", 0);
    socklen_t length = sizeof(address);
    ASSERT_EQ(::bind(guest_.get(), reinterpret_cast<sockaddr*>(&address), length), 0);
    ASSERT_EQ(::listen(guest_.get(), 8), 0);
    ::getsockname(guest_.get(), reinterpret_cast<sockaddr*>(&address), &length);
    port_ = ntohs(address.sin_port);
    network_ = UniqueFd(::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
    Result<std::unique_ptr<Forwarder>> forwarder = NewForwarder();
    ASSERT_TRUE(forwarder.ok());
    forwarder_ = std::move(*forwarder);
    ASSERT_TRUE(forwarder_->Add("pod", {"127.77.9.9", {port_}, network_.get(), "127.0.0.1"}).ok());
  }

  UniqueFd Connect() const {
    UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const sockaddr_in address = Address("127.77.9.9", port_);
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
      fd.reset();
    }
    return fd;
  }

  static std::string ReadAll(int fd) {
    std::string text;
    std::array<char, 65536> buffer{};
    ssize_t length = 0;
    while ((length = ::read(fd, buffer.data(), buffer.size())) > 0) {
      text.append(buffer.data(), static_cast<size_t>(length));
    }
    return text;
  }

  UniqueFd guest_;
  UniqueFd network_;
  int port_ = 0;
  std::unique_ptr<Forwarder> forwarder_;
};

TEST_F(ForwarderTest, CarriesMoreThanItsBuffersBothWaysAndHalfCloses) {
  std::jthread guest([this] {
    const UniqueFd peer(::accept4(guest_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    const std::string text = ReadAll(peer.get());
    const std::string reversed(text.rbegin(), text.rend());
    size_t sent = 0;
    while (sent < reversed.size()) {
      const ssize_t n =
          ::send(peer.get(), reversed.data() + sent, reversed.size() - sent, MSG_NOSIGNAL);
      if (n <= 0) return;
      sent += static_cast<size_t>(n);
    }
  });
  const UniqueFd client = Connect();
  ASSERT_TRUE(client.valid());
  std::string text(3'000'000, 'a');
  for (size_t i = 0; i < text.size(); i += 1000) text[i] = static_cast<char>('a' + i % 26);
  size_t sent = 0;
  while (sent < text.size()) {
    const ssize_t n = ::send(client.get(), text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
    ASSERT_GT(n, 0);
    sent += static_cast<size_t>(n);
  }
  ::shutdown(client.get(), SHUT_WR);
  EXPECT_EQ(ReadAll(client.get()), std::string(text.rbegin(), text.rend()));
}

TEST_F(ForwarderTest, AGuestThatDoesNotListenEndsTheConnection) {
  guest_.reset();
  const UniqueFd client = Connect();
  ASSERT_TRUE(client.valid());
  EXPECT_EQ(ReadAll(client.get()), "");
}

TEST_F(ForwarderTest, AfterRemoveNothingListens) {
  forwarder_->Remove("pod");
  EXPECT_FALSE(Connect().valid());
  EXPECT_TRUE(forwarder_->Add("pod", {"127.77.9.9", {port_}, network_.get(), "127.0.0.1"}).ok());
  EXPECT_TRUE(Connect().valid());
}

}  // namespace
}  // namespace envicutor::standalone
