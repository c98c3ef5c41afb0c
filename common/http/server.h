// HTTP/1.1 server on Boost.Beast with a limit on everything; TLS with client certificates optional.
//
//   Server server; I/O runs on one or a few threads, handlers on a bounded pool, so a handler may
//   block. A handler answers through its ResponseWriter, at once or later from any thread (long
//   poll, watch).
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/http/tls.h"
#include "common/http/types.h"

namespace envicutor::http {

// Who the client proved to be by its certificate.
struct PeerIdentity {
  std::string common_name;
  std::vector<std::string> organizations;
};

struct ServerRequest {
  std::string method;
  std::string path;  // percent-decoded, never contains "..": such targets get 400
  std::multimap<std::string, std::string> query;  // percent-decoded
  Headers headers;
  std::string body;
  std::optional<PeerIdentity> peer;  // set when a verified client certificate was shown
  std::string remote_address;

  [[nodiscard]] std::string Query(const std::string& key, std::string fallback = "") const;
};

// One per request; all calls thread-safe. Destroying it without an answer sends 500.
class ResponseWriter {
 public:
  virtual ~ResponseWriter() = default;
  virtual void Send(Response response) = 0;
  // Chunked streaming: Start, then Write any number of times, then Finish. Write returns false when
  // the client is gone or reads so slowly that more than max_stream_backlog bytes wait: stop then
  // (the connection is closed by the server).
  virtual void StartStream(int status, Headers headers) = 0;
  virtual bool Write(std::string chunk) = 0;
  virtual void Finish() = 0;
  // Called once, on an I/O thread, when the client goes away before the answer is complete. Must
  // not block.
  virtual void OnClose(std::function<void()> callback) = 0;
};

using Handler = std::function<void(const ServerRequest&, std::shared_ptr<ResponseWriter>)>;

struct ServerOptions {
  std::string address = "127.0.0.1";
  uint16_t port = 0;  // 0: any free one
  std::optional<TlsServerOptions> tls;
  int io_threads = 1;
  int handler_threads = 4;  // 0: handlers run on the I/O threads and must not block
  // Requests whose handlers are short and do not block: they run on the I/O thread whatever
  // handler_threads is, which saves a request two changes of threads. Called on it; may be empty.
  std::function<bool(const ServerRequest&)> at_once;
  size_t max_connections = 1024;      // more: accepted and closed
  size_t max_queued_requests = 1024;  // waiting for a handler thread; more: 503 with Retry-After
  size_t max_header_bytes = 64U << 10U;
  size_t max_body_bytes = 4U << 20U;  // more: 413
  size_t max_stream_backlog = 16U << 20U;
  std::chrono::seconds read_timeout{30};   // a request's header and body, from its first byte
  std::chrono::seconds idle_timeout{120};  // between requests
  std::chrono::seconds write_timeout{30};  // without progress
};

class Server {
 public:
  virtual ~Server() = default;  // stops
  [[nodiscard]] virtual uint16_t port() const = 0;
  // Closes the listener, lets running requests finish for `grace`, closes the rest, and returns
  // when no handler runs any more. Idempotent; never from a handler or a callback of the server.
  virtual void Stop(std::chrono::milliseconds grace) = 0;
};

[[nodiscard]] Result<std::unique_ptr<Server>> StartServer(const ServerOptions& options,
                                                          Handler handler);

}  // namespace envicutor::http
