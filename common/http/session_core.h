// Internal to the server: what sessions share, and what the rest of the server sees of one. No
// Boost here.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "common/base/status.h"
#include "common/http/exchange.h"
#include "common/http/server.h"

namespace envicutor::http {

class SessionBase {
 public:
  explicit SessionBase(size_t max_backlog) : exchange(max_backlog) {}
  virtual ~SessionBase() = default;
  SessionBase(const SessionBase&) = delete;
  SessionBase& operator=(const SessionBase&) = delete;
  virtual void Begin() = 0;
  virtual void Wake() = 0;       // exchange has something to do
  virtual void BeginStop() = 0;  // close as soon as no request is in work
  virtual void AbortSoon() = 0;

  Exchange exchange;
};

// Owned by the server and by every session: a writer that outlives the server holds a closed
// session, whose socket needs the io_context in here (`io`) until the end.
struct SessionCore {
  ServerOptions options;
  std::shared_ptr<void> io;
  std::atomic<bool> stopping{false};
  std::function<void(ServerRequest, std::shared_ptr<SessionBase>, uint64_t number)> handle;
  std::function<void(SessionBase*)> remove;
};

// InvalidArgument when the target is refused.
[[nodiscard]] Result<ServerRequest> MakeServerRequest(
    std::string method, std::string_view target, const std::function<void(Headers&)>& add_headers,
    std::string body, const std::optional<PeerIdentity>& peer, const std::string& remote_address);

// The writer of exchange `number` of a session.
[[nodiscard]] std::shared_ptr<ResponseWriter> NewWriter(std::shared_ptr<SessionBase> session,
                                                        uint64_t number);

}  // namespace envicutor::http
