// The embedded Kubernetes API server: a store of objects with revisions, watch, validation and
// patches (core/, which does no I/O) behind HTTP, on a SQLite file. Started in process by
// `envicutor apiserver` and by tests (port 0).
//
// An answered write is durable: the SQLite transaction it is part of was synced before the answer.
// All authenticated users are administrators; there is no RBAC.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/http/tls.h"

namespace envicutor::standalone {

struct BearerToken {
  std::string token;
  std::string user;
  std::vector<std::string> groups;
};

struct ApiServerOptions {
  std::string data_dir;  // holds apiserver.db; made when missing. Empty: nothing is kept (tests)
  std::string address = "127.0.0.1";
  uint16_t port = 0;  // 0: any free one

  // Absent: plain HTTP, which is refused on anything but a loopback address. With client_ca_pem a
  // client certificate authenticates (common name = user, organizations = groups);
  // require_client_cert is ignored, because a bearer token is the other way in.
  std::optional<http::TlsServerOptions> tls;
  std::vector<BearerToken> tokens;
  // Serve requests that show neither certificate nor token as system:anonymous. For tests only.
  bool allow_anonymous = false;

  // Made at start when missing, beside default, kube-system and kube-node-lease.
  std::vector<std::string> namespaces = {"envicutor-system", "envicutor-executors"};

  int io_threads = 1;
  int handler_threads = 12;              // followed logs occupy at most 8 of them
  size_t watch_history_events = 10'000;  // of each resource; an older watch gets 410 Expired
};

// Reads lines `token,user,uid[,"group1,group2"]`, kube-apiserver's --token-auth-file format.
[[nodiscard]] Result<std::vector<BearerToken>> ReadTokenFile(const std::string& path);

// Thread-safe.
class ApiServer {
 public:
  virtual ~ApiServer() = default;  // stops
  [[nodiscard]] virtual uint16_t port() const = 0;
  // "https://127.0.0.1:6443"
  [[nodiscard]] virtual std::string url() const = 0;
  // Ends watches, lets running requests finish for `grace`, closes the store. Idempotent.
  virtual void Stop(std::chrono::milliseconds grace) = 0;
};

// Listens and is ready when it returns. FailedPrecondition: another process has the data folder.
[[nodiscard]] Result<std::unique_ptr<ApiServer>> StartApiServer(const ApiServerOptions& options);

}  // namespace envicutor::standalone
