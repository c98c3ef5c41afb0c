// Internal to the client: connections that wait for the next request to one server.
#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <vector>

#include "common/http/connection.h"

namespace envicutor::http {

// Thread-safe. As many connections are in use as there are requests at a time; kMaxIdle are kept.
class ConnectionPool {
 public:
  static constexpr size_t kMaxIdle = 64;
  // Servers close what is idle for longer (nginx after 75 s, kube-apiserver after 180 s, ours after
  // 120 s); what we close before them is never closed under a request.
  static constexpr std::chrono::seconds kMaxIdleTime{45};

  // The one that was used last, or nullptr when none can be used.
  [[nodiscard]] std::unique_ptr<Connection> Take();
  void Give(std::unique_ptr<Connection> connection);

 private:
  struct Idle {
    std::unique_ptr<Connection> connection;
    std::chrono::steady_clock::time_point since;
  };
  std::mutex mutex_;
  std::vector<Idle> idle_;  // the oldest first
};

}  // namespace envicutor::http
