// Internal to the client: one connection to a server, plain or TLS. Everything runs on the calling
// thread; one thread at a time.
#pragma once

#include <openssl/ssl.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "common/base/status.h"
#include "common/base/unique_fd.h"
#include "common/http/openssl_ptr.h"
#include "common/http/origin.h"
#include "common/http/tls.h"
#include "common/http/waiter.h"

namespace envicutor::http {

// A context for connections to `origin`, as ConfigureClientContext makes it.
[[nodiscard]] Result<SslContextPtr> NewClientContext(const TlsClientOptions& options,
                                                     const Origin& origin);

class Connection {
 public:
  // `context` is nullptr for a plain connection. Names are resolved on the calling thread, which
  // the resolver's own time-outs bound. Unavailable says why: also why a certificate was refused.
  [[nodiscard]] static Result<std::unique_ptr<Connection>> Open(const Origin& origin,
                                                                SSL_CTX* context, bool send_name,
                                                                const Waiter& waiter);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // All of it, or why not; sent() tells how much the kernel took.
  [[nodiscard]] Status Write(std::string_view bytes, const Waiter& waiter);
  // At least one byte; 0: the server has ended the connection in order.
  [[nodiscard]] Result<size_t> Read(char* into, size_t room, const Waiter& waiter);
  // The server has closed it, or said something that nobody asked for.
  [[nodiscard]] bool IsStale();
  // Bytes that the kernel took from us since it was opened.
  [[nodiscard]] uint64_t sent() const { return wire_.sent; }

  // Room for one read, kept as long as the connection.
  static constexpr size_t kReadBytes = 16U << 10U;  // a TLS record has at most as many
  [[nodiscard]] char* scratch() {
    if (!scratch_) scratch_.reset(new char[kReadBytes]);
    return scratch_.get();
  }

  // The transport under TLS.
  struct Wire {
    UniqueFd fd;
    uint64_t sent = 0;
    int error = 0;  // errno of the last failure
    // As send and recv: -1 with errno.
    ssize_t Send(const char* bytes, size_t count);
    ssize_t Receive(char* into, size_t room);
  };

 private:
  explicit Connection(UniqueFd fd) { wire_.fd = std::move(fd); }
  [[nodiscard]] Status StartTls(const Origin& origin, SSL_CTX* context, bool send_name,
                                const Waiter& waiter);
  // After an SSL function returned `result`: OK when it is to be called again.
  [[nodiscard]] Status Await(int result, const Waiter& waiter);
  [[nodiscard]] std::string WhyTlsFailed() const;

  Wire wire_;
  SslPtr ssl_;
  std::unique_ptr<char[]> scratch_;
  bool wait_first_ = false;  // the answer to what was just sent cannot be there yet
};

}  // namespace envicutor::http
