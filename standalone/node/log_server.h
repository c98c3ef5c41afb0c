// Serves the containers' logs to the API server, as a kubelet does:
//   GET
//   /containerLogs/NAMESPACE/POD/CONTAINER?tailLines=&follow=&sinceSeconds=&timestamps=&limitBytes=&previous=
// On a loopback address, over TLS when it is given.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "common/base/status.h"
#include "common/http/tls.h"
#include "standalone/node/node_context.h"

namespace envicutor::standalone {

struct LogTarget {
  std::string path;
  bool over = false;  // nothing more will be written: following ends
};
// Which log a container has; NotFound.
using LogLookup = std::function<Result<LogTarget>(const std::string& ns, const std::string& pod,
                                                  const std::string& container)>;

class LogServer {
 public:
  virtual ~LogServer() = default;  // stops
  [[nodiscard]] virtual uint16_t port() const = 0;
};

[[nodiscard]] Result<std::unique_ptr<LogServer>> StartLogServer(
    NodeContext& context, LogLookup lookup, std::optional<http::TlsServerOptions> tls);

}  // namespace envicutor::standalone
