// The agent's TLS listener: its certificate, key and client CA are files that somebody renews, and
// new ones are taken without a restart of the agent, so that no run is lost for it.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "common/base/clock.h"
#include "common/base/status.h"
#include "common/http/server.h"

namespace envicutor::agent {

// tls.crt, tls.key and ca.crt of `dir`. What is missing is named with its path.
[[nodiscard]] Result<http::TlsServerOptions> ReadTls(const std::string& dir);

// Thread-safe.
class RotatingServer {
 public:
  // `options.tls` comes from tls_dir's tls.crt, tls.key and ca.crt, looked at every `interval`.
  // Files that do not fit together change nothing: the old ones serve on, and the log says so.
  [[nodiscard]] static Result<std::unique_ptr<RotatingServer>> Start(
      std::string tls_dir, http::ServerOptions options, http::Handler handler,
      Duration interval = std::chrono::seconds(10));
  ~RotatingServer();
  RotatingServer(const RotatingServer&) = delete;
  RotatingServer& operator=(const RotatingServer&) = delete;

  [[nodiscard]] uint16_t port() const { return port_; }
  void Stop(std::chrono::milliseconds grace);  // idempotent

 private:
  RotatingServer(std::string tls_dir, http::ServerOptions options, http::Handler handler);
  void Run(const std::stop_token& stop, Duration interval);
  void Look();

  const std::string tls_dir_;
  http::ServerOptions options_;  // with the TLS that serves
  const http::Handler handler_;
  std::string complained_;
  uint16_t port_ = 0;
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::unique_ptr<http::Server> server_;
  std::jthread thread_;  // last: it uses all of the above
};

}  // namespace envicutor::agent
