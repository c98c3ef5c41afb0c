// HTTP/1.1 client behind our own interface (docs/adr/0010 says why there are two transports).
//
// No redirects are followed. Thread-safe: connections are pooled per client, as many as there are
// requests at a time; keep clients, a fresh TLS connection costs milliseconds of CPU.
//
// A kept connection may have been closed by the server under the next request. That request is sent
// once more, on a new connection, when nothing was answered and it does no harm: none of it had
// left us, or its method is idempotent (GET, HEAD, PUT, DELETE, OPTIONS). A POST or PATCH fails
// with Unavailable instead, and the message says that it may have been carried out.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>

#include "common/base/status.h"
#include "common/http/tls.h"
#include "common/http/types.h"

namespace envicutor::http {

struct Request {
  std::string method = "GET";
  std::string target;  // path and query, already percent-encoded: "/api/v1/pods?limit=500"
  Headers headers;
  std::string body;
};

class Client {
 public:
  virtual ~Client() = default;

  // Any HTTP status is a Response. Unavailable: no connection, or it broke. DeadlineExceeded:
  // nothing moved for the client's timeout. Cancelled: `stop` was requested. ResourceExhausted: the
  // body is larger than max_response_bytes, or the header than 64 KiB. InvalidArgument: the request
  // has characters that would make it another one.
  [[nodiscard]] virtual Result<Response> Send(const Request& request,
                                              std::stop_token stop = {}) = 0;

  // For watches and logs: gives the body to `on_data` piece by piece as it arrives, on the calling
  // thread; `on_data` returns false to end the stream. The Response has status and headers, and the
  // body too (bounded, on_data not called) when the status is not 2xx. `idle_timeout`: the stream
  // is given up after that long without a byte.
  using OnData = std::function<bool(std::string_view)>;
  [[nodiscard]] virtual Result<Response> Stream(const Request& request, const OnData& on_data,
                                                std::chrono::seconds idle_timeout,
                                                std::stop_token stop = {}) = 0;
};

struct ClientOptions {
  enum class Transport {
    // On the calling thread: sockets, OpenSSL, Boost.Beast's parser. A name is resolved on it, too:
    // for as long as the resolver takes, `stop` and `timeout` are not looked at.
    kPooled,
    // cpprestsdk: on its threads, names too. It re-sends requests of any method when a kept
    // connection was closed, and reads headers without a bound: for trusted servers whose names may
    // be slow to resolve, and requests that may be repeated.
    kCpprest,
  };
  std::string base_url;  // "https://127.0.0.1:6443", no path
  TlsClientOptions tls;
  std::chrono::milliseconds timeout{30'000};  // without progress, each leg
  size_t max_response_bytes = 64U << 20U;
  Transport transport = Transport::kPooled;
};

[[nodiscard]] Result<std::unique_ptr<Client>> NewClient(const ClientOptions& options);

}  // namespace envicutor::http
