#include "standalone/node/forwarder.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <list>
#include <map>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "common/base/log.h"
#include "common/base/unique_fd.h"

namespace envicutor::standalone {
namespace {

constexpr size_t kMaxPipes = 1024;
constexpr size_t kBufferBytes = 64U << 10U;

Result<sockaddr_in> Address(const std::string& text, int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  if (::inet_pton(AF_INET, text.c_str(), &address.sin_addr) != 1) {
    return InvalidArgument("\"" + text + "\" is not an IPv4 address");
  }
  return address;
}

Result<UniqueFd> Listen(const std::string& address, int port) {
  ENVICUTOR_ASSIGN(const sockaddr_in in, Address(address, port));
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return ErrnoStatus(errno, "socket");
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&in), sizeof(in)) != 0 ||
      ::listen(fd.get(), 256) != 0) {
    return ErrnoStatus(errno, "listen on " + address + ":" + std::to_string(port));
  }
  return fd;
}

// A listener, one end of a pair of connections, or the wake-up.
struct Endpoint {
  enum class Kind { kWake, kListener, kConnection };
  Kind kind = Kind::kConnection;
  std::string key;
  UniqueFd fd;
  // kListener
  int port = 0;
  std::shared_ptr<UniqueFd> network;
  std::string guest_address;
  // kConnection: what waits to be written to this end, and the other end.
  Endpoint* peer = nullptr;
  std::string pending;
  bool connecting = false;
  bool read_closed = false;   // end of file was read from it
  bool write_closed = false;  // shutdown was done on it
  uint32_t interest = 0;
  bool dead = false;
};

class EpollForwarder final : public Forwarder {
 public:
  EpollForwarder(UniqueFd epoll, UniqueFd wake) : epoll_(std::move(epoll)) {
    auto endpoint = std::make_unique<Endpoint>();
    endpoint->kind = Endpoint::Kind::kWake;
    endpoint->fd = std::move(wake);
    wake_ = endpoint->fd.get();
    Register(endpoint.get(), EPOLLIN);
    endpoints_.push_back(std::move(endpoint));
    // The thread changes its network namespace for every connection it makes, so it must be ours
    // alone.
    thread_ = std::jthread([this](std::stop_token stop) { Loop(stop); });
  }

  ~EpollForwarder() override {
    thread_.request_stop();
    Wake();
    thread_.join();
  }

  Status Add(const std::string& key, const ForwardTarget& target) override {
    auto network = std::make_shared<UniqueFd>(::fcntl(target.network_fd, F_DUPFD_CLOEXEC, 3));
    if (!network->valid()) return ErrnoStatus(errno, "the machine's network namespace");
    std::vector<std::unique_ptr<Endpoint>> listeners;
    for (const int port : target.ports) {
      ENVICUTOR_ASSIGN(UniqueFd fd, Listen(target.listen_address, port));
      auto endpoint = std::make_unique<Endpoint>();
      endpoint->kind = Endpoint::Kind::kListener;
      endpoint->key = key;
      endpoint->fd = std::move(fd);
      endpoint->port = port;
      endpoint->network = network;
      endpoint->guest_address = target.guest_address;
      listeners.push_back(std::move(endpoint));
    }
    const std::lock_guard lock(mutex_);
    for (auto& listener : listeners) {
      Register(listener.get(), EPOLLIN);
      endpoints_.push_back(std::move(listener));
    }
    return OkStatus();
  }

  void Remove(const std::string& key) override {
    const std::lock_guard lock(mutex_);
    for (const auto& endpoint : endpoints_) {
      if (endpoint->kind != Endpoint::Kind::kWake && endpoint->key == key) Drop(endpoint.get());
    }
    Wake();
  }

 private:
  void Wake() const {
    const uint64_t one = 1;
    (void)!::write(wake_, &one, sizeof(one));
  }

  void Register(Endpoint* endpoint, uint32_t interest) {
    epoll_event event{};
    event.events = interest;
    event.data.ptr = endpoint;
    const int operation = endpoint->interest == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    endpoint->interest = interest;
    ::epoll_ctl(epoll_.get(), operation, endpoint->fd.get(), &event);
  }

  // Closed now, freed at the end of the round: later events of it may still be in the batch.
  void Drop(Endpoint* endpoint) {
    if (endpoint->dead) return;
    endpoint->dead = true;
    endpoint->fd.reset();
    if (endpoint->kind == Endpoint::Kind::kConnection) --pipes_;
    if (Endpoint* peer = std::exchange(endpoint->peer, nullptr)) {
      peer->peer = nullptr;
      Drop(peer);
    }
  }

