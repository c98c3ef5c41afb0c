// Makes a machine's ports reachable on a loopback address of the host: accepts there, connects
// inside the machine's network namespace. Nothing appears on the host's network. One thread for all
// machines.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/base/status.h"

namespace envicutor::standalone {

struct ForwardTarget {
  std::string listen_address;  // 127.77.0.N
  std::vector<int> ports;
  int network_fd = -1;  // the machine's network namespace; duplicated
  std::string guest_address;
};

// Thread-safe.
class Forwarder {
 public:
  virtual ~Forwarder() = default;  // closes everything
  // Listens on all ports, or on none.
  [[nodiscard]] virtual Status Add(const std::string& key, const ForwardTarget& target) = 0;
  // Closes the listeners and connections of `key`.
  virtual void Remove(const std::string& key) = 0;
};

[[nodiscard]] Result<std::unique_ptr<Forwarder>> NewForwarder();

}  // namespace envicutor::standalone
