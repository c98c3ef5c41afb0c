// A server that does exactly what a test says, also what no good server does. Loopback only.
#pragma once

#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "common/base/unique_fd.h"
#include "tests/unit/http/http_fixture.h"

namespace envicutor::http {

class ScriptedServer {
 public:
  // What it does with one connection, on its one thread. `number` counts connections from 0.
  class Peer;
  using Script = std::function<void(Peer& peer, int number)>;

  explicit ScriptedServer(Script script);
  ~ScriptedServer();
  ScriptedServer(const ScriptedServer&) = delete;
  ScriptedServer& operator=(const ScriptedServer&) = delete;

  [[nodiscard]] uint16_t port() const { return port_; }
  // "METHOD TARGET" of every request that was read whole.
  [[nodiscard]] std::vector<std::string> requests() const;

  class Peer {
   public:
    Peer(ScriptedServer& server, int fd) : server_(server), fd_(fd) {}
    // One request, header and body. False: the client has closed.
    bool ReadRequest();
    void Send(std::string_view bytes) const;
    // "200 OK" with this body; the connection can be kept.
    void Answer(std::string_view body) const;
    void Close() { fd_.reset(); }
    void WaitForClientToClose() const;

   private:
    ScriptedServer& server_;
    UniqueFd fd_;
    std::string pending_;
  };

 private:
  void Run(const Script& script);

  UniqueFd listener_;
  uint16_t port_ = 0;
  mutable std::mutex mutex_;
  std::vector<std::string> requests_;
  std::jthread thread_;
};

}  // namespace envicutor::http
