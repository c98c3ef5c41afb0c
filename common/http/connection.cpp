#include "common/http/connection.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <system_error>
#include <utility>

#include "common/http/tls_context.h"

namespace envicutor::http {
namespace {

constexpr int kMaxAddresses = 8;  // of one name that are tried
// A dead peer is noticed within a minute, also by a stream that has nothing to say.
constexpr int kKeepAliveIdleSeconds = 30;
constexpr int kKeepAliveIntervalSeconds = 10;
constexpr int kKeepAliveProbes = 3;

std::string ErrorText(int error) { return std::generic_category().message(error); }

// --- OpenSSL's way to the socket: its own does not protect from SIGPIPE and counts nothing ---

Connection::Wire& WireOf(BIO* bio) { return *static_cast<Connection::Wire*>(BIO_get_data(bio)); }

int WireWrite(BIO* bio, const char* bytes, int count) {
  BIO_clear_retry_flags(bio);
  const ssize_t sent = WireOf(bio).Send(bytes, static_cast<size_t>(count));
  if (sent < 0 && errno == EAGAIN) BIO_set_retry_write(bio);
  return static_cast<int>(sent);
}

int WireRead(BIO* bio, char* into, int room) {
  BIO_clear_retry_flags(bio);
  const ssize_t got = WireOf(bio).Receive(into, static_cast<size_t>(room));
  if (got < 0 && errno == EAGAIN) BIO_set_retry_read(bio);
  return static_cast<int>(got);
}

long WireControl(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

const BIO_METHOD* WireMethod() {
  static const BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "socket");
    BIO_meth_set_write(made, WireWrite);
    BIO_meth_set_read(made, WireRead);
    BIO_meth_set_ctrl(made, WireControl);
    return made;
  }();
  return method;
}

// Why the certificate of the handshake that this thread is in was refused.
std::string& Refusal() {
  thread_local std::string reason;
  return reason;
}

// --- connecting ---

void SetOptions(int fd) {
  // None of them is needed for correctness.
  const auto set = [fd](int level, int name, int value) {
    (void)::setsockopt(fd, level, name, &value, sizeof value);
  };
  set(IPPROTO_TCP, TCP_NODELAY, 1);
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, kKeepAliveIdleSeconds);
  set(IPPROTO_TCP, TCP_KEEPINTVL, kKeepAliveIntervalSeconds);
  set(IPPROTO_TCP, TCP_KEEPCNT, kKeepAliveProbes);
}

Result<UniqueFd> ConnectTo(const addrinfo& address, const Waiter& waiter) {
  UniqueFd fd(::socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return ErrnoStatus(errno, "socket");
  SetOptions(fd.get());
  if (::connect(fd.get(), address.ai_addr, address.ai_addrlen) == 0) return fd;
  int error = errno;
  if (error == EINPROGRESS) {
    ENVICUTOR_RETURN_IF_ERROR(waiter.Wait(fd.get(), POLLOUT));
    socklen_t size = sizeof error;
    if (::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
    if (error == 0) return fd;
  }
  return Unavailable("connect: " + ErrorText(error));
}

Result<UniqueFd> Connect(const Origin& origin, const Waiter& waiter) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  const int failed = ::getaddrinfo(origin.host.c_str(), origin.port.c_str(), &hints, &list);
  if (failed != 0) {
    return Unavailable("the address of \"" + origin.host +
                       "\" is not known: " + ::gai_strerror(failed));
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(list, ::freeaddrinfo);
  Status last = Unavailable("\"" + origin.host + "\" has no address");
  int tried = 0;
  for (const addrinfo* at = list; at != nullptr && tried < kMaxAddresses; at = at->ai_next) {
    ++tried;
    Result<UniqueFd> connected = ConnectTo(*at, waiter);
    if (connected.ok() || connected.status().code() == Code::kCancelled) return connected;
    last = connected.status();
  }
  return last;
}

}  // namespace

ssize_t Connection::Wire::Send(const char* bytes, size_t count) {
  ssize_t done = -1;
  do {
    done = ::send(fd.get(), bytes, count, MSG_NOSIGNAL);
  } while (done < 0 && errno == EINTR);
  if (done > 0) sent += static_cast<uint64_t>(done);
  if (done < 0 && errno != EAGAIN) error = errno;
  return done;
}

ssize_t Connection::Wire::Receive(char* into, size_t room) {
  ssize_t done = -1;
  do {
    done = ::recv(fd.get(), into, room, 0);
  } while (done < 0 && errno == EINTR);
  if (done < 0 && errno != EAGAIN) error = errno;
  return done;
}

Result<SslContextPtr> NewClientContext(const TlsClientOptions& options, const Origin& origin) {
  SslContextPtr context(SSL_CTX_new(TLS_client_method()));
  if (!context) return Internal("out of memory for TLS material");
  if (options.ca_pem.empty()) SSL_CTX_set_default_verify_paths(context.get());
  ENVICUTOR_RETURN_IF_ERROR(ConfigureClientContext(
      context.get(), options, origin.host, [](std::string why) { Refusal() = std::move(why); }));
  // A whole record in one read. Sessions are not resumed: that would skip the verification, and
  // connections are kept.
  SSL_CTX_set_read_ahead(context.get(), 1);
  SSL_CTX_set_mode(context.get(),
                   SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  return context;
}

Connection::~Connection() = default;

Result<std::unique_ptr<Connection>> Connection::Open(const Origin& origin, SSL_CTX* context,
                                                     bool send_name, const Waiter& waiter) {
  ENVICUTOR_ASSIGN(UniqueFd fd, Connect(origin, waiter));
  std::unique_ptr<Connection> connection(new Connection(std::move(fd)));
  if (context != nullptr) {
    ENVICUTOR_RETURN_IF_ERROR(connection->StartTls(origin, context, send_name, waiter));
  }
  return connection;
}

Status Connection::StartTls(const Origin& origin, SSL_CTX* context, bool send_name,
                            const Waiter& waiter) {
  ssl_.reset(SSL_new(context));
  BIO* bio = ssl_ ? BIO_new(WireMethod()) : nullptr;
  if (bio == nullptr) return Internal("out of memory for a TLS connection");
  BIO_set_data(bio, &wire_);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_.get(), bio, bio);  // takes ownership
  if (send_name && SSL_set_tlsext_host_name(ssl_.get(), origin.host.c_str()) != 1) {
    return InvalidArgument("\"" + origin.host + "\" cannot be sent as a TLS server name");
  }
  SSL_set_connect_state(ssl_.get());
  Refusal().clear();
  for (;;) {
    ERR_clear_error();
    const int done = SSL_do_handshake(ssl_.get());
    if (done == 1) return OkStatus();
    const Status status = Await(done, waiter);
    if (status.ok()) continue;
    const std::string refusal = std::exchange(Refusal(), {});
    if (!refusal.empty()) return Unavailable("the server's certificate was refused: " + refusal);
    return status.WithContext("TLS handshake");
  }
}

Status Connection::Await(int result, const Waiter& waiter) {
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_READ:
      return waiter.Wait(wire_.fd.get(), POLLIN);
    case SSL_ERROR_WANT_WRITE:
      return waiter.Wait(wire_.fd.get(), POLLOUT);
    default:
      return Unavailable(WhyTlsFailed());
  }
}