  void Loop(const std::stop_token& stop) {
    std::array<epoll_event, 64> events{};
    while (!stop.stop_requested()) {
      const int count =
          ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), -1);
      const std::lock_guard lock(mutex_);
      for (int i = 0; i < count; ++i) {
        const epoll_event& event = events[static_cast<size_t>(i)];
        auto* endpoint = static_cast<Endpoint*>(event.data.ptr);
        if (!endpoint->dead) Handle(endpoint, event.events);
      }
      std::erase_if(endpoints_, [](const auto& endpoint) { return endpoint->dead; });
    }
  }

  void Handle(Endpoint* endpoint, uint32_t events) {
    if (endpoint->kind == Endpoint::Kind::kWake) {
      uint64_t value = 0;
      (void)!::read(wake_, &value, sizeof(value));
    } else if (endpoint->kind == Endpoint::Kind::kListener) {
      Accept(*endpoint);
    } else {
      Move(endpoint, events);
    }
  }

  void Accept(const Endpoint& listener) {
    while (true) {
      UniqueFd client(::accept4(listener.fd.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (!client.valid()) return;
      if (pipes_ + 2 > kMaxPipes) continue;
      Result<UniqueFd> guest = Connect(listener);
      if (!guest.ok()) {
        log::Warn("cannot connect into the machine", {{"error", guest.status().ToString()}});
        continue;
      }
      const int on = 1;
      ::setsockopt(client.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
      Endpoint* left = NewConnection(listener.key, std::move(client));
      Endpoint* right = NewConnection(listener.key, std::move(*guest));
      left->peer = right;
      right->peer = left;
      right->connecting = true;
      Register(left, EPOLLRDHUP);
      Register(right, EPOLLOUT);
    }
  }

  Endpoint* NewConnection(const std::string& key, UniqueFd fd) {
    auto endpoint = std::make_unique<Endpoint>();
    endpoint->key = key;
    endpoint->fd = std::move(fd);
    ++pipes_;
    endpoints_.push_back(std::move(endpoint));
    return endpoints_.back().get();
  }

  // A socket belongs to the namespace of the thread that makes it.
  static Result<UniqueFd> Connect(const Endpoint& listener) {
    ENVICUTOR_ASSIGN(const sockaddr_in in, Address(listener.guest_address, listener.port));
    if (::setns(listener.network->get(), CLONE_NEWNET) != 0) return ErrnoStatus(errno, "setns");
    UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!fd.valid()) return ErrnoStatus(errno, "socket");
    const int on = 1;
    ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&in), sizeof(in)) != 0 &&
        errno != EINPROGRESS) {
      return ErrnoStatus(errno, "connect to " + listener.guest_address);
    }
    return fd;
  }

  void Move(Endpoint* endpoint, uint32_t events) {
    Endpoint* peer = endpoint->peer;
    if (endpoint->connecting && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) != 0) {
      int error = 0;
      socklen_t length = sizeof(error);
      ::getsockopt(endpoint->fd.get(), SOL_SOCKET, SO_ERROR, &error, &length);
      if (error != 0) return Drop(endpoint);
      endpoint->connecting = false;
    }
    if ((events & EPOLLERR) != 0) return Drop(endpoint);
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLRDHUP)) != 0 && !ReadInto(endpoint, peer)) return;
    if (!WritePending(endpoint) || !WritePending(peer)) return;
    if (endpoint->write_closed && peer->write_closed) return Drop(endpoint);
    UpdateInterest(endpoint);
    UpdateInterest(peer);
  }

  bool ReadInto(Endpoint* from, Endpoint* to) {
    std::array<char, 16384> buffer{};
    while (!from->read_closed && to->pending.size() < kBufferBytes) {
      const ssize_t length = ::read(from->fd.get(), buffer.data(), buffer.size());
      if (length > 0) {
        to->pending.append(buffer.data(), static_cast<size_t>(length));
      } else if (length == 0) {
        from->read_closed = true;
      } else if (errno == EAGAIN || errno == EINTR) {
        break;
      } else {
        Drop(from);
        return false;
      }
    }
    return true;
  }

  bool WritePending(Endpoint* to) {
    if (to->connecting) return true;
    while (!to->pending.empty()) {
      const ssize_t written =
          ::send(to->fd.get(), to->pending.data(), to->pending.size(), MSG_NOSIGNAL);
      if (written > 0) {
        to->pending.erase(0, static_cast<size_t>(written));
      } else if (errno == EAGAIN || errno == EINTR) {
        return true;
      } else {
        Drop(to);
        return false;
      }
    }
    if (to->peer->read_closed && !to->write_closed) {
      ::shutdown(to->fd.get(), SHUT_WR);
      to->write_closed = true;
    }
    return true;
  }

  void UpdateInterest(Endpoint* endpoint) {
    uint32_t wanted = 0;
    const bool room = endpoint->peer->pending.size() < kBufferBytes;
    if (!endpoint->read_closed && room && !endpoint->connecting) wanted |= EPOLLIN;
    if (!endpoint->pending.empty() || endpoint->connecting) wanted |= EPOLLOUT;
    // 0 would make Register add it twice; errors and hang-ups come anyway.
    if (wanted == 0) wanted = EPOLLERR;
    if (wanted != endpoint->interest) Register(endpoint, wanted);
  }

  std::mutex mutex_;
  UniqueFd epoll_;
  int wake_ = -1;
  size_t pipes_ = 0;
  std::list<std::unique_ptr<Endpoint>> endpoints_;
  std::jthread thread_;
};

}  // namespace

Result<std::unique_ptr<Forwarder>> NewForwarder() {
  UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  UniqueFd wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!epoll.valid() || !wake.valid()) return ErrnoStatus(errno, "epoll");
  return std::unique_ptr<Forwarder>(
      std::make_unique<EpollForwarder>(std::move(epoll), std::move(wake)));
}

}  // namespace envicutor::standalone