std::string Connection::WhyTlsFailed() const {
  if (ERR_peek_error() != 0) return OpenSslError();
  if (wire_.error != 0) return ErrorText(wire_.error);
  return "the connection was closed";
}

Status Connection::Write(std::string_view bytes, const Waiter& waiter) {
  wait_first_ = true;
  while (!bytes.empty()) {
    if (!ssl_) {
      const ssize_t done = wire_.Send(bytes.data(), bytes.size());
      if (done >= 0) {
        bytes.remove_prefix(static_cast<size_t>(done));
      } else if (errno == EAGAIN) {
        ENVICUTOR_RETURN_IF_ERROR(waiter.Wait(wire_.fd.get(), POLLOUT));
      } else {
        return Unavailable(ErrorText(wire_.error));
      }
      continue;
    }
    ERR_clear_error();
    const int count = static_cast<int>(std::min<size_t>(bytes.size(), INT_MAX));
    const int done = SSL_write(ssl_.get(), bytes.data(), count);
    if (done > 0) {
      bytes.remove_prefix(static_cast<size_t>(done));
    } else {
      ENVICUTOR_RETURN_IF_ERROR(Await(done, waiter));
    }
  }
  return OkStatus();
}

Result<size_t> Connection::Read(char* into, size_t room, const Waiter& waiter) {
  if (std::exchange(wait_first_, false) && !(ssl_ && SSL_has_pending(ssl_.get()) == 1)) {
    ENVICUTOR_RETURN_IF_ERROR(waiter.Wait(wire_.fd.get(), POLLIN));
  }
  for (;;) {
    if (!ssl_) {
      const ssize_t done = wire_.Receive(into, room);
      if (done >= 0) return static_cast<size_t>(done);
      if (errno != EAGAIN) return Unavailable(ErrorText(wire_.error));
      ENVICUTOR_RETURN_IF_ERROR(waiter.Wait(wire_.fd.get(), POLLIN));
      continue;
    }
    ERR_clear_error();
    const int done = SSL_read(ssl_.get(), into, static_cast<int>(std::min<size_t>(room, INT_MAX)));
    if (done > 0) return static_cast<size_t>(done);
    if (SSL_get_error(ssl_.get(), done) == SSL_ERROR_ZERO_RETURN) return size_t{0};
    ENVICUTOR_RETURN_IF_ERROR(Await(done, waiter));
  }
}

bool Connection::IsStale() {
  char byte = 0;
  if (!ssl_) {
    const ssize_t done = ::recv(wire_.fd.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return done >= 0 || errno != EAGAIN;
  }
  // Also takes in what TLS itself has to say, such as new session tickets.
  ERR_clear_error();
  const int done = SSL_peek(ssl_.get(), &byte, 1);
  const bool alive = done <= 0 && SSL_get_error(ssl_.get(), done) == SSL_ERROR_WANT_READ;
  ERR_clear_error();
  return !alive;
}

}  // namespace envicutor::http
